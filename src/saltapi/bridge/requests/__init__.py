"""Requests to the master: channels, calls and what goes into them.

It knows the master's request server; answers that come over the bus are waited for elsewhere.
"""
