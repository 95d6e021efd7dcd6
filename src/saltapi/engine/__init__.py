"""The engine: everything that a request can ask for, and what it meets on its way.

It knows the bridge and the words; it knows nothing of HTTP servers, sockets and processes.
"""
