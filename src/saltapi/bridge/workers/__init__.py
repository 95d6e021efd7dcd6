"""Workers: processes that run Salt's functions and salt-ssh, seen from outside.

It starts them and talks frames with them; what happens inside is `worker`.
"""
