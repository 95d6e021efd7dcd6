"""
What requests and answers have in common, whichever server they go through.

Functions of plain values: where the token of a request stands, what an error looks like, which
headers a page of another origin gets.
"""

import asyncio
import gzip
import html
import http.cookies
import io
import tarfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from saltapi import errors, formats
from saltapi.config import KIB, HttpSection

COOKIE = "session_id"
SERVER = "saltapi"
"""What the header `Server` says; clients of Salt look there for other words (`TornadoServer`)."""
COMPRESSED_FROM_BYTES = 1 * KIB
IN_THREAD_FROM_BYTES = 64 * KIB
ERROR_TYPES = (formats.JSON_TYPE, formats.YAML_TYPE, formats.HTML_TYPE)
HTML_PAGE_TYPE = "text/html;charset=utf-8"
UNEXPECTED = "An unexpected error occurred"
EXPOSED_HEADERS = "X-Auth-Token, X-Request-Id, X-Salt-Missing, Idempotency-Replayed"
STREAM_HEADERS = {
    "Cache-Control": "no-cache",
    "Connection": "keep-alive",
    "X-Accel-Buffering": "no",  # nginx would keep events back
}
"""Headers of a stream of server-sent events, beside its Content-Type."""

UPGRADE_HEADERS = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
}
"""What belongs to the opening of a WebSocket, and to an answer with status 426."""


def session_tokens(
    headers: Mapping[str, str], cookie: str | None, takes: Callable[[str], bool]
) -> list[str]:
    """
    Return the session tokens that a request may mean, from a header before the cookie.

    There are two with a bearer token beside the cookie: login proxies add one of their own, which
    is nobody's session here. One that cannot be a session's is passed over.

    Args:
        headers: The request's headers.
        cookie: The value of its session cookie, if it has one.
        takes: Tells whether a bearer token looks like one that stands for somebody here.
    """
    token = headers.get("X-Auth-Token", "").strip()
    if token:
        return [token]
    bearer = bearer_of(headers.get("Authorization", ""), takes)
    return [*([bearer] if bearer else []), *([cookie] if cookie else [])]


def bearer_of(authorization: str, takes: Callable[[str], bool]) -> str:
    """Return the token of the header `Authorization`, if it is one that *takes* knows; else ""."""
    scheme, _, bearer = authorization.partition(" ")
    bearer = bearer.strip()
    return bearer if scheme.lower() == "bearer" and takes(bearer) else ""


def listener_token(section: HttpSection, token: str, *in_url: Any) -> str:
    """
    Return the token of who listens: that of headers or cookie, else of the URL if that is allowed.

    Args:
        section: The module's options.
        token: That of headers or cookie; "" without one.
        in_url: Where the URL may have it; what is no text is passed over.
    """
    if token or not section.token_in_url:
        return token
    return next((text for text in in_url if text and isinstance(text, str)), "")


def session_cookie(
    token: str, expire: float | None, *, path: str, secure: bool
) -> "http.cookies.Morsel[str]":
    """
    Return the cookie that hands a browser its session token, or takes it back.

    Args:
        token: The token.
        expire: When it ends, in epoch seconds; None takes the cookie back.
        path: The URL path that the module is at.
        secure: Whether the connection has TLS.
    """
    age = 0 if expire is None else max(0, int(expire - time.time()))
    cookie = http.cookies.SimpleCookie({COOKIE: token})[COOKIE]
    cookie["path"] = path
    cookie["max-age"] = age
    cookie["expires"] = age if expire is not None else -TAKEN_BACK_SECONDS
    cookie["httponly"] = True
    cookie["samesite"] = "Lax"
    if secure:
        cookie["secure"] = True
    return cookie


TAKEN_BACK_SECONDS = 86_400
"""So long ago a cookie ended that is taken back; clocks differ."""


def cors_headers(
    origin: str | None, listed: Sequence[str], exposed: str = EXPOSED_HEADERS
) -> dict[str, str]:
    """
    Return the headers for a page of *origin*: none unless `cors_origin` lists it.

    Args:
        origin: The header `Origin`.
        listed: What `cors_origin` lists.
        exposed: The headers of an answer that the page may read.
    """
    if not origin:
        return {}
    if origin in listed:
        allowed = {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Allow-Credentials": "true",
        }
    elif "*" in listed:
        allowed = {"Access-Control-Allow-Origin": "*"}
    else:
        return {}
    return {**allowed, "Access-Control-Expose-Headers": exposed}


def error_headers(status: int, error: errors.SaltApiError | None = None) -> dict[str, str]:
    """Return the headers that belong to an error."""
    headers = {}
    if error is not None and error.retry_after_seconds is not None:
        headers["Retry-After"] = str(error.retry_after_seconds)
    if status == 401:
        headers["WWW-Authenticate"] = "Session"
    if status in {408, 413}:
        headers["Connection"] = "close"
    if status == 426:
        headers |= UPGRADE_HEADERS
    return headers


