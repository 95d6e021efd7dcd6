"""Web hooks: the schemes by which senders sign, and the secrets that are configured.

Pure over headers and bytes; the store and the throttle are handed in.
"""
