"""Connections that leave Tornado, so that a stream has them for itself."""

import asyncio

from tornado.iostream import IOStream

from saltapi.netapi._http.sockets import READ_BYTES, DetachedSocket


def detached_socket(stream: IOStream) -> DetachedSocket | None:
    """
    Return the socket of *stream*, which must not be used any more; None if it is closed.

    What Tornado has read ahead comes first when the socket is read.
    """
    if stream.closed():
        return None
    reading = stream.read_bytes(READ_BYTES, partial=True)
    early = b""
    if reading.done():
        if reading.exception() is not None:
            return None
        early = reading.result()
    stream.io_loop.remove_handler(stream.socket)
    return DetachedSocket(stream.socket, asyncio.get_running_loop(), early)
