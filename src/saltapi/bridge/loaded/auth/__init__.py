"""The eauth modules that Salt loads."""
