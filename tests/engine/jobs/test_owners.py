"""Whose the jobs are that were started here."""

from pathlib import Path
from typing import Any

import pytest

from saltapi.bridge.jobs.registered import RegisteredJob
from saltapi.engine.jobs import owners as job_owners
from saltapi.engine.jobs.owners import JobOwners, Owned, digest
from saltapi.engine.store.sqlite import SqliteStore
from saltapi.types import Session

JID = "20260101000000000001"
ME = Session(token="7" * 64, name="me", eauth="file", start=0, expire=2e9)


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return SqliteStore(tmp_path / "store.sqlite")


def job(jid: str = JID, **more: Any) -> RegisteredJob:
    made = RegisteredJob(jid, "local", limit_bytes=10_000)
    arg = ["nginx", {"__kwarg__": True, "test": True, 1: [2.5, None]}]
    facts = {"fun": "state.apply", "arg": arg, "tgt": "web*", "tgt_type": "glob"}
    made.describe({**facts, **more})
    return made


async def found(owners: JobOwners, jid: str = JID) -> Owned:
    owned = await owners.find(jid)
    assert owned is not None
    return owned


async def test_what_is_recorded(store: SqliteStore) -> None:
    """The user, and enough of the command to know it again; not the arguments."""
    owners = JobOwners(store)
    await owners.note(ME, job())
    owned = await found(JobOwners(store))
    assert ("me", "file", ["web*", "glob", None]) == (owned.name, owned.eauth, owned.target)
    assert b"nginx" not in (await store.get(job_owners.KIND, JID) or b"")
    assert await owners.find("20260101000000000002") is None


@pytest.mark.parametrize(
    "more",
    [
        {"fun": "cmd.run"},
        {"arg": ["nginx"]},
        {"arg": ["nginx", {"__kwarg__": True, "test": False, 1: [2.5, None]}]},
        {"tgt": "*"},
        {"tgt": ["web*"]},
        {"tgt_type": "compound"},
        {"kwargs": {"delimiter": "|"}},
    ],
)
async def test_another_command(store: SqliteStore, more: dict[str, Any]) -> None:
    """What differs in anything is not what was started."""
    owners = JobOwners(store)
    await owners.note(ME, job())
    owned = await found(owners)
    assert owned.is_of(job())
    assert not owned.is_of(job(**more))


async def test_long_targets(store: SqliteStore) -> None:
    """A target that is too long is not kept, and so not known again."""
    names = [f"minion-{number}" for number in range(1000)]
    owners = JobOwners(store)
    await owners.note(ME, job(tgt=names))
    owned = await found(owners)
    assert owned.target is None
    assert not owned.is_of(job(tgt=names))


async def test_bounds(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each process only the latest are kept."""
    monkeypatch.setattr(job_owners, "RECORDS_LIMIT", 2)
    owners = JobOwners(store)
    for number in range(3):
        await owners.note(ME, job(f"2026010100000000000{number}"))
    kept = [await owners.find(f"2026010100000000000{number}") for number in range(3)]
    assert [False, True, True] == [owned is not None for owned in kept]


async def test_claims(store: SqliteStore) -> None:
    """A client's jid is claimed once among all processes, and not if a job has it."""
    one, other = JobOwners(store), JobOwners(store)
    assert [False, True] == [await one.claim(JID), await other.claim(JID)]
    await one.note(ME, job("20260101000000000009"))
    assert await other.claim("20260101000000000009")


async def test_records_of_a_version_before(store: SqliteStore) -> None:
    """What cannot be read counts as nothing."""
    for value in (b'{"eauth": "file"}', b"[]", b"{"):
        await store.put(job_owners.KIND, JID, value, expire=2e9)
        assert await JobOwners(store).find(JID) is None


def test_digest() -> None:
    """The order of names does not count, that of lists and the types do."""
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    assert digest((1, 2)) == digest([1, 2])
    assert 6 == len({digest(value) for value in ([1, 2], [2, 1], ["1", 2], {1: 2}, {"1": 2}, None)})


async def test_elsewhere(store: SqliteStore) -> None:
    """It is known which other master has published a job; only where masters can be asked."""
    here, there, alone = (JobOwners(store) for _ in range(3))
    here.master, there.master = "a", "b"
    await there.note(ME, job())
    await alone.note(ME, job("20260101000000000009"))
    assert "b" == await here.elsewhere(JID)
    assert await there.elsewhere(JID) is None
    assert await alone.elsewhere(JID) is None
    assert await here.elsewhere("20260101000000000009") is None
    assert await here.elsewhere("20260101000000000008") is None
