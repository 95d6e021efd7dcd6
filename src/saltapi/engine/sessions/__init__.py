"""Sessions: who that is; tokens, the throttle of logins, addresses and tickets.

The master decides what a token may do; here it is only found out whose it is.
"""
