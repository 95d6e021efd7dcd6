"""
The OpenAPI document of the module: what FastAPI makes of the routes, and what they all share.

Formats, errors and headers are the same everywhere, so that no route declares them: they are added
here, from the classes of `saltapi.errors` and from the formats themselves.
"""

import copy
from collections.abc import Iterator
from typing import Any

from fastapi.openapi.utils import get_openapi
from fastapi.routing import RouteContext, iter_route_contexts
from starlette.routing import BaseRoute

import saltapi
from saltapi import errors, formats
from saltapi.netapi._http import answers
from saltapi.netapi.rest_asgi import problems
from saltapi.netapi.rest_asgi.classic import documents
from saltapi.netapi.rest_asgi.classic.route import Route as ClassicRoute
from saltapi.netapi.rest_asgi.v1 import lowstates, record_models

Document = dict[str, Any]

DESCRIPTION = """\
The HTTP door to a Salt master. Below `/v1` are runs, jobs and events as resources; every other URL
is as in Salt's `rest_cherrypy`.

- **Log in** with `POST /login`, and send the token as `X-Auth-Token` or `Authorization: Bearer`.
- **Formats**: bodies are JSON, as described here; YAML and forms are taken too, by `Content-Type`.
  Answers are JSON or YAML, by `Accept`.
- **Errors** are problem documents (RFC 9457) below `/v1`, and `{"status", "return"}` elsewhere.
- `HEAD` works wherever `GET` does, `OPTIONS` everywhere; a method that a URL does not take is 405.
- Every answer has an `X-Request-Id`, which is in the log, too.
"""

TAGS = {
    "run": "Commands, with results as they come.",
    "jobs": "Jobs as resources: past ones, running ones, their results.",
    "events": "What happens on the master's event bus.",
    "fleet": "The minions, how they are, and what can be run.",
    "keys": "The minions' keys.",
    "permissions": "Who you are, and what you may do.",
    "session": "Log in and out.",
    "tokens": "Tokens for machines.",
    "classic": "The URLs of `rest_cherrypy`.",
    "hooks": "Web hooks: what is posted becomes an event.",
    "operations": "Whether the service works, and how much it does.",
    "documentation": "This document, and a page that shows it.",
}
"""What each tag is about, in the order in which pages show them."""

OF_SOME_OPERATIONS = {404, 405, 409, 412, 422, 426, 501}
"""Errors with these statuses are declared by the operations that have them."""
OF_ALL_OPERATIONS = {403, 429, 500, 503}
"""Errors that are met before anybody looks what is asked for. All others are met by operations
that need a session or take a body."""
OF_CLASSIC_OPERATIONS = {404, 406}
"""Errors for parameters that a URL does not know, and for formats that it does not write."""
NOT_DESCRIBED = "Successful Response"
"""What FastAPI says of an answer that the operation says nothing of."""
EXAMPLE_REQUEST_ID = "5f0c9a2e41d84c7b"
EVERY_ANSWER = {
    name: {"$ref": f"#/components/headers/{name}"} for name in ("X-Request-Id", "traceresponse")
}
HEADERS: dict[str, Document] = {
    "X-Request-Id": {
        "description": "The id of the request, which is in the log, too.",
        "schema": {"type": "string"},
    },
    "traceresponse": {
        "description": "The request's trace, as W3C Trace Context has it.",
        "schema": {"type": "string"},
    },
    "Retry-After": {
        "description": "After how many seconds to try again.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "WWW-Authenticate": {
        "description": "How to authenticate: with a session.",
        "schema": {"type": "string", "const": "Session"},
    },
}
PROBLEM = {
    "type": "object",
    "title": "Problem",
    "description": "What went wrong (RFC 9457).",
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        "type": {"type": "string", "description": "The code as a URN."},
        "title": {"type": "string", "description": "The code in words."},
        "status": {"type": "integer", "description": "The HTTP status."},
        "detail": {"type": "string", "description": "What is wrong and what to change."},
        "code": {"type": "string", "enum": sorted(problems.TITLES)},
        "request_id": {"type": "string", "description": "As in the header X-Request-Id."},
        "chunk": {
            "type": "integer",
            "minimum": 0,
            "description": "Which chunk of the lowstate it is, from 0.",
        },
        "field": {"type": "string", "description": "Which field of the request it is."},
        "completed": {
            "type": "array",
            "items": {},
            "description": "Results of the chunks that had run before.",
        },
        "jids": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Jobs that may have been published.",
        },
        "command": {
            "type": "object",
            "description": "The chunk that runs when it is confirmed (`confirmation_needed`).",
        },
        "confirm": {"type": "string", "description": "What to send to confirm exactly that."},
    },
    "additionalProperties": False,
}
ERROR = {
    "type": "object",
    "title": "Error",
    "description": "What went wrong, as rest_cherrypy says it.",
    "required": ["status", "return"],
    "properties": {
        "status": {"type": "integer", "description": "The HTTP status."},
        "return": {"type": "string", "description": "What is wrong and what to change."},
        "completed": {
            "type": "array",
            "items": {},
            "description": "Results of the chunks that had run before.",
        },
    },
    "additionalProperties": False,
}


