"""Commands: one checked chunk in, one result out, through each client interface.

They know sessions and the bridge, and nothing of who asked or how.
"""
