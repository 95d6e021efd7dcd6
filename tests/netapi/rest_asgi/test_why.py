"""Why a minion is silent, at a real master with real and simulated minions."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from salt.utils.event import get_master_event

from saltapi.config import load
from saltapi.demo import PrivateMaster
from saltapi.engine.fleet.codes import Code
from tests.apis import OURS, ApiServer, jid_of_now
from tests.netapi.rest_asgi.test_keys import DENIED, PEM, PENDING, REJECTED
from tests.swarm import Swarm
from tests.waiting import eventually

SOON = {"timeout": 1, "gather_job_timeout": 2}
SLOW_SLS = "first:\n  test.nop\nslow:\n  cmd.run:\n    - name: sleep 20\nlast:\n  test.nop\n"


@pytest.fixture(scope="module")
def api(master: PrivateMaster) -> Iterator[ApiServer]:
    states = master.directory / "states"
    states.mkdir(exist_ok=True)
    (states / "slow.sls").write_text(SLOW_SLS)
    with ApiServer(master, OURS, {"workers": 1}, module="rest_asgi") as server:
        yield server


class Asker:
    """Asks as somebody."""

    def __init__(self, api: ApiServer, name: str | None = None) -> None:
        self.api = api
        self.headers = {"X-Auth-Token": api.login(name)}

    def why(self, minion: str, jid: str | None = None, **more: str) -> dict[str, Any]:
        query = "&".join(f"{k}={v}" for k, v in {"jid": jid or "", **more}.items() if v)
        answer = self.api.send("GET", f"/v1/minions/{minion}/why?{query}", headers=self.headers)
        assert 200 == answer.status, answer
        found: dict[str, Any] = json.loads(answer.body)
        assert ["code", "sentence", "facts", "next"] == list(found)
        times = [fact["time"] for fact in found["facts"]]
        assert sorted(times) == times
        assert "{" not in found["sentence"] + found["next"]
        return found

    def code(self, minion: str, jid: str | None = None, **more: str) -> str:
        return str(self.why(minion, jid, **more)["code"])

    def run(self, fun: str, tgt: str, **more: Any) -> dict[str, Any]:
        """Run a function to its end; return what came of it."""
        chunk = {"tgt": tgt, "fun": fun, **more}
        answer = self.api.send("POST", "/v1/run", headers=self.headers, json_body=chunk)
        assert 200 == answer.status, answer
        found: dict[str, Any] = answer.value()["results"][0]
        return found

    def start(self, fun: str, tgt: str, **more: Any) -> str:
        """Start a function and return the jid."""
        return str(self.run(fun, tgt, client="local_async", **more)["jid"])


@pytest.fixture(scope="module")
def root(api: ApiServer) -> Asker:
    return Asker(api)


def test_described(api: ApiServer) -> None:
    """The OpenAPI document has every code, and those that `missing` of jobs may have."""
    schemas = json.loads(api.send("GET", "/openapi.json").body)["components"]["schemas"]
    assert set(Code) == set(schemas["Why"]["properties"]["code"]["enum"])
    missing = schemas["SummaryRecord"]["properties"]["missing"]["additionalProperties"]["enum"]
    assert set(missing) <= set(Code)


def whats(found: dict[str, Any]) -> str:
    return " ".join(fact["what"] for fact in found["facts"])


def test_returned(root: Asker) -> None:
    """Who has returned is not silent, and it is said when that was."""
    found = root.why("minion-1", root.run("test.ping", "minion-1")["jid"])
    assert "returned" == found["code"]
    assert "The job was published: test.ping for glob minion-1." in whats(found)
    assert "connected" == root.code("minion-1")


def test_not_received(root: Asker, swarm: Swarm) -> None:
    """Who is there and does not run the job has not received it; the job says so too."""
    assert swarm.ids
    job = root.run("sim.never", "sim-3", **SOON)
    assert {"sim-3": "not_received"} == job["missing"]
    found = root.why("sim-3", job["jid"])
    assert "not_received" == found["code"]
    assert "It said that it does not run the job." in whats(found)
    assert "Nobody waited for the rest of the job any more." in whats(found)


def test_returned_late(root: Asker, master: PrivateMaster, swarm: Swarm) -> None:
    """Who returns when nobody waits any more is late."""
    assert swarm.ids
    jid = root.run("sim.never", "sim-4", **SOON)["jid"]
    data = {"jid": jid, "id": "sim-4", "return": True, "retcode": 0, "success": True}
    with get_master_event(load(master.config_dir), str(master.directory / "master" / "s")) as bus:
        bus.fire_event({**data, "fun": "sim.never", "fun_args": []}, f"salt/job/{jid}/ret/sim-4")
    eventually(lambda: root.code("sim-4", jid) == "returned_late")


def test_running(root: Asker) -> None:
    """Who still runs the job is at one of its states."""
    jid = root.start("state.apply", "minion-2", arg=["slow"], kwarg={"state_events": True})
    eventually(lambda: "state 1 of 3" in root.why("minion-2", jid)["sentence"])
    assert "running" == root.code("minion-2", jid)
    assert "running" == root.code("minion-2", jid, ask="true")
    path = f"/v1/jobs/{jid}"
    assert 200 == root.api.send("DELETE", path, headers=root.headers).status
    assert root.code("minion-2", jid) in {"terminated", "killed"}


def test_not_asked(root: Asker, swarm: Swarm) -> None:
    """Where nobody has asked, nothing is known until somebody does."""
    assert swarm.ids
    jid = root.start("sim.never", "sim-5")
    assert root.code("sim-5", jid) in {"not_asked", "waiting"}
    assert "not_received" == root.code("sim-5", jid, ask="true")
    assert "connected" == root.code("sim-5", ask="true")


def test_not_matched(root: Asker) -> None:
    """Who was not meant is told which part of the target does not match."""
    kernel = {"tgt_type": "compound"}
    target = "G@kernel:Linux and minion-* and not minion-2"
    jid = root.run("test.ping", target, **kernel)["jid"]
    found = root.why("minion-2", jid)
    assert "not_matched" == found["code"]
    told = whats(found)
    assert "The compound G@kernel:Linux matches it now; its kernel is Linux." in told
    assert "The compound minion-2 matches it now." in told
    assert f"The compound {target} does not match it now." in told
    listed = root.run("test.ping", "minion-1", tgt_type="list")["jid"]
    assert "not_matched" == root.code("minion-2", listed)


@pytest.fixture
def key(master: PrivateMaster) -> Iterator[Callable[[str], None]]:
    """Put a key of `sim-key` where the master has it, until the test has ended."""
    pki = master.directory / "master" / "pki"
    written: list[Path] = []

    def put(directory: str) -> None:
        while written:
            written.pop().unlink(missing_ok=True)
        written.append(pki / directory / "sim-key")
        written[-1].parent.mkdir(exist_ok=True)
        written[-1].write_text(PEM)

    yield put
    for path in written:
        path.unlink(missing_ok=True)


def test_keys(root: Asker, key: Callable[[str], None], api: ApiServer) -> None:
    """A key that is not accepted is the reason, for who may see keys."""
    low = Asker(api, "low")
    codes = {PENDING: "key_pending", REJECTED: "key_rejected"}
    for directory, code in codes.items():
        key(directory)
        assert code == told_as(root, code, "sim-key")["code"]
        assert "not_permitted" == low.code("sim-key")
    jid = root.run("test.ping", "minion-1")["jid"]
    assert "key_rejected" == root.code("sim-key", jid)


def test_what_there_is_not(root: Asker) -> None:
    """Who may see everything is told what there is not."""
    assert "unknown_minion" == root.code("nobody")
    assert "unknown_job" == root.code("minion-1", jid_of_now())


def test_nobody_learns_more(root: Asker, api: ApiServer, key: Callable[[str], None]) -> None:
    """What is not there and what one may not see cannot be told apart."""
    key(PENDING)
    low, scoped = Asker(api, "low"), Asker(api, "scoped")
    others = root.run("test.ping", "minion-*")["jid"]
    own = scoped.run("test.ping", "minion-1")["jid"]
    hidden = scoped.why("minion-2")
    assert "not_permitted" == hidden["code"]
    assert [] == hidden["facts"]
    for minion in ("nobody", "sim-key", "a%2F..%2Fb", "%F0%9F%90%A7", "minion-2%2Fx"):
        assert hidden == scoped.why(minion)
        assert hidden == scoped.why(minion, own)
        assert hidden == low.why(minion)
    for minion, jid in (
        ("minion-1", others),
        ("minion-1", jid_of_now()),
        ("minion-2", others),
        ("minion-2", own),
    ):
        assert hidden == scoped.why(minion, jid)
    assert "returned" == scoped.code("minion-1", own)
    runners = Asker(api, "runners")
    assert hidden == runners.why("minion-1")
    assert hidden == runners.why("minion-1", own)


def test_grains_stay_hidden(root: Asker, api: ApiServer) -> None:
    """Which grain did not match is told to who may read grains."""
    low = Asker(api, "low")
    target = "minion-1 and G@kernel:Linux"
    jid = low.run("test.ping", target, tgt_type="compound")["jid"]
    found = low.why("minion-2", jid)
    assert "not_matched" == found["code"]
    assert "The compound minion-1 does not match it now." in whats(found)
    assert "Whether the compound G@kernel:Linux matches it, you may not know." in whats(found)


def test_what_is_no_jid(root: Asker) -> None:
    """What cannot be a job id is refused."""
    answer = root.api.send("GET", "/v1/minions/minion-1/why?jid=x", headers=root.headers)
    assert 400 == answer.status
    answer = root.api.send("GET", "/v1/minions/minion-1/why")
    assert 401 == answer.status


def test_denied(root: Asker, master: PrivateMaster, key: Callable[[str], None]) -> None:
    """Somebody who comes with another key is the reason where the minion itself is away."""
    pki = master.directory / "master" / "pki" / "minions"
    key(DENIED)
    assert "key_denied" == eventually(lambda: root.code("sim-key"))
    assert not (pki / "sim-key").exists()


def told_as(root: Asker, code: str, minion: str, jid: str | None = None) -> dict[str, Any]:
    """Return the answer as soon as it has that code."""
    found: dict[str, Any] = {}

    def asked() -> bool:
        found.update(root.why(minion, jid))
        return bool(found["code"] == code)

    eventually(asked, 60.0)
    return found
