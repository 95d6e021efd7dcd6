"""What a lowstate looks like in a request; `saltapi.lowstate` checks it, for every module alike."""

from typing import Annotated, Any

from fastapi import Body
from pydantic import WithJsonSchema

from saltapi import formats
from saltapi.interfaces import INTERFACES
from saltapi.lowstate import TARGET_TYPES
from saltapi.netapi.rest_asgi.route import SCHEMA_REFERENCE

# Defaults are told in words: generators take what has one for required.
CHUNK_SCHEMA: dict[str, Any] = {
    "type": "object",
    "title": "Chunk",
    "description": ("One command. For runner and wheel functions, other keys are named arguments."),
    "required": ["fun"],
    "properties": {
        "client": {
            "type": "string",
            "enum": list(INTERFACES),
            "description": "The client interface, `local` by default.",
        },
        "fun": {
            "description": "The function; for the local clients also a list of functions.",
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
        },
        "tgt": {
            "description": "The minions that it is for.",
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
        },
        "tgt_type": {
            "type": "string",
            "enum": list(TARGET_TYPES),
            "description": "How `tgt` is meant, `glob` by default.",
        },
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
CHUNK = {"$ref": SCHEMA_REFERENCE.format(model="Chunk")}
LOWSTATE_SCHEMA: dict[str, Any] = {
    "title": "Lowstate",
    "description": "One command, or several that run one after the other.",
    "anyOf": [CHUNK, {"type": "array", "items": CHUNK, "minItems": 1}],
}
LOWSTATE = {"$ref": SCHEMA_REFERENCE.format(model="Lowstate")}
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


def schemas() -> dict[str, Any]:
    """Return the schemas of lowstates, by name."""
    return {"Chunk": CHUNK_SCHEMA, "Lowstate": LOWSTATE_SCHEMA}


def describe(operation: dict[str, Any]) -> None:
    """Let the body of *operation* refer to what it is, if it is a lowstate."""
    content = operation["requestBody"]["content"][formats.JSON_TYPE]
    if content["schema"].get("title") == LOWSTATE_SCHEMA["title"]:
        content["schema"] = LOWSTATE
