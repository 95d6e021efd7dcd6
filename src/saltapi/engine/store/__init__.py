"""The store: what the processes of one service share.

It keeps values with an expiry; what they mean is known by those who put them there.
"""
