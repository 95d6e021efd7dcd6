"""What several adapters share: answers, bodies, logs, sockets, event streams and WebSockets.

It translates between HTTP and plain values; which server speaks is the adapter's matter.
"""
