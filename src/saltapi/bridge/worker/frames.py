"""
Frames on the pipe between this process and a worker process: a length, then that many bytes.

The length is an unsigned 32-bit number, most significant byte first. The first frame to a worker
is pickled, because options hold any type and come from us; all others are Salt's msgpack, so a
result has the shape that it has in an event.
"""

import asyncio
import struct
from collections.abc import Mapping
from typing import Any, BinaryIO

HEADER = struct.Struct(">I")
MAX_FRAME_BYTES = 256 * 1024 * 1024


class FrameTooLarge(Exception):
    """A frame is larger than `MAX_FRAME_BYTES`."""


def pack(body: bytes) -> bytes:
    """
    Return *body* as a frame.

    Raises:
        FrameTooLarge: It is larger than a frame may be.
    """
    if len(body) > MAX_FRAME_BYTES:
        raise FrameTooLarge
    return HEADER.pack(len(body)) + body


async def receive(stream: asyncio.StreamReader) -> bytes:
    """
    Return the body of the next frame of *stream*.

    Raises:
        FrameTooLarge: It announces more than a frame may hold.
        asyncio.IncompleteReadError: The other side ended.
    """
    (size,) = HEADER.unpack(await stream.readexactly(HEADER.size))
    if size > MAX_FRAME_BYTES:
        raise FrameTooLarge
    return await stream.readexactly(size)


def read(stream: BinaryIO) -> bytes | None:
    """Return the body of the next frame of *stream*, or None when the other side ended."""
    header = stream.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    (size,) = HEADER.unpack(header)
    body = stream.read(size)
    return body if len(body) == size else None


def plain(value: Any) -> Any:
    """Return *value* with Salt's own kinds of mappings and lists replaced by Python's."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value
