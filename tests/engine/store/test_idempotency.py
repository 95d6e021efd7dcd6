"""Keys of commands: what a repeat learns, whatever became of the first request."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from saltapi.config.shared_store import StoreSection
from saltapi.engine.store import idempotency as module
from saltapi.engine.store import shares
from saltapi.engine.store import sqlite as store_module
from saltapi.engine.store.idempotency import Idempotency, Keyed
from saltapi.engine.store.nats import NatsStore
from saltapi.engine.store.request_keys import checked_key, fingerprint
from saltapi.engine.store.sqlite import SqliteStore
from saltapi.engine.store.store import ShareUsed, Store
from saltapi.errors import (
    AuthorizationFailed,
    BadRequest,
    CommandTimeout,
    InvalidChunk,
    KeyReused,
    MasterBusy,
    MasterUnavailable,
    NoMinionsMatched,
    OutcomeUnknown,
    SaltApiError,
    StillStarting,
    StoreUnavailable,
)
from saltapi.lowstate import Command
from saltapi.types import Credentials, Session
from tests.nats_servers import NatsServers
from tests.waiting import scaled

FRED = Session("0" * 64, "fred", "pam", 0.0, 1e12)
PING = Command("local", "test.ping", Credentials(token="0" * 64), tgt="*")
RUNNER = Command("runner", "test.arg", Credentials(token="0" * 64))
BATCH = Command("local_batch", "test.ping", Credentials(token="0" * 64), tgt="*")


class Keys:
    """Keys in a store, as two processes see them."""

    def __init__(self, make: Callable[[], Store]) -> None:
        self.stores = [make(), make()]
        self.listens = True
        numbers = itertools.count(20261123180812000000)
        self.processes = [
            Idempotency(
                store,
                seconds=60,
                new_jid=lambda: str(next(numbers) // 2),  # every one twice, as they can come
                master_listens=self._listens,
            )
            for store in self.stores
        ]

    async def _listens(self) -> bool:
        return self.listens

    def request(self, key: str = "key", body: Any = None, process: int = 0) -> Keyed:
        return self.processes[process].keyed(key, "POST", "/run", body)


@pytest.fixture(params=["sqlite", "nats"])
async def keys(
    request: pytest.FixtureRequest, tmp_path: Path, nats_servers: NatsServers
) -> AsyncIterator[Keys]:
    """Two processes of one machine, or two doors."""
    bucket = f"keys-{time.time_ns()}"
    section = StoreSection(url=nats_servers.url, bucket=bucket, max_bytes=2**25)

    def make() -> Store:
        if request.param == "sqlite":
            return SqliteStore(tmp_path / "keys.sqlite")
        return NatsStore(section, "rest_asgi", tmp_path)

    made = Keys(make)
    yield made
    for store in made.stores:
        await store.close()


async def fail(keys: Keys, error: BaseException, commands: list[Command]) -> None:
    """Let a request end with *error*."""
    with pytest.raises(type(error)):
        async with keys.request().once(FRED, commands):
            raise error


async def test_done(keys: Keys) -> None:
    """The results of the first request are the results of all, on every process."""
    async with keys.request().once(FRED, [PING, RUNNER, PING]) as first:
        assert not first.repeated
        jids = [command.jid for command in first.commands]
        assert (True, None, True) == (bool(jids[0]), jids[1], jids[0] != jids[2])
        await first.done([{"m": True}, 1, {}])

    for process in (0, 1):
        request = keys.request(process=process)
        async with request.once(FRED, [PING, RUNNER, PING]) as again:
            assert (True, jids) == (again.repeated, again.jids)
            assert [{"m": True}, 1, {}] == again.outcome()
        assert request.repeated


async def test_own_jid(keys: Keys) -> None:
    """A jid that the user has chosen stays."""
    command = Command("local", "test.ping", PING.credentials, tgt="*", jid="2" * 20)
    async with keys.request().once(FRED, [command]) as first:
        assert ["2" * 20] == first.jids
        await first.done([{}])


async def test_at_work(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repeat waits for the first, and is told to come back if that takes long."""
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.2)
    async with keys.request().once(FRED, [PING]) as first:
        with pytest.raises(StillStarting):
            await keys.request(process=1).reserve(FRED, [PING])
        monkeypatch.setattr(module, "WAIT_SECONDS", 30)
        waiting = asyncio.create_task(keys.request(process=1).reserve(FRED, [PING]))
        await asyncio.sleep(0)
        await first.done([1])
    assert [1] == (await waiting).outcome()


