"""
Requests for jobs of other masters: handed on to the door of the master that has published them.

There they are requests like any other: whose the token is, from where it may come, and what this
user may do is found out anew, by that master's rules. What is handed on is one of `OPERATIONS`, and
never handed on again.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from saltapi import lowstate
from saltapi.config import RestAsgiConfig
from saltapi.engine.engine import Engine
from saltapi.errors import (
    AuthorizationFailed,
    InvalidChunk,
    MasterUnavailable,
    NotFound,
    OutcomeUnknown,
    StoreUnavailable,
)
from saltapi.netapi.rest_asgi.requests import caller_of, engine_of, peer_of, read_body, token_of
from saltapi.netapi.rest_asgi.streams import abort

if TYPE_CHECKING:  # they need nats-py, which only those have who want it
    from saltapi.bridge.nats.answering import Answer
    from saltapi.bridge.nats.asking import Asked

OPERATIONS: Mapping[str, tuple[str, str]] = {
    "get_job": ("GET", "/v1/jobs/{jid}"),
    "job_events": ("GET", "/v1/jobs/{jid}/events"),
    "end_job": ("DELETE", "/v1/jobs/{jid}"),
    "rerun_job": ("POST", "/v1/jobs/{jid}/rerun"),
    "show_cached_job": ("GET", "/jobs/{jid}"),
}
"""What may be asked of another master: the method and the path of each."""
OF_LOST_JOBS = frozenset({"get_job", "job_events", "rerun_job"})
"""What is answered here where the other master is lost, by what the event log knows."""
ASKED_HEADERS = (
    "accept",
    "content-type",
    "idempotency-key",
    "if-none-match",
    "last-event-id",
    "traceparent",
    "tracestate",
)
"""The headers of a request that are handed on."""
ANSWERED_HEADERS = frozenset(
    {
        b"allow",
        b"cache-control",
        b"content-length",
        b"content-type",
        b"etag",
        b"idempotency-key",
        b"idempotent-replayed",
        b"location",
        b"retry-after",
        b"x-accel-buffering",
        b"x-salt-jid",
    }
)
"""The headers of an answer that are handed back; the others are those of whoever hands it on."""
HANDED_ON = "saltapi.handed_on"
"""Marks the scope of a request that another master has handed on."""
UNAUTHORIZED = 401
Handle = Callable[[Scope, Receive, Send], Awaitable[None]]


async def from_elsewhere(request: Request, operation: str, jid: str) -> Response | None:
    """
    Return the answer of the master that has published a job.

    None if that is this one, or is lost and the job is known here.

    Args:
        request: The request; somebody known sends it, or it is refused.
        operation: Which of `OPERATIONS` it is.
        jid: The job.

    Raises:
        AuthenticationFailed, AddressRefused
        AuthorizationFailed: The other master does not know the session.
        MasterUnavailable: No door of the other master answers; nothing was done.
        OutcomeUnknown: It has died while it did something.
        ServiceBusy, BodyTooLarge
    """
    engine = engine_of(request)
    (await caller_of(request)).known()
    master = await _master_of(engine, request, jid)
    if master is None or engine.masters is None:
        return None
    question = {
        "operation": operation,
        "jid": jid,
        "query": request.scope["query_string"],
        "headers": [
            [name, request.headers[name]] for name in ASKED_HEADERS if name in request.headers
        ],
        "body": await read_body(request),
        "peer": peer_of(request),
        "token": token_of(request),
    }
    try:
        asked = await engine.masters.ask(master, question)
    except MasterUnavailable:
        lost = engine.lost_jobs if operation in OF_LOST_JOBS else None
        if lost is not None and await lost.look(master, jid):
            return None
        raise
    try:
        head = await _head(asked, master, operation)
    except BaseException:
        await engine.masters.release(asked)
        raise
    return _Handed(_body(engine, asked, request.scope), head["status"], head["headers"])


async def _master_of(engine: Engine[RestAsgiConfig], request: Request, jid: str) -> str | None:
    """Return the other master that has published a job; None for all other jobs."""
    if engine.masters is None or request.scope.get(HANDED_ON):
        return None
    if engine.jobs.registry.get(jid) is not None:
        return None
    try:
        return await engine.jobs.owners.elsewhere(lowstate.checked_jid(jid))
    except (StoreUnavailable, InvalidChunk):
        return None


async def _head(asked: "Asked", master: str, operation: str) -> dict[str, Any]:
    """Return what the answer begins with, if whoever asks is somebody there."""
    try:
        head = await asked.head()
    except MasterUnavailable:
        if OPERATIONS[operation][0] == "GET":
            raise
        raise OutcomeUnknown(
            f"The master {master} does not answer any more; what it has done is not known.",
            jids=(),
        ) from None
    if head["status"] == UNAUTHORIZED:
        raise AuthorizationFailed(
            f"The master {master}, which has published this job, does not know your session."
        )
    return head


async def _body(
    engine: Engine[RestAsgiConfig], asked: "Asked", scope: Scope
) -> AsyncIterator[bytes]:
    """Yield the body; where it ends too soon the connection does, so that nobody takes it whole."""
    assert engine.masters is not None  # noqa: S101 - it was asked
    try:
        async for part in asked.parts():
            yield part
    except MasterUnavailable:
        abort(scope)
    finally:
        await engine.masters.release(asked)


class _Handed(StreamingResponse):
    """An answer of another master."""

    def __init__(self, body: AsyncIterator[bytes], status: int, headers: list[list[bytes]]) -> None:
        super().__init__(body, status)
        self.raw_headers = [(name, value) for name, value in headers if name in ANSWERED_HEADERS]


def answerer_of(
    engine: Engine[RestAsgiConfig], handle: Handle
) -> Callable[[Any, "Answer"], Awaitable[None]]:
    """Return what answers other masters' questions as requests to the application *handle*."""

    async def answer(question: dict[str, Any], told: "Answer") -> None:
        scope = _scope(question, engine.section.root_prefix.rstrip("/"))
        await handle(scope, _Receiver(question["body"], told).receive, _sender(told))

    return answer


