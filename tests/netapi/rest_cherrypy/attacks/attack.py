"""
What has been used, or could be, against salt-api, sent over HTTP; the promise is "no effect".

The names of the tests are those of the advisories (CVE-…) where there is one.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.apis import ApiServer
from tests.waiting import scaled
from tests.wire import Answer

MODULES = ["rest_cherrypy", "rest_asgi"]
LONG_CHARACTERS = 1_000_000
SECRET = "zU8-never-to-be-seen"
STREAM_SECONDS = 30.0
SHORT_TOKEN_SECONDS = round(scaled(2))
TRAVERSALS = ["../../../../etc/passwd", "..%2f..%2f..%2fetc%2fpasswd", "%252e%252e%252fetc"]
CLIENTS = [
    {"client": "local", "tgt": "*"},
    {"client": "local_async", "tgt": "*"},
    {"client": "local_batch", "tgt": "*", "batch": "1"},
    {"client": "local_subset", "tgt": "*", "subset": 1},
    {"client": "ssh", "tgt": "*"},
]
"""Every client interface that runs a function on a minion."""


ONE_MODULE = pytest.mark.parametrize("api", MODULES[:1], indirect=True)
"""Of tests with many requests that the engine decides: any module will do."""


def post(api: ApiServer, path: str, value: Any, token: str | None = None) -> Answer:
    """POST *value* as JSON."""
    headers = {} if token is None else {"X-Auth-Token": token}
    return api.send("POST", path, headers=headers, json_body=value)


def touch(marker: Path) -> dict[str, Any]:
    """Return the part of a chunk that would make *marker*."""
    return {"fun": "cmd.run", "arg": [f"touch {marker}"]}


def assert_no_effect(api: ApiServer, token: str, marker: Path) -> None:
    """Fail if *marker* exists or any job ever had its name among its arguments."""
    jobs = api.send("GET", "/jobs", headers={"X-Auth-Token": token}).value()["return"][0]
    assert jobs
    assert [] == [jid for jid, job in jobs.items() if str(marker) in json.dumps(job)]
    assert not marker.exists()


def websocket(api: ApiServer, headers: dict[str, str], path: str = "/ws") -> int:
    """Return the status of the answer to the opening handshake of a websocket."""
    handshake = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "s65VsgHigh7v/Jcf4nXHnA==",
    }
    return api.send("GET", path, headers={**handshake, **headers}).status
