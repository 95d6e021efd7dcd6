"""Last highstates after a restart, at a real master."""

import pytest

from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer
from tests.netapi.rest_asgi.test_minions import run
from tests.waiting import eventually


def last_jid(server: ApiServer, token: str) -> str | None:
    """Return the jid of the last highstate of `minion-1`, as the list has it."""
    answer = server.send("GET", "/v1/minions?id=minion-1", headers={"X-Auth-Token": token})
    (minion,) = answer.value()["minions"]
    return minion["last_highstate"] and str(minion["last_highstate"]["jid"])


@pytest.mark.long
def test_after_a_restart(master: PrivateMaster) -> None:
    """A new process knows the last highstates, also those that ran while none was there."""
    section = {"workers": 2}
    with ApiServer(master, OURS, section, module="rest_asgi") as server:
        token = server.login()
        jid = run(server, token, "state.highstate")
        eventually(lambda: jid == last_jid(server, token))
    with ApiServer(master, OURS, module="rest_cherrypy") as other:
        chunk = {"client": "local", "tgt": "minion-1", "fun": "state.apply", "full_return": True}
        answer = other.send("POST", "/", headers={"X-Auth-Token": other.login()}, json_body=[chunk])
        meanwhile = answer.value()["return"][0]["minion-1"]["jid"]
    with ApiServer(master, OURS, section, module="rest_asgi") as server:
        token = server.login()
        eventually(lambda: meanwhile == last_jid(server, token))
