"""A worker process, seen from inside: warm loaders, authorization, one call after another.

Started by name (`-m saltapi.bridge.worker`); it imports nothing of the engine.
"""
