"""Permissions: what a session may run by the master's own rules, and the token store.

It only reads. `bridge.jobs.clearance` asks it before a job is published, and the master decides
again.
"""
