"""
Routes below `/v1`: bodies in all formats that the module reads, answers in those that it writes.

FastAPI reads JSON alone. Here a body is decoded by its Content-Type before FastAPI validates it
against the declared model, and what the handler returns is written as the client accepts it, which
is checked before anything else. `OpenAPI` describes all formats of what is declared once.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Annotated, Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, PlainSerializer
from starlette.datastructures import Headers

from saltapi import formats
from saltapi.errors import SaltApiError
from saltapi.netapi._http.encoding import YAML_IN_THREAD_FROM_BYTES
from saltapi.netapi.rest_asgi.elsewhere import from_elsewhere
from saltapi.netapi.rest_asgi.requests import (
    caller_of,
    decoded_body,
    read_body,
)
from saltapi.netapi.rest_asgi.streams import STREAM_TYPES

SCHEMA_REFERENCE = "#/components/schemas/{model}"


class Model(BaseModel):
    """Base of what `/v1` takes and returns; what is not declared is refused."""

    model_config = ConfigDict(extra="forbid")


SaltValue = Annotated[Any, PlainSerializer(formats.plain, return_type=Any)]
"""Whatever a function of Salt returns; what JSON does not know is written as `formats` does."""


class DecodedRequest(Request):
    """A request whose body FastAPI takes for JSON, whatever format it came in."""

    @property
    def headers(self) -> Headers:
        """The headers, with the type of the decoded body."""
        if not hasattr(self, "_decoded_headers"):
            raw = [(n, v) for n, v in self.scope["headers"] if n != b"content-type"]
            raw.append((b"content-type", formats.JSON_TYPE.encode()))
            self._decoded_headers = Headers(raw=raw)
        return self._decoded_headers

    async def body(self) -> bytes:
        """Return the body as it was sent, within the module's limit."""
        return await read_body(self)

    async def json(self) -> Any:
        """Return the body's value, which `Route` has decoded."""
        return self.state.body_value


class Route(APIRoute):
    """A route of `/v1`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler with the formats around it."""
        handle = super().get_route_handler()
        streams = getattr(self.endpoint, "streams", False)
        handed_on = getattr(self.endpoint, "handed_on", False)

        async def handler(request: Request) -> Response:
            offered = (*formats.OUTPUT_TYPES, *(STREAM_TYPES if streams else ()))
            media_type = formats.negotiate(request.headers.get("Accept"), offered)
            request.state.media_type = media_type
            if self.body_field is not None:
                request.state.body_value = await _body_value(request)
            if handed_on:
                jid = request.path_params["jid"]
                answer = await from_elsewhere(request, str(self.operation_id), jid)
                if answer is not None:
                    return answer
            response = await handle(DecodedRequest(request.scope, request.receive))
            if media_type == formats.YAML_TYPE and (
                response.headers.get("Content-Type") == formats.JSON_TYPE
            ):
                response.body = await _as_yaml(bytes(response.body))
                response.headers["Content-Type"] = media_type
                response.headers["Content-Length"] = str(len(response.body))
            return response

        return handler


async def _body_value(request: Request) -> Any:
    """
    Return the decoded body; FastAPI would say no more of an error than that there is one.

    Raises:
        AuthenticationFailed: The body cannot be read, and that is no stranger's business.
        BodyTooLarge, NotAcceptable, BadRequest
    """
    try:
        return await decoded_body(request)
    except SaltApiError:
        await caller_of(request)
        raise


async def _as_yaml(body: bytes) -> bytes:
    """Return JSON as YAML."""

    def changed() -> bytes:
        return formats.dump_yaml(formats.load_json(body))

    if len(body) < YAML_IN_THREAD_FROM_BYTES:
        return changed()
    return await asyncio.to_thread(changed)


def streams(endpoint: Any) -> Any:
    """
    Mark a handler that also answers with a stream (SSE or NDJSON).

    It finds what the client wants in `request.state.media_type`.
    """
    endpoint.streams = True
    return endpoint


def of_a_job(endpoint: Any) -> Any:
    """Mark a handler whose requests are answered by the master that has published the job."""
    endpoint.handed_on = True
    return endpoint


def described(
    example: Any, media_type: str = formats.JSON_TYPE, *, text: bool = False, **more: Any
) -> dict[str, Any]:
    """Describe an answer by an example; *text* has no model, and *more* is as in OpenAPI."""
    schema = {"schema": {"type": "string"}} if text else {}
    return {**more, "content": {media_type: {**schema, "example": example}}}


def stream_content(record: str, examples: Mapping[str, str]) -> dict[str, Any]:
    """
    Describe a stream for the OpenAPI document, whose version 3.1 has no word for it.

    Args:
        record: The name of the record's schema.
        examples: Examples by media type.
    """
    where = {
        "application/x-ndjson": f"Each line is a `{record}`.",
        "text/event-stream": f"Each event is a `{record}` in `data`, perhaps without type and id.",
    }
    reference = {"$ref": SCHEMA_REFERENCE.format(model=record)}
    return {
        media_type: {
            "schema": {
                "type": "string",
                "description": where[media_type],
                "contentMediaType": media_type,
                "contentSchema": reference,
            },
            "example": example,
        }
        for media_type, example in examples.items()
    }