def document(routes: list[BaseRoute], prefix: str = "") -> Document:
    """
    Return the OpenAPI 3.1 document of *routes*.

    Args:
        routes: All routes of the application.
        prefix: What stands in front of every path, without a slash at its end.
    """
    found = get_openapi(
        title="saltapi",
        version=saltapi.__version__,
        summary="The HTTP door to a Salt master",
        description=DESCRIPTION,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        tags=[{"name": name, "description": text} for name, text in TAGS.items()],
        routes=routes,
    )
    parts = found.setdefault("components", {})
    schemas = parts.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):  # what FastAPI itself would answer
        schemas.pop(name, None)
    schemas |= {
        **record_models.schemas(),
        **lowstates.schemas(),
        **documents.schemas(),
        "Problem": PROBLEM,
        "Error": ERROR,
    }
    _drop_defaults(schemas, found["paths"])
    parts["headers"] = HEADERS
    parts["responses"] = shared_responses()
    for context, operation in _operations(routes, found["paths"]):
        of_v1 = str(context.path_format).startswith(f"{prefix}/v1/")
        _complete(
            operation,
            of_v1=of_v1,
            classic=isinstance(context.original_route, ClassicRoute),
        )
    used = {tag for _, one in _operations(routes, found["paths"]) for tag in one.get("tags", ())}
    found["tags"] = [tag for tag in found["tags"] if tag["name"] in used]
    return found


def _drop_defaults(schemas: Document, paths: Document) -> None:
    """Take the defaults out of what is sent: for generators, such a field is required."""
    bodies = [item.get("requestBody", {}) for path in paths.values() for item in path.values()]
    sent = str(bodies)
    for name, schema in schemas.items():
        if f"/{name}'" in sent:
            for field in schema.get("properties", {}).values():
                field.pop("default", None)


def _operations(
    routes: list[BaseRoute], paths: Document
) -> Iterator[tuple[RouteContext, Document]]:
    """Yield what the document has, each with its route."""
    for context in iter_route_contexts(routes):
        item = paths.get(context.path_format or "", {})
        for method in context.methods or ():
            operation = item.get(method.lower())
            if operation is not None:
                yield context, operation


def _complete(operation: Document, *, of_v1: bool, classic: bool) -> None:
    """Add to *operation* what all have in common."""
    body = operation.get("requestBody")
    if body is not None and of_v1:
        lowstates.describe(operation)
    responses = operation["responses"]
    if "HTTPValidationError" in str(responses.get("422")):
        del responses["422"]
    for status, response in responses.items():
        if status < "400":
            if response["description"] == NOT_DESCRIBED:
                response["description"] = f"{operation['summary']}."
            response["headers"] = {**EVERY_ANSWER, **response.get("headers", {})}
            content = response.get("content", {})
            if len(content) > 1 and not content.get(formats.JSON_TYPE, {}).get("schema", True):
                del content[formats.JSON_TYPE]  # FastAPI adds it where nothing else is declared
            if of_v1:
                _add_types(content, formats.YAML_TYPE)
    found = _statuses(operation) | {int(s) for s in responses if "400" <= s < "600"}
    if classic:
        found |= OF_CLASSIC_OPERATIONS
    for status in found:
        name = f"{'problem' if of_v1 else 'error'}_{status}"
        responses[str(status)] = _with_own(name, responses.get(str(status)))
    operation["responses"] = dict(sorted(responses.items()))


def _add_types(content: Document, *media_types: str) -> None:
    """Describe *media_types* as JSON is, where they are not described yet."""
    described = content.get(formats.JSON_TYPE)
    if described is not None:
        for media_type in media_types:
            content.setdefault(media_type, copy.deepcopy(described))


