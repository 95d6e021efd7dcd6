"""The event log: the events of all masters, kept by the servers of `saltapi_store`.

It knows records and messages; who may see what is decided beside, in `acl` and `filters`.
"""
