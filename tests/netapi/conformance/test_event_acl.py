"""`event_acl`: whoever listens sees what the option says, at every URL of every module."""

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer
from tests.netapi.conformance.client import MODULES
from tests.netapi.test_secrets import listening, until

TEXT = b"not-for-everybody"
URLS = {
    "rest_cherrypy": ["/events", "ws:/ws", "ws:/ws?format_events"],
    "rest_tornado": [
        "/events",
        "ws:/all_events",
        "ws:/formatted_events",
        "ws:/ws",
        "ws:/ws?format_events",
    ],
    "rest_asgi": ["/events", "ws:/ws", "ws:/ws?format_events"],
}
EVENT_ACL = {"*": "permitted", "file:scoped": "all", "file:runners": "own"}
SECTION = {"event_acl": EVENT_ACL, "administrators": ["file:wheels"]}


@pytest.fixture(scope="module", params=MODULES)
def limited(request: pytest.FixtureRequest, master: PrivateMaster) -> Iterator[ApiServer]:
    """The module with users who see what they may run, all, what is their own, everything."""
    section: dict[str, Any] = dict(SECTION)
    if request.param == "rest_tornado":
        section["websockets"] = True
    with ApiServer(master, OURS, section, module=request.param) as server:
        yield server


async def run(api: ApiServer, **chunk: Any) -> str:
    """Run a chunk on a minion as who may run everything, and return its jid."""
    body = [{"client": "local_async", "tgt": "minion-1", **chunk, **api.master.credentials()}]
    answer = await asyncio.to_thread(api.send, "POST", "/run", json_body=body)
    assert 200 == answer.status, answer
    return str(answer.value()["return"][0]["jid"])


def seen(got: bytearray, jid: bytes) -> bool:
    """Return whether something about a job has come."""
    return jid in got


async def test_who_sees_what(limited: ApiServer) -> None:
    """Jobs reach those who may see them, by each stream and each view."""
    tokens = {
        name: await asyncio.to_thread(limited.login, name)
        for name in ("low", "scoped", "runners", "wheels")
    }
    for url in URLS[limited.module]:
        async with (
            listening(limited, url, tokens["low"]) as low,
            listening(limited, url, tokens["scoped"]) as everything,
            listening(limited, url, tokens["runners"]) as own,
            listening(limited, url, tokens["wheels"]) as administrator,
        ):
            first = (await run(limited, fun="test.echo", arg=[TEXT.decode()])).encode()
            for one in (everything, administrator):
                await until(partial(seen, one, first))
            second = (await run(limited, fun="test.ping")).encode()
            for one in (low, everything, administrator):
                await until(partial(seen, one, second))

            assert first not in low, url
            assert TEXT not in low, url
            assert first not in own, url
            assert second not in own, url
