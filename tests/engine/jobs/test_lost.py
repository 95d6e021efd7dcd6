"""What the event log knows of a job whose master is lost."""

import datetime
import itertools
from types import SimpleNamespace
from typing import Any, cast

import pytest

from saltapi.bridge.bus.job_starts import jid_at
from saltapi.bridge.jobs.registry import JobRegistry
from saltapi.bridge.jobs.states import JobState, MinionState
from saltapi.engine.jobs.changes import NoChanges
from saltapi.engine.jobs.masters import lost
from saltapi.engine.jobs.masters.lost import LostJobs
from saltapi.types import Session
from tests.engine.events.log.doors import Door, fire
from tests.engine.events.log.test_writer import writing
from tests.nats_servers import NatsServers
from tests.waiting import async_eventually

ME = Session(token="0" * 64, name="ann", eauth="file", start=0.0, expire=0.0)
BUCKETS = itertools.count()


def fire_job(door: Door, jid: str) -> None:
    """Let a master publish a job for two minions, of which one returns."""
    tag = f"salt/job/{jid}"
    asked = {"jid": jid, "fun": "test.arg", "arg": ["x"], "tgt": "*", "tgt_type": "glob"}
    fire(1, door, tag=f"{tag}/new", **asked, minions=["m1", "m2"], user="ann")
    facts = {"jid": jid, "fun": "test.arg", "retcode": 0, "success": True, "return": "y"}
    fire(2, door, tag=f"{tag}/ret/m1", id="m1", **facts)


def found_at(door: Door, away_seconds: float) -> tuple[LostJobs, Any]:
    """Return what finds jobs at a door, and the job service that shows them."""
    registry = JobRegistry(door.hub, master_id="b", jobs=10, limit_bytes=10**6)
    service = SimpleNamespace(registry=registry, changes=NoChanges())
    masters = SimpleNamespace(away_seconds=lambda _: away_seconds)
    return LostJobs(cast("Any", masters), door.log, cast("Any", service)), service


async def test_what_had_returned(nats_servers: NatsServers) -> None:
    """What had returned is there, the rest is lost; not before its master is."""
    bucket = f"lost-{next(BUCKETS)}"
    jid = jid_at(datetime.datetime.now(datetime.UTC).timestamp())
    home = Door(nats_servers, "a", bucket)
    async with Door(nats_servers, "b", bucket) as other:
        jobs, service = found_at(other, lost.LOST_SECONDS)
        async with home:
            await writing(home)
            fire_job(home, jid)
            await async_eventually(lambda: home.log.lag_seconds == 0)
            assert not await jobs.look("a", jid)  # somebody writes its events
        assert not await found_at(other, 1.0)[0].look("a", jid)
        assert not await jobs.look("a", jid_at(0.0))
        assert await jobs.look("a", jid)
        job = await service.changes.find(ME, jid)
    assert ("test.arg", "ann", JobState.INCOMPLETE) == (job.fun, job.user, job.state)
    assert "y" == job.returns["m1"].read()
    assert {"m2": MinionState.MASTER_LOST} == job.missing
    assert not job.vouched  # whose it is, its record says


async def test_found_for_a_while(
    nats_servers: NatsServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was found is not looked for again at once, and forgotten then."""
    bucket = f"lost-{next(BUCKETS)}"
    jid = jid_at(datetime.datetime.now(datetime.UTC).timestamp())
    async with Door(nats_servers, "b", bucket) as other:
        async with Door(nats_servers, "a", bucket) as home:
            await writing(home)
            fire_job(home, jid)
        jobs, service = found_at(other, lost.LOST_SECONDS)
        assert await jobs.look("a", jid)
        job = await service.changes.find(ME, jid)
        assert await jobs.look("a", jid)
        assert job is await service.changes.find(ME, jid)
        monkeypatch.setattr(lost, "KEPT_SECONDS", 0.0)
        assert await service.changes.find(ME, jid) is None
