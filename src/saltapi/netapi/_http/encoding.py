"""Answers from an event loop: what takes long to write is written in a thread."""

import asyncio
from typing import Any

from saltapi import formats
from saltapi.config import KIB

JSON_IN_THREAD_FROM_BYTES = 64 * KIB
"""Larger answers in JSON are written in a thread: the loop serves others meanwhile."""
YAML_IN_THREAD_FROM_BYTES = 4 * KIB
"""The same for YAML, which takes twenty times as long."""


async def encoded(media_type: str, value: Any, *, flow_leaves: bool = False) -> bytes:
    """
    Same as `formats.encode`, for an event loop.

    Args:
        media_type: One of `formats.OUTPUT_TYPES`.
        value: What to write; nobody may change it meanwhile.
        flow_leaves: As `formats.dump_yaml` has it.
    """
    if media_type == formats.YAML_TYPE:
        if formats.is_large(value, YAML_IN_THREAD_FROM_BYTES):
            return await asyncio.to_thread(formats.dump_yaml, value, flow_leaves=flow_leaves)
        return formats.dump_yaml(value, flow_leaves=flow_leaves)
    if formats.is_large(value, JSON_IN_THREAD_FROM_BYTES):
        return await asyncio.to_thread(formats.dump_json_in_parts, value)
    return formats.dump_json(value)
