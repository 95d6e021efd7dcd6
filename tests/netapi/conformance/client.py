"""A client that is logged in, and the words of the conformance tests."""

import re
from collections.abc import Mapping
from typing import Any

from tests.apis import ApiServer
from tests.wire import Answer

MODULES = ["rest_cherrypy", "rest_tornado", "rest_asgi"]
"""The modules that these promises are made for."""

JSON = "application/json"
YAML = "application/x-yaml"
HTML = "text/html"
PING = {"client": "local", "tgt": "*", "fun": "test.ping"}
PONG = {"minion-1": True, "minion-2": True}
UNKNOWN_TOKEN = "The token is unknown or has expired; log in again."
NO_TOKEN = "There is no token: log in, and send the token that you get as X-Auth-Token."
NOT_AUTHENTICATED = "Could not authenticate using provided credentials"
TOKEN = re.compile(r"[0-9a-f]{64}")
JID = re.compile(r"[0-9]{20}")


class Client:
    """Somebody who is logged in."""

    def __init__(self, server: ApiServer) -> None:
        self.server = server
        self.token = server.login()

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        raw: bytes | None = None,
    ) -> Answer:
        """Send a request with the session's token; *body* as JSON, or *raw* as it is."""
        names = {"X-Auth-Token": self.token, **(headers or {})}
        return self.server.send(method, path, headers=names, json_body=body, body=raw)

    def value(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Return what the body of an answer says that must be a success."""
        answer = self.send(method, path, body, headers=headers)
        assert answer.status in {200, 202}, answer
        return answer.value()
