"""What a lowstate looks like in a request; `saltapi.lowstate` checks it, for every module alike."""

from typing import Annotated, Any

from fastapi import Body
from pydantic import WithJsonSchema

from saltapi import formats
from saltapi.interfaces import INTERFACES
from saltapi.lowstate import TARGET_TYPES
from saltapi.lowstate.stages import LISTED_LIMIT, WAIT_LIMIT_SECONDS
from saltapi.netapi.rest_asgi.route import SCHEMA_REFERENCE

# Defaults are told in words: generators take what has one for required.
AMOUNT: dict[str, Any] = {
    "description": "A number of minions, or a part of all, like `10%`.",
    "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "examples": ["10%"]}],
}
BATCH_SCHEMA: dict[str, Any] = {
    "type": "object",
    "title": "BatchPlan",
    "description": "How a change goes through its minions; either `size` or `stages`.",
    "properties": {
        "size": AMOUNT,
        "stages": {
            "type": "array",
            "items": AMOUNT,
            "minItems": 1,
            "maxItems": LISTED_LIMIT,
            "description": "Each larger than the one before; the last one is `100%`.",
        },
        "max_failed": {
            "description": "How many minions may fail, or not return, in all; 0 by default, null"
            " for any number. Of more, what is left is not run.",
            "anyOf": [*AMOUNT["anyOf"], {"type": "null"}],
        },
        "wait": {
            "type": "number",
            "minimum": 0,
            "maximum": WAIT_LIMIT_SECONDS,
            "description": "Seconds before each stage but the first; 0 by default.",
        },
    },
    "additionalProperties": False,
}
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
        "batch": {
            "description": "Of `local` and `local_async`: run in stages. `size` is how many minions"
            " each stage has; `stages` say how many are done at the end of each, in all. A text or"
            " number alone is a `size`, as in Salt; `local_batch` knows only that.",
            "anyOf": [{"$ref": SCHEMA_REFERENCE.format(model="BatchPlan")}, AMOUNT],
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
    "stages": {
        "summary": "One minion first, then more",
        "value": {
            "tgt": "web*",
            "fun": "state.apply",
            "arg": ["nginx"],
            "batch": {"stages": [1, "10%", "50%", "100%"], "max_failed": 0, "wait": 5},
        },
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
    return {"Chunk": CHUNK_SCHEMA, "Lowstate": LOWSTATE_SCHEMA, "BatchPlan": BATCH_SCHEMA}


def describe(operation: dict[str, Any]) -> None:
    """Let the body of *operation* refer to what it is, if it is a lowstate."""
    content = operation["requestBody"]["content"][formats.JSON_TYPE]
    if content["schema"].get("title") == LOWSTATE_SCHEMA["title"]:
        content["schema"] = LOWSTATE
