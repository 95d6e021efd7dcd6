"""The event bus: one reader of frames, a hub with many listeners, and where each of them was.

It knows frames and tags, and nothing of jobs.
"""
