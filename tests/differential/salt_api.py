"""Both servers, with everybody logged in whom the corpus needs."""

from collections.abc import Mapping
from typing import Any

from saltapi.check.against import sides
from saltapi.check.against.request import Request
from tests.apis import ApiServer
from tests.waiting import scaled

ANSWER_SECONDS = scaled(sides.ANSWER_SECONDS)


class Side(sides.Side):
    """One of the two servers, with the sessions and values that requests refer to."""

    def __init__(
        self,
        name: str,
        server: ApiServer,
        jid: str,
        *,
        minted: str | None = None,
        seconds: float = ANSWER_SECONDS,
    ) -> None:
        """
        Log in as everybody whom the corpus needs.

        Args:
            name: `salt` or `ours`.
            server: The running server.
            jid: A job that has run at its master.
            minted: A token of Salt's; by default `/token` makes one.
            seconds: How long an answer may take.
        """
        self.name = name
        self.server = server
        master = server.master
        if minted is None:
            credentials = master.credentials()
            minted = server.send("POST", "/token", json_body=credentials).value()[0]["token"]
        values = {
            "SIDE": name,
            "JID": jid,
            "USER": master.username,
            "PASSWORD": master.password,
            "LOW_PASSWORD": master.credentials("low")["password"],
            "SCOPED_PASSWORD": master.credentials("scoped")["password"],
            "TOKEN": server.login(),
            "LOW_TOKEN": server.login("low"),
            "SALT_TOKEN": minted,
        }
        super().__init__(server.port, values, seconds=seconds)

    def values_for(self, request: Request) -> Mapping[str, str]:
        """Log in once more for a request that ends its session."""
        return {**self.values, **({"FRESH": self.server.login()} if request.needs_fresh else {})}


def command(server: ApiServer, token: str, **chunk: Any) -> Any:
    """Run one chunk and return its result."""
    answer = server.send("POST", "/", headers={"X-Auth-Token": token}, json_body=[chunk])
    assert 200 == answer.status, answer
    return answer.value()["return"][0]