async def test_long_work(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is at work says so again and again."""
    monkeypatch.setattr(module, "RENEW_SECONDS", 0.05)
    monkeypatch.setattr(module, "LEASE_SECONDS", scaled(0.4))
    async with keys.request().once(FRED, [PING]) as first:
        waiting = asyncio.create_task(keys.request(process=1).reserve(FRED, [PING]))
        await asyncio.sleep(scaled(0.8))
        assert not waiting.done()
        await first.done([1])
    assert [1] == (await waiting).outcome()


async def test_died(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a process that died it is known which jobs it may have started, and nothing runs again."""
    monkeypatch.setattr(module, "LEASE_SECONDS", 0.1)
    first = await keys.request().reserve(FRED, [PING])

    again = await keys.request(process=1).reserve(FRED, [PING])
    assert (True, True, first.jids) == (again.repeated, again.broken, again.jids)
    with pytest.raises(OutcomeUnknown, match=str(first.jids[0])) as unknown:
        again.outcome()
    assert tuple(first.jids) == unknown.value.jids
    await first.end()


async def test_cancelled(keys: Keys) -> None:
    """A request that was broken off is told from one that has ended, at once."""
    await fail(keys, asyncio.CancelledError(), [PING])

    again = await keys.request(process=1).reserve(FRED, [PING])
    assert (True, True) == (again.repeated, again.broken)


@pytest.mark.parametrize(
    "error",
    [
        AuthorizationFailed("No."),
        InvalidChunk("No.", key="fun"),
        NoMinionsMatched("None."),
        MasterBusy("Later."),
    ],
    ids=lambda error: error.code,
)
async def test_refused(keys: Keys, error: SaltApiError) -> None:
    """Where nothing has run, the key is free again, also for another request."""
    await fail(keys, error, [PING])

    assert not (await keys.request(body="other").reserve(FRED, [PING])).repeated


def _late(error: SaltApiError) -> SaltApiError:
    error.index = 1
    error.completed = ({"m": True},)
    return error


@pytest.mark.parametrize(
    ("error", "commands"),
    [
        (CommandTimeout("Too long."), [RUNNER]),
        (_late(AuthorizationFailed("No.")), [PING, RUNNER]),
        (AuthorizationFailed("No."), [BATCH]),
    ],
    ids=["timeout", "second", "batch"],
)
async def test_failed(keys: Keys, error: SaltApiError, commands: list[Command]) -> None:
    """An error that came after something had run is the answer to a repeat too."""
    await fail(keys, error, commands)

    with pytest.raises(type(error)) as again:
        await keys.request(process=1).reserve(FRED, commands)
    assert (str(error), error.index, error.completed) == (
        str(again.value),
        again.value.index,
        again.value.completed,
    )


async def test_master_lost(keys: Keys) -> None:
    """If the request may have reached the master, nobody knows what it has done."""
    await fail(keys, MasterUnavailable("Gone."), [PING])

    assert (await keys.request().reserve(FRED, [PING])).broken


async def test_master_away(keys: Keys) -> None:
    """While nothing can reach the master no key is used up; what is known is told."""
    keys.listens = False
    with pytest.raises(MasterUnavailable):
        await keys.request().reserve(FRED, [PING])
    keys.listens = True
    async with keys.request().once(FRED, [PING]) as first:
        assert not first.repeated
        await first.done([1])
    keys.listens = False
    assert [1] == (await keys.request().reserve(FRED, [PING])).outcome()


async def test_started(keys: Keys) -> None:
    """A repeat gets the jobs as soon as they have started, or waits for their end."""
    async with keys.request().once(FRED, [RUNNER]) as first:
        await first.started(["3" * 20])
        again = await keys.request(process=1).find(FRED)
        assert again is not None
        assert (["3" * 20], None, False) == (again.jids, again.results, again.broken)
        waiting = asyncio.create_task(keys.request(process=1).find(FRED, ended=True))
        await asyncio.sleep(0)
        await first.done([1])
    ended = await waiting
    assert ended is not None
    assert [1] == ended.outcome()


async def test_large_results(keys: Keys) -> None:
    """Large results are not kept; their jobs are named."""
    async with keys.request().once(FRED, [PING]) as first:
        await first.done(["x" * module.RESULTS_LIMIT_BYTES])

    again = await keys.request().reserve(FRED, [PING])
    with pytest.raises(OutcomeUnknown, match=rf"has run.*{first.jids[0]}"):
        again.outcome()


async def test_full_share(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user with too many keys gets 429 before anything runs; others can go on."""
    for kept in (store_module, shares):
        monkeypatch.setattr(kept, "SHARE_BYTES", 20_000)
    number = 0

    async def fill() -> None:
        nonlocal number
        while number < 100:
            async with keys.request(f"key {number}").once(FRED, [PING]) as first:
                await first.done(["x" * 3_000])
            number += 1

    with pytest.raises(ShareUsed) as refused:
        await fill()
    assert (429, 60) == (refused.value.status, refused.value.retry_after_seconds)
    assert number > 10

    # The first results were kept, later ones had no room; no key is forgotten.
    assert ["x" * 3_000] == (await keys.request("key 0").reserve(FRED, [PING])).outcome()
    last = await keys.request(f"key {number - 1}").reserve(FRED, [PING])
    assert last.repeated
    with pytest.raises(OutcomeUnknown):
        last.outcome()
    jane = Session("0" * 64, "jane", "pam", 0.0, 1e12)
    async with keys.request().once(jane, [PING]) as other:
        await other.done(["y" * 3_000])
    assert ["y" * 3_000] == (await keys.request().reserve(jane, [PING])).outcome()


async def test_another_request(keys: Keys) -> None:
    """A key belongs to one request of one user."""
    async with keys.request(body={"fun": "a"}).once(FRED, [PING]) as first:
        await first.done([1])

    with pytest.raises(KeyReused):
        await keys.request(body={"fun": "b"}).reserve(FRED, [PING])
    assert await keys.request("other", {"fun": "b"}).find(FRED) is None
    for stranger in ("mary", "pam"), ("fred", "ldap"):
        session = Session("0" * 64, *stranger, 0.0, 1e12)
        assert await keys.request(body={"fun": "a"}).find(session) is None


async def test_store_fails(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing runs that cannot be noted; what has run is answered all the same."""

    async def broken(*_args: Any, **_more: Any) -> None:
        raise StoreUnavailable("The disk is full.")

    async with keys.request().once(FRED, [PING]) as first:
        monkeypatch.setattr(keys.stores[0], "put", broken)
        await first.done([1])
    monkeypatch.setattr(keys.stores[1], "add", broken)
    with pytest.raises(StoreUnavailable):
        await keys.request("other", process=1).reserve(FRED, [PING])


def test_fingerprint() -> None:
    """The order of keys, and who asks with which credentials, make no other request."""
    one = fingerprint(["POST", "/run", [{"fun": "a", "tgt": "*", "token": "x"}]])

    assert one == fingerprint(["POST", "/run", [{"tgt": "*", "fun": "a", "username": "fred"}]])
    assert one != fingerprint(["POST", "/", [{"fun": "a", "tgt": "*"}]])
    assert one != fingerprint(["POST", "/run", [{"fun": "a", "tgt": "*", "kwarg": {"token": 1}}]])


@pytest.mark.parametrize("text", ["", " ", '""', "a" * 256, "a\nb", "\N{SNOWMAN}"])
def test_no_key(text: str) -> None:
    """What cannot be a key is refused."""
    with pytest.raises(BadRequest):
        checked_key(text)


def test_quotes() -> None:
    """Quotes around a key do not belong to it."""
    assert ("a b", "a", '"') == (checked_key(' "a b" '), checked_key("a"), checked_key('"'))
