"""Single sign-on, and tokens for machines: the same in every module."""
