"""
Tokens of identity providers: fetched keys, checked signatures and claims, and whose a token is.

The master loads this too, without our daemon, so it knows nothing of Salt and of no event loop.
"""
