"""
Jobs of others, attacked by events: what a minion fires as if the master had announced a job.

Whoever may run `event.fire_master` on one minion can fire any event: Salt's filter of tags does not
see what a `pretag` makes of them.
"""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from salt.version import __saltstack_version__ as salt_version

from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer
from tests.waiting import eventually
from tests.wire import Answer

SECRET = "only for my eyes"
ARG = {"tgt": "minion-1", "fun": "test.arg", "arg": [SECRET]}


class User:
    """Somebody who is logged in."""

    def __init__(self, api: ApiServer, name: str | None) -> None:
        self.api = api
        self.name = name
        self.token = api.login(name)

    def ask(self, method: str, path: str, body: Any = None) -> Answer:
        headers = {"X-Auth-Token": self.token}
        return self.api.send(method, path, json_body=body, headers=headers)

    def run(self, chunk: dict[str, Any]) -> str:
        """Run *chunk* at `/v1/run` and return the jid."""
        answer = self.ask("POST", "/v1/run", chunk)
        assert 200 == answer.status, answer
        return str(answer.value()["results"][0]["jid"])

    def start(self, chunk: dict[str, Any]) -> str:
        """Start *chunk* at `/`, of which nothing is recorded, and return the jid when it ended."""
        chunk = {**chunk, "client": "local_async"}
        jid = str(self.ask("POST", "/", [chunk]).value()["return"][0]["jid"])
        eventually(lambda: self.job(jid).value()["complete"])
        return jid

    def job(self, jid: str) -> Answer:
        return self.ask("GET", f"/v1/jobs/{jid}")

    def rerun(self, jid: str, **body: Any) -> Any:
        """Run a job again and return the status and what the body says."""
        answer = self.ask("POST", f"/v1/jobs/{jid}/rerun", body)
        return answer.status, json.loads(answer.body)

    def lists(self, jid: str) -> bool:
        """Return whether the job is in the user's list of jobs."""
        jobs = self.ask("GET", "/v1/jobs?limit=500").value()["jobs"]
        return jid in [job["jid"] for job in jobs]


class Site:
    """A server of one master, with its users."""

    def __init__(self, api: ApiServer) -> None:
        self.api = api
        self.root = User(api, None)
        self.owner = User(api, "scoped")
        self.other = User(api, "low")

    def forge(self, tag: str, data: dict[str, Any]) -> None:
        """Let a minion fire an event, and wait until it has come."""
        base, _, name = tag.rpartition("/")
        preload = {"pretag": base, "events": [{"tag": name, "data": data}]}
        chunk: dict[str, Any] = {"client": "local", "tgt": "minion-2", "fun": "event.fire_master"}
        chunk |= {"arg": [{}, "x"], "kwarg": {"preload": preload}}
        found = self.root.ask("POST", "/", [chunk]).value()["return"]
        assert [{"minion-2": True}] == found
        self.root.run({"tgt": "minion-2", "fun": "test.ping"})  # what comes after it has come

    def forge_start(self, jid: str, **more: Any) -> None:
        """Forge the `new` event of a job."""
        data = {"jid": jid, "user": "low", "fun": "test.ping", "arg": [], "tgt": "*"}
        minions = ["minion-1", "minion-2"]
        data |= {"tgt_type": "glob", "minions": minions, "missing": [], **more}
        self.forge(f"salt/job/{jid}/new", data)


@pytest.fixture(scope="module")
def site(master: PrivateMaster) -> Iterator[Site]:
    with ApiServer(master, OURS, {"workers": 1}, module="rest_asgi") as server:
        yield Site(server)


@pytest.fixture(scope="module")
def before(site: Site) -> dict[str, str]:
    """Jobs that began before `restarted` did, by who has started them and where."""
    runner = {"client": "runner", "fun": "test.arg", "arg": [SECRET]}
    return {
        "recorded": site.owner.run(ARG),
        "only cached": site.owner.start(ARG),
        "runner": User(site.api, "runners").run(runner),
    }


@pytest.fixture(scope="module")
def restarted(master: PrivateMaster, before: dict[str, str]) -> Iterator[Site]:
    """A server that has not seen what was before it."""
    assert before
    with ApiServer(master, OURS, {"workers": 1}, module="rest_asgi") as server:
        yield Site(server)


def test_forged_start(site: Site) -> None:
    """A `new` event of a job that is known changes nothing, and is said in the log."""
    for jid in (site.owner.run(ARG), site.owner.start(ARG)):
        assert 404 == site.other.job(jid).status
        site.forge_start(jid, fun="cmd.run", arg=["id"])
        assert 404 == site.other.job(jid).status
        assert not site.other.lists(jid)
        job = site.owner.job(jid).value()
        assert ("test.arg", [SECRET], "minion-1") == (job["fun"], job["arg"], job["tgt"])
        assert ("scoped", ["minion-1"]) == (job["user"], job["expected"])
        line = f"event of job {jid}, perhaps forged"
        assert line in site.api.log()