def _scope(question: Mapping[str, Any], prefix: str) -> Scope:
    """
    Return the request that a question is.

    Raises:
        NotFound: It is none of `OPERATIONS`.
        InvalidChunk: It is about no job.
    """
    method, path = OPERATIONS.get(str(question["operation"]), ("", ""))
    if not method:
        raise NotFound("There is no such operation.")
    where = prefix + path.format(jid=lowstate.checked_jid(question["jid"]))
    body = bytes(question["body"])
    headers = [
        (str(name).encode("latin-1"), str(text).encode("latin-1"))
        for name, text in question["headers"]
        if name in ASKED_HEADERS
    ]
    headers.append((b"x-auth-token", str(question["token"]).encode("latin-1")))
    if body:
        headers.append((b"content-length", str(len(body)).encode()))
    peer = str(question["peer"])
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": where,
        "raw_path": quote(where).encode(),
        "query_string": bytes(question["query"]),
        "root_path": "",
        "headers": headers,
        "client": (peer, 0) if peer else None,
        "server": None,
        "state": {},
        HANDED_ON: True,
    }


class _Receiver:
    """What the application receives of a request that was handed on."""

    def __init__(self, body: bytes, told: "Answer") -> None:
        self._body: bytes | None = bytes(body)
        self._told = told

    async def receive(self) -> Message:
        """Return the body; then, when nobody takes the answer any more, that."""
        body, self._body = self._body, None
        if body is not None:
            return {"type": "http.request", "body": body, "more_body": False}
        await self._told.gone.wait()
        return {"type": "http.disconnect"}


def _sender(told: "Answer") -> Send:
    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [[name, value] for name, value in message["headers"]]
            told.begin({"status": message["status"], "headers": headers})
        elif message["type"] == "http.response.body":
            await told.write(message.get("body", b""))
            if not message.get("more_body"):
                told.end()

    return send
