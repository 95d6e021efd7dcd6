"""What is kept of changes in stages, as two processes see it."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from saltapi.bridge.jobs.batches import Batch, BatchState, Stage, StageState
from saltapi.engine.batches import kept as module
from saltapi.engine.batches.kept import KeptBatches, LeaseLost, News
from saltapi.engine.store.sqlite import SqliteStore
from saltapi.errors import Conflict

JID = "20261127190000000001"
Two = tuple[KeptBatches, KeptBatches]


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Two]:
    stores = [SqliteStore(tmp_path / "batches.sqlite"), SqliteStore(tmp_path / "batches.sqlite")]
    yield KeptBatches(stores[0], seconds=60), KeptBatches(stores[1], seconds=60)
    for store in stores:
        await store.close()


def a_batch() -> Batch:
    return Batch(
        jid=JID,
        user="fred",
        eauth="pam",
        fun=["test.ping", "test.arg"],
        arg=[[], [{"a": 1}]],
        tgt="*",
        tgt_type="glob",
        ret="",
        timeout_seconds=5.0,
        gather_job_timeout_seconds=None,
        extra=[["metadata", {"a": [1]}]],
        plan={"stages": [1, "100%"], "max_failed": None, "wait": 0},
        matched=["a", "b", "c"],
        unknown=["x"],
        started_at=time.time(),
        silent={"c": "no_response"},
        minions=["a", "b"],
        stages=[Stage(0, 1, "1", StageState.FAILED, failed=["a"]), Stage(1, 2)],
    )


async def test_the_same(two: Two) -> None:
    """What another process reads is what was written."""
    batch = a_batch()
    written = await two[0].create(batch, "token")
    found = await two[1].find(JID)
    assert (batch, written) == found
    assert "token" == await two[1].token(JID)
    assert [JID] == await two[1].active()
    assert {JID: News(0, False)} == await two[1].news()
    with pytest.raises(Conflict):
        await two[0].create(a_batch(), "token")


async def test_lease(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """One process has the lease, as long as it renews it; then another one may take it."""
    await two[0].create(a_batch(), "token")
    assert (False, True) == (await two[1].lease(JID), await two[0].lease(JID))
    monkeypatch.setattr(module, "LEASE_SECONDS", 0.0)
    await two[0].lease(JID)
    assert (False, True) == (await two[1].is_leased(JID), await two[1].lease(JID))
    monkeypatch.undo()
    assert (True, False) == (await two[1].lease(JID), await two[0].lease(JID))
    await two[0].release(JID)
    assert await two[1].is_leased(JID)
    await two[1].release(JID)
    assert await two[0].lease(JID)


async def test_who_comes_too_late(two: Two) -> None:
    """A process that another one has taken over from writes nothing any more."""
    batch = a_batch()
    written = await two[0].create(batch, "token")
    other = await two[1].find(JID)
    assert other is not None
    await two[1].save(*other)
    with pytest.raises(LeaseLost):
        await two[0].save(batch, written)


async def test_ended(two: Two) -> None:
    """Of a change that has ended the token is forgotten, and the facts are known for a while."""
    batch = a_batch()
    written = await two[0].create(batch, "token")
    await two[1].give_order(JID, "pause")
    assert frozenset() == await two[1].past()
    batch.state = BatchState.HALTED
    await two[0].save(batch, written)
    assert {JID} == await two[1].past()
    assert {JID: News(batch.version, True)} == await two[1].news()
    assert ("", [], None) == (
        await two[1].token(JID),
        await two[1].active(),
        await two[1].take_order(JID),
    )
    found = await two[1].find(JID)
    assert found is not None
    assert (True, 1, ["a", "b"]) == (found[0].ended, found[0].failures, found[0].minions)


async def test_orders(two: Two) -> None:
    """An order is taken once, the last one alone."""
    await two[0].create(a_batch(), "token")
    await two[1].give_order(JID, "pause")
    name = await two[1].give_order(JID, "resume")
    assert ((name, "resume"), None) == (await two[0].take_order(JID), await two[0].take_order(JID))


async def test_of_another_version(two: Two, tmp_path: Path) -> None:
    """What cannot be read is as nothing."""
    store = SqliteStore(tmp_path / "batches.sqlite")
    await store.put("batch", JID, b'{"jid": "1"}', expire=time.time() + 60)
    assert await two[0].find(JID) is None
    await store.close()


def test_left_out() -> None:
    """Who was left out is known when the change has ended: all of it before it was divided."""
    batch = a_batch()
    assert [] == batch.left_out
    batch.state, batch.stages[1].state = BatchState.STOPPED, StageState.NOT_RUN
    assert ["b"] == batch.left_out
    batch.stages = []
    assert ["a", "b"] == batch.left_out
