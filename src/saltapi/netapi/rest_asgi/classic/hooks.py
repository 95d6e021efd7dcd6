"""`/hook`: what is posted becomes an event."""

from typing import Annotated, Any

from fastapi import Path, Request, Response

from saltapi.netapi._http.answers import FIRED, hook_event
from saltapi.netapi.rest_asgi.classic import documents
from saltapi.netapi.rest_asgi.classic.route import Operation, add_header, answered
from saltapi.netapi.rest_asgi.paths import unescaped
from saltapi.netapi.rest_asgi.protection import COMMANDS
from saltapi.netapi.rest_asgi.requests import (
    decoded_body,
    engine_of,
    peer_of,
    read_body,
    token_of,
)

Tag = Annotated[str, Path(description="What follows `salt/netapi/hook/` in the event's tag.")]


async def fire_hook(request: Request) -> Response:
    """
    Fire the event `salt/netapi/hook` with what is posted.

    Needs a session unless the config lets anybody in (`webhook_disable_auth`), or has a secret for
    the path (`webhook_secrets`), with which the request must be signed.
    """
    return await _fire(request, [])


async def fire_hook_below(request: Request, tag: Tag) -> Response:
    """
    Fire the event `salt/netapi/hook/<tag>` with what is posted.

    Needs a session unless the config lets anybody in (`webhook_disable_auth`), or has a secret for
    the path (`webhook_secrets`), with which the request must be signed.
    """
    return await _fire(request, [unescaped(part) for part in tag.split("/")])


async def _fire(request: Request, tag: list[str]) -> Response:
    engine, peer, body = engine_of(request), peer_of(request), await read_body(request)
    open_to_all = engine.section.webhook_disable_auth
    if not open_to_all:
        add_header(request, "Cache-Control", "private")

    async def event(headers: dict[str, str]) -> dict[str, Any]:
        named = {name.title(): text for name, text in headers.items()}
        return hook_event(body, await decoded_body(request, is_hook=True), named, peer)

    await engine.api.hook(
        tag,
        headers=_headers(request),
        body=body,
        event=event,
        token=token_of(request),
        peer=peer,
        open_to_all=open_to_all,
    )
    return await answered(request, FIRED)


def _headers(request: Request) -> dict[str, str]:
    """Return the headers by name, those that come more than once as one."""
    found: dict[str, str] = {}
    for name, text in request.headers.items():
        separator = "; " if name == "cookie" else ", "
        found[name] = f"{found[name]}{separator}{text}" if name in found else text
    return found


_FIRES: dict[str, Any] = {
    "tag": "hooks",
    "session": True,
    "body": documents.ANYTHING,
    "answer": "The event was fired.",
    "content": documents.FIRED,
}

HOOK = [
    Operation("POST", fire_hook, COMMANDS, **_FIRES),
    Operation("POST", fire_hook_below, COMMANDS, "/{tag:path}", **_FIRES),
]
