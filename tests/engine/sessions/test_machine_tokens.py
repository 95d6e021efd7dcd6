"""What a process keeps of tokens for machines."""

import time
from pathlib import Path
from typing import Any

import pytest

from saltapi.engine.sessions.machine_tokens import MachineTokens
from saltapi.engine.store.sqlite import SqliteStore
from saltapi.types import Session

SESSION = Session(token="", name="fred", eauth="pam", start=0.0, expire=float("inf"))


class Master:
    """The master's tokens: each new one has a number."""

    readable = True

    def __init__(self) -> None:
        self.made = 0

    async def make(self, _data: Any, *, expire: float) -> dict[str, Any]:
        """Return a new token."""
        self.made += 1
        return {"token": str(self.made), "expire": expire}

    async def groups_of(self, _eauth: str, _name: str) -> tuple[str, ...]:
        """Return nobody's groups."""
        return ()


@pytest.fixture
def tokens(tmp_path: Path) -> MachineTokens:
    store = SqliteStore(tmp_path / "tokens.sqlite")
    return MachineTokens({}, store, Master(), cache_seconds=0.0)  # type: ignore[arg-type]


async def made(tokens: MachineTokens, *, seconds: float = 3600.0) -> Session:
    """Make a token, and return its session."""
    facts: dict[str, Any] = {"permissions": None, "addresses": None}
    _, token = await tokens.make(SESSION, "x", expire=time.time() + seconds, **facts)
    return await tokens.session(token)


async def test_all_are_listed(tokens: MachineTokens, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are, none is left out, and a user's limit counts them all."""
    monkeypatch.setitem(SqliteStore.items.__kwdefaults__, "limit", 2)  # type: ignore[arg-type]
    for _ in range(3):
        await made(tokens)
    assert 3 == len(await tokens.list(SESSION, everybody=False))


async def test_what_has_expired_is_forgotten(tokens: MachineTokens) -> None:
    """Of short-lived tokens nothing stays in memory, however many come one after the other."""
    for _ in range(5):
        await tokens.for_master(await made(tokens, seconds=0.2))
        await tokens.for_master(await made(tokens))
        while min(one.expire for one in tokens._standing.values()) > time.time():
            pass
    await tokens.for_master(await made(tokens))

    assert 6 == len(tokens._standing)
    assert 0 == len(tokens._locks)


async def test_nobody_has_any(tokens: MachineTokens, tmp_path: Path) -> None:
    """A login where there are no tokens for machines makes no file for them."""
    await tokens.logged_in(SESSION)
    assert not (tmp_path / "tokens.sqlite").exists()
