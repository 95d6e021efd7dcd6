"""Permissions: what a session may run by the master's own rules, and the token store.

It only reads; the master decides again when a command comes.
"""
