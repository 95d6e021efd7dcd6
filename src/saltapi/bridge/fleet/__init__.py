"""
What the master keeps of its minions: keys, grains, pillars, connections. Everything is read in
threads, and nobody is asked for it; who may see it is decided by the caller.
"""
