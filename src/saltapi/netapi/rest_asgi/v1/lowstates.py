"""What a lowstate looks like in a request; `saltapi.lowstate` checks it, for every module alike."""

from typing import Annotated, Any

from fastapi import Body
from pydantic import WithJsonSchema

from saltapi.interfaces import INTERFACES
from saltapi.lowstate import TARGET_TYPES

CHUNK_SCHEMA: dict[str, Any] = {
    "type": "object",
    "title": "Chunk",
    "description": ("One command. For runner and wheel functions, other keys are named arguments."),
    "required": ["fun"],
    "properties": {
        "client": {"type": "string", "enum": list(INTERFACES), "default": "local"},
        "fun": {
            "description": "The function; for the local clients also a list of functions.",
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
        },
        "tgt": {
            "description": "The minions that it is for.",
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
        },
        "tgt_type": {"type": "string", "enum": list(TARGET_TYPES), "default": "glob"},
        "arg": {"description": "Positional arguments."},
        "kwarg": {"type": "object", "description": "Named arguments."},
        "timeout": {
            "type": "number",
            "minimum": 0,
            "description": "After so many seconds silent minions are asked.",
        },
        "jid": {
            "type": "string",
            "pattern": "^[0-9]{20}(_[0-9]{1,10})?$",
            "description": "The job's id; leave it out to get one.",
        },
    },
    "additionalProperties": True,
}
LOWSTATE_SCHEMA: dict[str, Any] = {
    "title": "Lowstate",
    "anyOf": [CHUNK_SCHEMA, {"type": "array", "items": CHUNK_SCHEMA, "minItems": 1}],
}
EXAMPLES: dict[str, Any] = {
    "one": {
        "summary": "One command",
        "value": {"tgt": "*", "fun": "test.ping"},
    },
    "many": {
        "summary": "Several, one after the other",
        "value": [
            {"client": "local", "tgt": "web*", "fun": "state.apply", "arg": ["nginx"]},
            {"client": "runner", "fun": "manage.up"},
        ],
    },
}

LowstateBody = Annotated[Any, WithJsonSchema(LOWSTATE_SCHEMA), Body(openapi_examples=EXAMPLES)]
"""A chunk, or a list of them."""