def error_body(
    accept: str | None, status: int, sentence: str, error: errors.SaltApiError | None = None
) -> tuple[str, bytes]:
    """Return type and bytes of an error in a format that the client accepts."""
    try:
        media_type = formats.negotiate(accept, ERROR_TYPES)
    except errors.NotAcceptable:
        media_type = formats.JSON_TYPE
    if media_type == formats.HTML_TYPE:
        return HTML_PAGE_TYPE, _error_page(status, sentence)
    body: dict[str, Any] = {"status": status, "return": sentence}
    if error is not None and error.completed:
        body["completed"] = list(error.completed)
    if media_type == formats.YAML_TYPE:
        return media_type, formats.dump_yaml(body)
    return media_type, formats.dump_json_in_parts(body)


def wants_gzip(accept_encoding: str | None, size_bytes: int) -> bool:
    """Return whether a body of this size is to be compressed for this client."""
    return (
        size_bytes >= COMPRESSED_FROM_BYTES and formats.quality(accept_encoding or "", "gzip") > 0
    )


def compressed(body: bytes) -> bytes:
    """Return *body* as `Content-Encoding: gzip` has it."""
    return gzip.compress(body, compresslevel=5)


async def compressed_on_loop(body: bytes) -> bytes:
    """Same as `compressed`, for an event loop: what takes long is done in a thread."""
    if len(body) < IN_THREAD_FROM_BYTES:
        return compressed(body)
    return await asyncio.to_thread(compressed, body)


def flattened(body: Any, results: list[Any]) -> list[Any]:
    """Return *results* with those of each `local_batch` spread out, as Salt's module has them."""
    chunks = body if isinstance(body, list) else [body]
    flat: list[Any] = []
    for chunk, result in zip(chunks, results, strict=True):
        flat.extend(result if chunk.get("client") == "local_batch" else [result])
    return flat


def welcome(clients: Iterable[str]) -> dict[str, Any]:
    """Return what `/` says."""
    return {"return": "Welcome", "clients": sorted(clients)}


LOGIN_PAGE = {"status": None, "return": "Please log in"}
LOGGED_OUT = {"return": "Your token has been cleared"}
FIRED = {"success": True}


def started_jobs(jobs: Iterable[Any], base: str) -> dict[str, Any]:
    """Return what `POST /minions` answers: jobs, and links to them below the path *base*."""
    jobs = list(jobs)
    links = [{"href": f"{base}/jobs/{job['jid']}"} for job in jobs if job]
    return {"return": jobs, "_links": {"jobs": links}}


def one_job(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `/jobs/<jid>` answers: what the job cache has, and the returns alone."""
    results = info.get("Result") or {}
    returns = {
        mid: result.get("return") if isinstance(result, dict) else result
        for mid, result in results.items()
    }
    return {"info": [info], "return": [returns]}


def hook_event(body: bytes, post: Any, headers: Mapping[str, str], peer: str) -> dict[str, Any]:
    """
    Return the data of the event that a web hook fires.

    Args:
        body: The request's body.
        post: The same, decoded.
        headers: The request's headers, their names as CherryPy writes them (`X-My-Header`).
        peer: The address that the request comes from.
    """
    return {
        "body": body.decode("utf-8", "replace"),
        "post": {} if post is None else post,
        "headers": {**headers, "Remote-Addr": peer},
    }


def process_statistics(
    name: str, started_at: float, statuses: Mapping[int, int], in_flight: int, listeners: int
) -> dict[str, Any]:
    """Return what `/stats` says of a process that serves the section *name*."""
    return {
        name: {
            "Start Time": started_at,
            "Requests": sum(statuses.values()),
            "Requests In Flight": in_flight,
            "Statuses": {str(status): count for status, count in sorted(statuses.items())},
            "Listeners": listeners,
        }
    }


def wants_page(accept: str | None) -> bool:
    """Return whether this is a browser that would rather have a page than data."""
    if not accept:
        return False
    data = max(formats.quality(accept, name) for name in formats.OUTPUT_TYPES)
    return formats.quality(accept, formats.HTML_TYPE) > data


def key_archive(mid: str, public: bytes, private: bytes) -> tuple[dict[str, str], bytes]:
    """Return headers and bytes of the tar archive with a minion's new keys."""
    archive = _tar([("minion.pub", public, 0o644), ("minion.pem", private, 0o400)])
    headers = {
        "Content-Type": "application/x-tar",
        "Content-Disposition": f'attachment; filename="saltkeys-{mid}.tar"',
        "Cache-Control": "no-cache",
        "Content-Length": str(len(archive)),
    }
    return headers, archive


def _tar(files: Iterable[tuple[str, bytes, int]]) -> bytes:
    """Return a tar archive of names, contents and modes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content, mode in files:
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), mode
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _error_page(status: int, sentence: str) -> bytes:
    text = html.escape(sentence)
    return (
        f"<!DOCTYPE html><html><head><title>{status}</title></head>"
        f"<body><h2>{status}</h2><p>{text}</p></body></html>"
    ).encode()
