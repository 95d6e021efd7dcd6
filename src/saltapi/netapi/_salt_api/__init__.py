"""
What Salt's own `salt-api` finds of ours (`saltapi.bridge.loaded`): rest_asgi alone.

The other three would take the places of Salt's modules of the same names.
"""
