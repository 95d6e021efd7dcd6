"""The audit log: who did what, and what must never be written down.

It notes what the rooms above do; it decides nothing.
"""
