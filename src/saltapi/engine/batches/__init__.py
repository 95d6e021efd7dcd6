"""
Changes in stages: who sees to one is one process at a time, and another one when that dies.

Knows the store and the jobs; nothing of requests.
"""