def test_rerun_of_what_was_recorded(site: Site) -> None:
    """The owner's rerun runs what was started, whatever events say of it."""
    jid = site.owner.run(ARG)
    site.forge_start(jid, fun="cmd.run", arg=["id"], tgt="minion-2", minions=["minion-2"])
    _, answer = site.owner.rerun(jid)
    (result,) = answer["results"]
    assert ("test.arg", [SECRET], "minion-1") == (result["fun"], result["arg"], result["tgt"])


def test_forged_return(site: Site) -> None:
    """A minion that the job was not for is not run on before it was shown."""
    jid = site.root.run(ARG)
    data = {"id": "minion-2", "jid": jid, "return": "x", "retcode": 1, "fun": "test.arg"}
    site.forge(f"salt/job/{jid}/ret/minion-2", data)
    eventually(lambda: "minion-2" in site.root.job(jid).value()["failed"])
    status, shown = site.root.rerun(jid, minions="failed")
    assert (409, "confirmation_needed") == (status, shown["code"])
    assert ["minion-2"] == shown["command"]["tgt"]
    assert 200 == site.root.rerun(jid, minions=["minion-1"])[0]


def test_forged_before(site: Site) -> None:
    """A job that does not exist yet, or never will, is nobody's."""
    later = f"{time.strftime('%Y%m%d%H%M', time.gmtime(time.time() + 600))}00123456"
    for jid in (later, "20260101000000123456"):
        site.forge_start(jid)
        assert 404 == site.other.job(jid).status
        assert not site.other.lists(jid)


@pytest.mark.parametrize("name", ["recorded", "only cached"])
def test_after_a_restart(restarted: Site, before: dict[str, str], name: str) -> None:
    """An event that comes when the job is not known any more takes nothing over."""
    jid = before[name]
    restarted.forge_start(jid)
    assert 404 == restarted.other.job(jid).status
    assert not restarted.other.lists(jid)
    job = restarted.owner.job(jid).value()
    assert ("scoped", "test.arg", [SECRET]) == (job["user"], job["fun"], job["arg"])
    assert restarted.owner.lists(jid)


def test_function_after_a_restart(restarted: Site, before: dict[str, str]) -> None:
    """The same for what a runner function has returned."""
    jid = before["runner"]
    data = {"jid": jid, "user": "low", "fun": "runner.test.arg", "fun_args": []}
    restarted.forge(f"salt/run/{jid}/new", data)
    restarted.forge_start(jid)
    assert 404 == restarted.other.job(jid).status
    runners = User(restarted.api, "runners")
    assert SECRET in json.dumps(runners.job(jid).value()["result"])


def test_rerun_after_a_restart(restarted: Site, before: dict[str, str]) -> None:
    """What was recorded runs; what only the job cache tells is shown, and runs when confirmed."""
    owner = restarted.owner
    _, answer = owner.rerun(before["recorded"])
    (result,) = answer["results"]
    assert ("test.arg", [SECRET]) == (result["fun"], result["arg"])

    jid = before["only cached"]
    for body in ({}, {"confirm": "0" * 64}):
        status, shown = owner.rerun(jid, **body)
        assert (409, "confirmation_needed") == (status, shown["code"])
        command = {**ARG, "client": "local", "tgt_type": "glob"}
        assert command == shown["command"]
    assert 409 == owner.rerun(jid, minions="failed", confirm=shown["confirm"])[0]
    _, answer = owner.rerun(jid, confirm=shown["confirm"])
    (result,) = answer["results"]
    assert ("test.arg", [SECRET]) == (result["fun"], result["arg"])


@pytest.mark.long
@pytest.mark.skipif(salt_version.major < 3008, reason="it has no other job cache")
def test_cache_that_loses_loads(private_master: Callable[..., PrivateMaster]) -> None:
    """Where a return takes the place of the load, the arguments are those of the return."""
    options = {"master_job_cache": "salt_cache"}
    master = private_master(minions=["minion-1"], options=options)
    chunk = {"tgt": "minion-*", "fun": "cmd.run_all", "arg": ["exit 3"]}
    with ApiServer(master, OURS, {"workers": 1}, module="rest_asgi") as server:
        user = User(server, None)
        recorded, started = user.run(chunk), user.start(chunk)
    with ApiServer(master, OURS, {"workers": 1}, module="rest_asgi") as server:
        user = User(server, None)
        job = user.job(started).value()
        assert (None, ["exit 3"]) == (job["tgt"], job["arg"])
        assert user.lists(started)
        jobs = user.ask("GET", "/v1/jobs?tgt=*").value()["jobs"]
        assert started not in [job["jid"] for job in jobs]

        (result,) = user.rerun(recorded)[1]["results"]
        assert (["exit 3"], "minion-*") == (result["arg"], result["tgt"])
        assert 3 == result["returns"]["minion-1"]["return"]["retcode"]

        _, shown = user.rerun(started)
        assert ("confirmation_needed", ["minion-1"]) == (shown["code"], shown["command"]["tgt"])
        (result,) = user.rerun(started, confirm=shown["confirm"])[1]["results"]
        assert 3 == result["returns"]["minion-1"]["return"]["retcode"]
