"""Last highstates outlive the process: from a file, and from the job cache."""

import datetime
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import salt.config
import salt.loader

from saltapi.bridge.bus.hub import Hub
from saltapi.bridge.jobs.job_cache import JobCache
from saltapi.bridge.jobs.past_jobs import PastJobs
from saltapi.engine.fleet.highstates import Highstates
from saltapi.engine.fleet.minion import LastHighstate
from saltapi.engine.fleet.registry import MinionRegistry
from saltapi.engine.store.sqlite import SqliteStore
from saltapi.types import Jid, Opts
from tests.fake_master import frame_body, new_hub

JID = "%Y%m%d%H%M%S%f"
FINE = {"test_|-a_|-a_|-nop": {"result": True, "changes": {}, "comment": ""}}
BROKEN = {"test_|-a_|-a_|-nop": {"result": False, "changes": {}, "comment": ""}}
CHANGED = {"test_|-a_|-a_|-nop": {"result": True, "changes": {"a": "b"}, "comment": ""}}


def jid_of(minutes_ago: float) -> Jid:
    """Return the jid of a job that began then."""
    at = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=minutes_ago)
    return at.strftime(JID)


class Process:
    """A process of the API, as far as it knows highstates."""

    def __init__(self, hub: Hub, registry: MinionRegistry, highstates: Highstates) -> None:
        self.hub = hub
        self.registry = registry
        self.highstates = highstates

    def returned(self, jid: Jid, minion: str, value: Any, fun: str = "state.highstate") -> None:
        """Let a minion return on the bus."""
        data = {"jid": jid, "id": minion, "fun": fun, "fun_args": [], "return": value}
        stamp = datetime.datetime.strptime(jid, JID).isoformat()
        data |= {"retcode": 0, "success": True, "_stamp": stamp}
        self.hub.dispatch(frame_body(f"salt/job/{jid}/ret/{minion}", data))

    def result(self, minion: str) -> str | None:
        """Return how the last highstate of a minion went."""
        found = self.registry.minion(minion)
        assert found is not None
        return None if found.highstate is None else found.highstate.result

    def highstate(self, minion: str) -> LastHighstate:
        """Return the last highstate of a minion."""
        found = self.registry.minions[minion].highstate
        assert found is not None
        return found


Begin: TypeAlias = Callable[[], Any]


@pytest.fixture
def opts(tmp_path: Path) -> Opts:
    (tmp_path / "config").mkdir()
    config = tmp_path / "config" / "master"
    config.write_text(f"root_dir: {tmp_path}\ncachedir: {tmp_path}/cache\n")
    found: Opts = salt.config.master_config(str(config))
    Path(found["cachedir"], "jobs").mkdir(parents=True)
    return found


@pytest.fixture
def begin(opts: Opts, tmp_path: Path) -> Begin:
    """Begin a process, which knows what there is when it goes on."""

    @asynccontextmanager
    async def process() -> AsyncIterator[Process]:
        cache = JobCache(opts)
        cache._readable = True
        past = PastJobs(opts, cache)
        store = SqliteStore(tmp_path / "store" / "highstates.sqlite")
        hub = new_hub()
        registry = MinionRegistry(
            hub, answer_seconds=1, exact_presence=False, user_of=lambda _: ("fred", ("x",))
        )
        highstates = Highstates(registry, store, past, cache)
        await highstates.recall()
        yield Process(hub, registry, highstates)
        await highstates.close()
        await past.close()
        await store.close()
        registry.close()
        cache.close()

    return process


@pytest.fixture
def cached(opts: Opts) -> Callable[..., None]:
    """Put a job into the job cache, as the master does."""
    returners = salt.loader.returners({"grains": {}, **opts}, {})

    def put(jid: Jid, minion: str, value: Any, fun: str = "state.highstate", **more: Any) -> None:
        load = {"jid": jid, "fun": fun, "arg": [], "tgt": "*", "user": "fred", **more}
        returners["local_cache.save_load"](jid, load, minions=[minion])
        returned = {"jid": jid, "id": minion, "return": value, "retcode": 0, "success": True}
        returners["local_cache.returner"](returned)

    return put


async def test_kept(begin: Begin) -> None:
    """What the bus has shown is there after a restart, the last of each minion."""
    async with begin() as process:
        process.returned(jid_of(2), "a", BROKEN)
        process.returned(jid_of(1), "a", CHANGED)
        process.returned(jid_of(1), "b", BROKEN)
        process.returned(jid_of(1), "c", FINE, fun="state.sls")
    async with begin() as process:
        results = ["changed", "failed", None]
        assert results == [process.result(name) for name in "abc"]
        assert ["fred", "fred"] == [process.highstate(name).job.user for name in "ab"]


async def test_from_the_job_cache(begin: Begin, cached: Callable[..., None]) -> None:
    """What ran while nobody listened comes from the job cache, and is kept from then on."""
    async with begin() as process:
        process.returned(jid_of(3), "a", FINE)
    cached(jid_of(2), "a", BROKEN)
    cached(jid_of(2), "b", BROKEN)
    cached(jid_of(1), "b", CHANGED, fun="state.apply")
    cached(jid_of(1), "c", CHANGED, fun="state.apply", arg=["web"])
    cached(jid_of(1), "d", FINE, arg=[{"__kwarg__": True, "test": True}])
    async with begin() as process:
        assert ["failed", "changed", None, "succeeded"] == [*map(process.result, "abcd")]
        assert process.highstate("d").test


async def test_what_is_later_stays(begin: Begin, cached: Callable[..., None]) -> None:
    """What has come since the start goes before what is brought back."""
    cached(jid_of(5), "a", BROKEN)
    async with begin() as process:
        process.returned(jid_of(1), "a", FINE)
        await process.highstates.recall()
        assert "succeeded" == process.result("a")


async def test_deleted(begin: Begin) -> None:
    """Whose key is deleted is forgotten, here too."""
    async with begin() as process:
        process.returned(jid_of(1), "a", BROKEN)
        deleted = {"act": "delete", "id": "a", "result": True}
        process.hub.dispatch(frame_body("salt/key", deleted))
    async with begin() as process:
        assert process.result("a") is None


async def test_nobody_is_made_up(begin: Begin) -> None:
    """A minion is not there because it once ran a highstate."""
    async with begin() as process:
        process.returned(jid_of(1), "a", BROKEN)
    async with begin() as process:
        assert {} == process.registry.minions