def _statuses(operation: Document) -> set[int]:
    """Return the errors that *operation* can end with though it does not declare them."""
    found = {kind.status for kind in kinds()} | {problems.FORBIDDEN}
    found -= OF_SOME_OPERATIONS
    if "requestBody" not in operation:
        found.discard(errors.BodyTooLarge.status)
        if "security" not in operation:
            found &= OF_ALL_OPERATIONS
    return found


def _with_own(name: str, own: Document | None) -> Document:
    """Return the shared response *name*; what the operation says about it comes first."""
    text = (own or {}).get("description", "")
    if not text or text in {"Bad Request", "Unauthorized", "Forbidden", "Not Found"}:
        return {"$ref": f"#/components/responses/{name}"}
    shared = copy.deepcopy(shared_responses()[name])
    shared["headers"] |= (own or {}).get("headers", {})
    for media_type, described in (own or {}).get("content", {}).items():
        known = shared["content"].get(media_type, {})
        schemas = [one["schema"] for one in (described, known) if "schema" in one]
        both = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
        shared["content"][media_type] = {**known, **described, "schema": both}
    return {**shared, "description": text}


def kinds() -> list[type[errors.SaltApiError]]:
    """Return every class of error that a request can end with."""
    found = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    return [kind for kind in found if issubclass(kind, errors.SaltApiError)]


def shared_responses() -> Document:
    """Return a response for each status that an error can have, below `/v1` and elsewhere."""
    found: Document = {}
    of_v1: dict[int, list[type[errors.SaltApiError]]] = {}
    elsewhere: dict[int, list[type[errors.SaltApiError]]] = {}
    for kind in kinds():
        of_v1.setdefault(problems.status_of(kind, of_v1=True), []).append(kind)
        elsewhere.setdefault(problems.status_of(kind, of_v1=False), []).append(kind)
    for status, group in sorted(of_v1.items()):
        found[f"problem_{status}"] = _response(status, group, "Problem")
    for status, group in sorted(elsewhere.items()):
        found[f"error_{status}"] = _response(status, group, "Error")
    return found


def _response(status: int, group: list[type[errors.SaltApiError]], schema: str) -> Document:
    headers = dict(EVERY_ANSWER)
    if any(getattr(kind, "retry_after_seconds", None) or status == 429 for kind in group):
        headers["Retry-After"] = {"$ref": "#/components/headers/Retry-After"}
    if status == errors.AuthenticationFailed.status:
        headers["WWW-Authenticate"] = {"$ref": "#/components/headers/WWW-Authenticate"}
    described: Document = {"schema": {"$ref": f"#/components/schemas/{schema}"}}
    if schema == "Problem":
        content = {
            problems.PROBLEM_TYPE: {**described, "examples": _problem_examples(status, group)},
            problems.PROBLEM_YAML_TYPE: described,
        }
    else:
        example = {"status": status, "return": sentence(group[0])}
        content = {
            formats.JSON_TYPE: {**described, "example": example},
            formats.YAML_TYPE: described,
            formats.HTML_TYPE: {"schema": {"type": "string"}},
        }
    text = " / ".join(dict.fromkeys(problems.TITLES[kind.code] for kind in group))
    return {"description": text, "headers": headers, "content": content}


def _problem_examples(status: int, group: list[type[errors.SaltApiError]]) -> Document:
    found: Document = {}
    for kind in group:
        value = {
            "type": problems.URN + kind.code,
            "title": problems.TITLES[kind.code],
            "status": status,
            "detail": sentence(kind),
            "code": kind.code,
            "request_id": EXAMPLE_REQUEST_ID,
        }
        if issubclass(kind, errors.InvalidChunk):
            value |= {"chunk": 0, "field": "fun"}
        elif issubclass(kind, errors.InvalidField):
            value |= {"field": "limit"}
        found[kind.code] = {"summary": problems.TITLES[kind.code], "value": value}
    return found


def sentence(kind: type[errors.SaltApiError]) -> str:
    """Return what an error of this kind is about: the first sentence of its documentation."""
    if kind is errors.SaltApiError:
        return f"{answers.UNEXPECTED}."
    text = " ".join((kind.__doc__ or "").strip().partition("\n\n")[0].split())
    return text.replace("`", "")
