"""Web hooks: the secrets that are configured, and what is done with a request that is signed.

Pure over headers and bytes; the store and the throttle are handed in.
"""
