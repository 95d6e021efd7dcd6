"""The process: supervisor, loader, life cycle, logs, TLS, sockets and systemd.

It starts things and stands beside the others; netapi modules use it to serve.
"""
