"""Values in NATS JetStream, for several machines.

It knows servers and bytes, and nothing of Salt.
"""
