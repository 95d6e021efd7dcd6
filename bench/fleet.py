"""
The list of a fleet of ten thousand minions, without a master: `python -m bench fleet`.

Keys and cached grains are files as a master leaves them. What is measured is what the engine does
from the request's filter to the bytes of the answer, and what it keeps in memory.
"""

import asyncio
import gc
import statistics
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import salt.cache

from saltapi import formats
from saltapi.bridge.fleet.keys import KeyStore
from saltapi.config import load
from saltapi.demo import PrivateMaster
from saltapi.engine.commands.asynchronous import AsyncAPIClient
from saltapi.engine.events.acl import EventAcl
from saltapi.engine.fleet import presence
from saltapi.engine.fleet.fleet import Fleet
from saltapi.engine.fleet.listing import MinionFilter, Minions
from saltapi.engine.fleet.sight import Sights
from saltapi.engine.sessions.administrators import Administrators
from saltapi.types import Opts, Session

MINIONS = 10_000
GRAINS = 150
"""About as many as a real minion has."""
ROUNDS = 20
PAGE = 100
MIB = 1024 * 1024
LIMITED = {"web": [{"web-*": ["test.*", "grains.items"]}]}


def fleet_figures() -> list[str]:
    """Return how long pages of the fleet take, and how much memory it needs."""
    master = PrivateMaster(minions=0, users=LIMITED)
    try:
        opts = load(master.config_dir)
        _populate(opts)
        return asyncio.run(_measure(opts, master.username))
    finally:
        master.stop()


def _populate(opts: Opts) -> None:
    """Leave keys and grains where the master would."""
    cache = salt.cache.factory(dict(opts))
    keys = Path(opts["pki_dir"]) / "minions"
    for folder in (keys, Path(opts["cachedir"], "proc"), Path(opts["token_dir"])):
        folder.mkdir(parents=True, exist_ok=True)
    common = {f"grain_{n}": f"a text of some length, {n}" for n in range(GRAINS)}
    for n in range(MINIONS):
        name = f"web-{n:05}"
        grains = {
            **common,
            "id": name,
            "os": ("Debian", "Ubuntu", "Rocky")[n % 3],
            "saltversion": "3008.3",
            "ipv4": ["127.0.0.1", f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}"],
        }
        cache.store("grains", name, grains)
        (keys / name).write_text("-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----\n")


async def _measure(opts: Opts, username: str) -> list[str]:
    client = AsyncAPIClient(opts)
    administrators = Administrators(opts, client.permissions, [])
    acl = EventAcl(opts, client.hub, client.permissions, administrators, option="permitted")
    keys = KeyStore(opts)
    fleet = Fleet(client, keys, acl)
    sights = Sights(opts, client.permissions, administrators, acl)
    minions = Minions(client, fleet, sights)
    whole, limited = (_session(name) for name in (username, "web"))
    before = _resident_bytes()
    began = time.perf_counter()
    await minions.page(whole, MinionFilter(), limit=PAGE)
    cold = time.perf_counter() - began
    gc.collect()
    grown = (_resident_bytes() - before) / MIB
    lines = [
        f"fleet: {MINIONS} minions, first page when all is read: {cold:.1f} s",
        f"fleet: memory for them: {grown:.0f} MiB",
    ]
    cases: list[tuple[str, Session, dict[str, Any]]] = [
        ("first page", whole, {}),
        ("first page of somebody with a rule", limited, {}),
        ("page sorted by last sign of life", whole, {"sort": "-last_seen"}),
        ("page sorted by connection", whole, {"sort": "connected"}),
        (
            "page of those with an accepted key, and counts",
            whole,
            {"wanted": MinionFilter(key="accepted"), "counted": True},
        ),
        ("page by the system, with a rule", limited, {"sort": "os"}),
    ]
    works: list[tuple[str, Callable[[], Awaitable[object]]]] = [
        (f"{name}, warm", partial(_page, minions, session, more)) for name, session, more in cases
    ]
    works += [
        ("counted for /metrics", fleet.tally),
        ("connections looked at", lambda: _look(fleet)),
    ]
    for name, work in works:
        times, held = await _times(work)
        lines.append(
            f"fleet: {name}: {statistics.median(times):.1f} ms, at most {max(times):.1f} ms;"
            f" the event loop was held for at most {held:.1f} ms"
        )
    minions.close()
    keys.close()
    acl.close()
    await client.close()
    return lines


async def _page(minions: Minions, session: Session, more: dict[str, Any]) -> None:
    page = await minions.page(session, **{"wanted": MinionFilter(), "limit": PAGE, **more})
    formats.dump_json({"minions": page.minions, "total": page.total, "cursor": None})


async def _look(fleet: Fleet) -> None:
    """Count connections as every few seconds, however short ago they were counted."""
    with patch.object(presence, "LOOK_SECONDS", 0.0):
        await fleet.refresh()


async def _times(work: Callable[[], Awaitable[object]]) -> tuple[list[float], float]:
    """Return the milliseconds of some rounds, and for how long at once nobody else had a turn."""
    await work()
    found = []
    gc.collect()
    turns = _Turns()
    for _ in range(ROUNDS):
        began = time.perf_counter()
        await work()
        found.append((time.perf_counter() - began) * 1_000)
    return found, turns.end() * 1_000


class _Turns:
    """Has a turn of the event loop every millisecond, and notes what the loop does in between."""

    def __init__(self) -> None:
        self._longest = 0.0
        self._loop = asyncio.get_running_loop()
        self._next()

    def end(self) -> float:
        """Return the seconds of the processor's time that the longest wait for a turn took."""
        self._timer.cancel()
        return self._longest

    def _next(self) -> None:
        self._began = time.thread_time()
        self._timer = self._loop.call_later(0.001, self._turn)

    def _turn(self) -> None:
        self._longest = max(self._longest, time.thread_time() - self._began)
        self._next()


def _session(name: str) -> Session:
    return Session(token="", name=name, eauth="file", start=0.0, expire=float("inf"))


def _resident_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0
