"""
The fleet: which minions there are, how they are, why one is silent, and what can be run. It knows
the bus, the master's caches and the jobs; it decides what of that a session may see.
"""
