"""
What the modules with URLs share, the same requests for each: URLs, bodies, statuses, formats.

The bodies are those of Salt's own netapi; the differential suite compares more of them, this one
says which are promised.
"""
