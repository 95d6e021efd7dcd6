"""Monitoring: metrics, of one process and of all of a service, and health.

It reads what the others count; none of them depends on it.
"""
