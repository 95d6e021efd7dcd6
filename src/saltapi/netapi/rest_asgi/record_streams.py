"""Records of jobs and runs as answers: server-sent events, NDJSON, or one document."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from saltapi import errors, formats
from saltapi.engine.jobs.state_records import CURSOR_OF_STATE, Progress
from saltapi.engine.operations.runs import Run
from saltapi.netapi._http import answers
from saltapi.netapi._http.encoding import JSON_IN_THREAD_FROM_BYTES, encoded
from saltapi.netapi.rest_asgi.problems import problem, status_of

SSE_TYPE = "text/event-stream"
NDJSON_TYPE = "application/x-ndjson"


def plain(record: dict[str, Any]) -> dict[str, Any]:
    """Return *record* with its error, if it has one, as a problem document."""
    error = record.get("error")
    if not isinstance(error, errors.SaltApiError):
        return record
    return {**record, "error": problem(error, status_of(type(error), of_v1=True))}


def sse(record: dict[str, Any], dump: Callable[[Any], bytes] | None = None) -> bytes:
    """Return a record as a server-sent event, named by its type; the id is the record's cursor."""
    name = record["type"].encode()
    cursor = record.get(CURSOR_OF_STATE if record["type"] == "state" else "id")
    data = (dump or formats.dump_json)(plain(record))
    first = b"id: %b\n" % cursor.encode() if cursor else b""
    return first + b"event: %b\ndata: %b\n\n" % (name, data)


def ndjson(record: dict[str, Any], dump: Callable[[Any], bytes] | None = None) -> bytes:
    """Return a record as a line of JSON."""
    return (dump or formats.dump_json)(plain(record)) + b"\n"


def _in_thread(write: Callable[..., bytes], some: list[dict[str, Any]]) -> bytes:
    return b"".join([write(record, formats.dump_json_in_parts) for record in some])


def stream(
    media_type: str,
    records: AsyncIterator[list[dict[str, Any]]],
    headers: dict[str, str] | None = None,
) -> Response:
    """Return the answer that sends *records* as they come."""
    write = sse if media_type == SSE_TYPE else ndjson

    async def parts() -> AsyncIterator[bytes]:
        async for some in records:
            if formats.is_large(some, JSON_IN_THREAD_FROM_BYTES):
                yield await asyncio.to_thread(_in_thread, write, some)
            else:
                yield b"".join(map(write, some))
            await asyncio.sleep(0)  # so that it is noticed when the client goes away

    head = {**answers.STREAM_HEADERS, **(headers or {}), "Content-Type": media_type}
    del head["Connection"]  # the server's affair
    return StreamingResponse(parts(), headers=head)


async def document(
    request: Request,
    value: dict[str, Any],
    headers: dict[str, str] | None = None,
    status: int = 200,
) -> Response:
    """Return *value* in the format that the client accepts."""
    media_type = request.state.media_type
    body = await encoded(media_type, value)
    return Response(body, status, {**(headers or {}), "Content-Type": media_type})


def streamed(
    found: dict[str, Any],
    returns: AsyncIterator[tuple[str, dict[str, Any]]],
    headers: dict[str, str],
) -> Response:
    """Return *found*, the document of a job, as JSON, with *returns* written one by one."""

    async def body() -> AsyncIterator[bytes]:
        yield formats.dump_json(found)[:-1] + b', "returns": {'
        between = b""
        async for minion, shown in returns:
            text = await encoded(formats.JSON_TYPE, shown)
            yield between + formats.dump_json(minion) + b": " + text
            between = b", "
            await asyncio.sleep(0)
        yield b"}}"

    return StreamingResponse(body(), headers=headers, media_type=formats.JSON_TYPE)


def run_headers(run: Run, root: str) -> dict[str, str]:
    """Return the headers that name the jobs of a run: all that are known, and the first's URL."""
    jids = [jid for jid in run.jids if jid]
    if not jids:
        return {}
    return {"X-Salt-Jid": ", ".join(jids), "Location": f"{root}/v1/jobs/{jids[0]}"}


@dataclass(frozen=True, slots=True)
class Telling:
    """What a client wants to be told of jobs."""

    progress: Progress = "none"
    fold: bool = False


AS_EVER = Telling()
"""Jobs, returns, and nothing of what is inside them."""


async def run_answer(request: Request, run: Run, how: Telling) -> Response:
    """Answer with the results of *run*: as they come, or as one document when all are there."""
    section = request.app.state.engine.section
    headers = run_headers(run, section.root_prefix.rstrip("/"))
    media_type = request.state.media_type
    if media_type in {SSE_TYPE, NDJSON_TYPE}:
        return stream(media_type, run.records(progress=how.progress, fold=how.fold), headers)
    found = await run.document(fold=how.fold)
    return await document(
        request, {**found, "results": [plain(r) for r in found["results"]]}, headers
    )
