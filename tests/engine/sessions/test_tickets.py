"""Tickets for event streams."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from saltapi.engine.sessions.tickets import Tickets
from saltapi.engine.store.sqlite import SqliteStore
from saltapi.errors import AuthenticationFailed
from saltapi.types import Session

TOKEN = "5ec7e7" * 10 + "abcd"
SESSION = Session(token=TOKEN, name="low", eauth="file", start=0, expire=2e9)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file that processes share."""
    return tmp_path / "x.sqlite"


@pytest.fixture
async def tickets(path: Path) -> AsyncIterator[Tickets]:
    """The tickets of one process."""
    store = SqliteStore(path)
    yield Tickets(store)
    await store.close()


async def test_a_ticket_is_good_once(tickets: Tickets, path: Path) -> None:
    """It gives the token to the first who comes, in any process, and to nobody after that."""
    before = time.time()
    ticket, expire = await tickets.make(SESSION)
    assert before + 30 <= expire <= time.time() + 30
    store = SqliteStore(path)
    elsewhere = Tickets(store)
    assert TOKEN == await elsewhere.redeem(ticket)
    for process in (tickets, elsewhere):
        with pytest.raises(AuthenticationFailed, match="get another one"):
            await process.redeem(ticket)
    await store.close()


async def test_a_ticket_expires(tickets: Tickets, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its time it is worth nothing; it never outlives the session."""
    monkeypatch.setattr("saltapi.engine.sessions.tickets.LIFE_SECONDS", -1.0)
    ticket, _ = await tickets.make(SESSION)
    with pytest.raises(AuthenticationFailed):
        await tickets.redeem(ticket)
    monkeypatch.setattr("saltapi.engine.sessions.tickets.LIFE_SECONDS", 30.0)
    soon = time.time() + 5
    brief = Session(token=TOKEN, name="low", eauth="file", start=0, expire=soon)
    assert (await tickets.make(brief))[1] == soon


@pytest.mark.parametrize("ticket", ["", "x", TOKEN, "0" * 63, "0" * 65, "../" * 20, "0" * 63 + "٣"])
async def test_what_is_no_ticket(tickets: Tickets, ticket: str) -> None:
    """Anything else is refused, a token too."""
    with pytest.raises(AuthenticationFailed):
        await tickets.redeem(ticket)


async def test_what_is_kept_says_nothing(tickets: Tickets, path: Path) -> None:
    """Neither the ticket nor the token can be read in the file."""
    ticket, _ = await tickets.make(SESSION)
    kept = b"".join(found.read_bytes() for found in path.parent.glob(f"{path.name}*"))
    for secret in (ticket, TOKEN):
        assert secret.encode() not in kept
        assert bytes.fromhex(secret) not in kept
