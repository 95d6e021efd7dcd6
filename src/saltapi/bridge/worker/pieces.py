"""
Large values of MessagePack, read in pieces between which other threads get on.

`msgpack` holds the interpreter from the beginning to the end of what it is given.
"""

import gc
from typing import Any

import msgpack

LEVELS = 4
"""So deep a value is taken apart: a reply, its data, what was returned, and its items."""


class _Salts(Exception):
    """A value is of a type that Salt's own reader knows."""


def loads(body: bytes) -> Any:
    """Same as `salt.payload.loads` with the encoding UTF-8."""
    import salt.payload

    unpacker, collects = _unpacker(body, raw=False), gc.isenabled()
    gc.disable()  # as Salt does: it would look through all that is made, again and again
    try:
        return _value(unpacker, body, LEVELS)
    except (_Salts, UnicodeDecodeError):
        return salt.payload.loads(body, encoding="utf-8")
    finally:
        if collects:
            gc.enable()


def loads_without(body: bytes, name: str) -> Any:
    """Same as `salt.payload.loads`, but for what a mapping has under *name*: that is skipped."""
    import salt.payload
    import salt.transport.frame

    unpacker, found, skipped = _unpacker(body, raw=True), {}, name.encode()
    try:
        for _ in range(unpacker.read_map_header()):
            key = unpacker.unpack()
            if key == skipped:
                _skip(unpacker, body, LEVELS)
            else:
                found[key] = unpacker.unpack()
    except (_Salts, ValueError):  # or it is no mapping
        return salt.payload.loads(body)
    return salt.transport.frame.decode_embedded_strs(found)


def peeked(body: bytes, name: str) -> Any:
    """Return what a mapping has under *name*, read no further than that; None if it is not."""
    unpacker = _unpacker(body, raw=False)
    try:
        for _ in range(unpacker.read_map_header()):
            if unpacker.unpack() == name:
                return unpacker.unpack()
            unpacker.skip()
    except (_Salts, ValueError, msgpack.UnpackException):  # it is no mapping, or cut off
        pass
    return None


def _unpacker(body: bytes, *, raw: bool) -> Any:
    unpacker = msgpack.Unpacker(
        raw=raw, strict_map_key=False, max_buffer_size=len(body), ext_hook=_is_salts
    )
    unpacker.feed(body)
    return unpacker


def _is_salts(_code: int, _data: bytes) -> Any:
    raise _Salts


def _value(unpacker: Any, body: bytes, levels: int) -> Any:
    """Return the next value."""
    kind = _kind(unpacker, body) if levels else None
    if kind is dict:
        items = range(unpacker.read_map_header())
        return {unpacker.unpack(): _value(unpacker, body, levels - 1) for _ in items}
    if kind is list:
        return [_value(unpacker, body, levels - 1) for _ in range(unpacker.read_array_header())]
    return unpacker.unpack()


def _skip(unpacker: Any, body: bytes, levels: int) -> None:
    """Skip the next value."""
    kind = _kind(unpacker, body) if levels else None
    if kind is dict:
        for _ in range(unpacker.read_map_header()):
            unpacker.skip()
            _skip(unpacker, body, levels - 1)
    elif kind is list:
        for _ in range(unpacker.read_array_header()):
            _skip(unpacker, body, levels - 1)
    else:
        unpacker.skip()


def _kind(unpacker: Any, body: bytes) -> type | None:
    """Return `dict` or `list` if the next value is one, by its first byte."""
    first = body[unpacker.tell()]
    if first & 0xF0 == 0x80 or first in {0xDE, 0xDF}:
        return dict
    if first & 0xF0 == 0x90 or first in {0xDC, 0xDD}:
        return list
    return None
