"""Events: who may see which of them, how they are encoded, and streams of them.

They take what the hub of the bridge hands out; how bytes get to a client is not known here.
"""
