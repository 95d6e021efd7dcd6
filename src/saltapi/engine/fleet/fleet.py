"""
The fleet of one master: what is known of its minions, kept up to date while the process runs.

Minions are known by their keys, by the data that the master has cached, and by the bus. Nobody is
asked: what is shown is what is known already.
"""

import asyncio
import logging
import time
from collections import Counter, OrderedDict

from saltapi.bridge.bus.events import Event
from saltapi.bridge.bus.wake import Wake
from saltapi.bridge.fleet.keys import KeyEntry, KeyState, KeyStore
from saltapi.bridge.fleet.minion_data import MinionData
from saltapi.engine.commands.asynchronous import AsyncAPIClient
from saltapi.engine.events.acl import EventAcl
from saltapi.engine.events.subjects import Subjects
from saltapi.engine.fleet.minion import Minion
from saltapi.engine.fleet.presence import AT_ONCE, LOOK_SECONDS, Presences
from saltapi.engine.fleet.registry import MinionRegistry
from saltapi.types import MinionId

log = logging.getLogger(__name__)

WHOLE_SECONDS = 300.0
"""How often the data of all minions is read again, in case that the bus has not told of it."""
PULSE_SECONDS = LOOK_SECONDS
"""How often it is looked, while somebody listens, who is connected."""
ANSWER_SECONDS = 5.0
"""How much longer than `gather_job_timeout` an answer may take before a minion counts as silent."""

LEFT_LIMIT = 10_000
"""So many minions whose keys were accepted are remembered."""
TALLY_SECONDS = 2.0
"""How long numbers wait for what the master has now."""
NO_KEY = "none"
CONNECTED = {True: "yes", False: "no", None: "unknown"}


class Changes:
    """What has changed since one listener has looked."""

    def __init__(self) -> None:
        self.minions: dict[MinionId, None] = {}
        self.wake = Wake()

    def note(self, minion: MinionId) -> None:
        """Note that *minion* has changed."""
        self.minions[minion] = None
        self.wake.set()

    def take(self) -> list[MinionId]:
        """Return what has changed, and forget it."""
        minions, self.minions = list(self.minions), {}
        return minions


class Fleet:
    """The minions, for all sessions of one process."""

    def __init__(
        self, client: AsyncAPIClient, keys: KeyStore, event_acl: EventAcl | None = None
    ) -> None:
        """
        Args:
            client: Whose bus shows what minions do.
            keys: Reads the keys.
            event_acl: Knows already what events are about, if there is one.
        """
        opts = client.opts
        self._client = client
        self._keys = keys
        self.data = MinionData(opts)
        if event_acl is not None:
            self._subjects = event_acl.subjects
        else:
            self._subjects = Subjects(client.hub.starts)
            client.hub.observe(self._subjects.note)
        gather_seconds = float(opts.get("gather_job_timeout") or 10)
        self.registry = MinionRegistry(
            client.hub,
            answer_seconds=gather_seconds + ANSWER_SECONDS,
            exact_presence=opts.get("transport", "zeromq") != "zeromq",
            user_of=self._user_of,
        )
        self.registry.on_change = self._changed
        self.registry.on_key = keys.changed
        self._presences = Presences(int(opts.get("publish_port") or 4505))
        self._lock = asyncio.Lock()
        self._read_at = float("-inf")
        self._gaps = -1
        self._listeners: set[Changes] = set()
        self._pulse: asyncio.Task[None] | None = None
        self._refreshing: asyncio.Task[None] | None = None
        self._connected: dict[MinionId, bool | None] = {}
        self._readable = False
        self._listing: list[KeyEntry] = []
        self._states: dict[MinionId, KeyState] = {}
        self._states_read = 0
        self._left: OrderedDict[MinionId, None] = OrderedDict()

    @property
    def readable(self) -> bool:
        """Whether the master's files could be read the last time."""
        return self._readable

    @property
    def version(self) -> tuple[int, int]:
        """Something else whenever a minion, or a key's state, has come or gone."""
        return self.registry.membership, self._states_read

    def states(self) -> dict[MinionId, KeyState]:
        """Return the state of each minion's key; denied only where there is no other."""
        return self._states

    async def key_states(self, minion: MinionId) -> set[KeyState]:
        """Return the states of all keys of an id: beside another one there may be denied ones."""
        return {state for name, state in await self._keys.listing() if name == minion}

    def has_left(self, minion: MinionId) -> bool:
        """Return whether it was a minion of the master's, and is none any more."""
        return minion in self._left and self._states.get(minion) is not KeyState.ACCEPTED

    def connected(self, minion: MinionId, now: float | None = None) -> bool | None:
        """Return whether a minion is connected; None if that is not known."""
        found = self.registry.minions.get(minion)
        return None if found is None else self.connection(found, now)

    def connection(self, minion: Minion, now: float | None = None) -> bool | None:
        """Same as `connected`, for who has the minion's record already."""
        return self._presences.connected(minion, time.time() if now is None else now)

    async def tally(self) -> dict[tuple[str, str], int]:
        """
        Return how many minions there are by key state (`none` without a key) and connection.

        Connections are `yes`, `no` or `unknown`. What is not known in time is told the next time.
        """
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self.refresh(), name="saltapi-fleet-refresh")
        await asyncio.wait({self._refreshing}, timeout=TALLY_SECONDS)
        if self._refreshing.done() and (error := self._refreshing.exception()) is not None:
            log.error("The fleet cannot be read.", exc_info=error)
        found = Counter(
            (self._states.get(name), held) for name, held in (await self._connections()).items()
        )
        return {
            (NO_KEY if key is None else str(key), word): found[key, held]
            for key in (*KeyState, None)
            for held, word in CONNECTED.items()
        }

    def started_at(self, minion: MinionId) -> float | None:
        """Return when a minion has last said that it has started, in epoch seconds."""
        found = self.registry.minions.get(minion)
        return None if found is None else found.started_at

    def ids(self) -> list[MinionId]:
        """Return the ids of all minions, in order."""
        return sorted(self.registry.minions)

    async def refresh(self) -> None:
        """
        Return when what is known is what the master has now.

        The first time everything is read. After that only what has changed is waited for.
        """
        async with self._lock:
            self._readable = await asyncio.to_thread(lambda: self._keys.readable)
            if self._readable:
                await self._read()
        await self._presences.look(self.registry.minions.values())

    def listen(self) -> Changes:
        """Return what is told from now on of changes; give it to `forget`."""
        changes = Changes()
        self._listeners.add(changes)
        if self._pulse is None:
            self._pulse = asyncio.create_task(self._beat(), name="saltapi-fleet")
        return changes

    def forget(self, changes: Changes) -> None:
        """Tell a listener no more; idempotent."""
        self._listeners.discard(changes)
        if not self._listeners and self._pulse is not None:
            self._pulse.cancel()
            self._pulse = None

    def close(self) -> None:
        """Give threads and timers back; idempotent."""
        for task in (self._pulse, self._refreshing):
            if task is not None:
                task.cancel()
        self.registry.close()
        self.data.close()

    async def _read(self) -> None:
        now, gaps = time.monotonic(), self._client.hub.gaps_total
        whole = now - self._read_at > WHOLE_SECONDS or gaps != self._gaps
        outdated, self.registry.outdated = self.registry.outdated, set()
        if await asyncio.to_thread(self.data.readable):
            if whole:
                self.registry.learn(await self.data.summaries(None), whole=True)
                self._read_at, self._gaps = time.monotonic(), gaps
            elif outdated:
                self.registry.learn(await self.data.summaries(outdated), whole=False)
        listing = await self._keys.listing()
        if listing is self._listing:
            return
        self._listing = listing
        states: dict[MinionId, KeyState] = {}
        for minion, state in listing:
            if state is not KeyState.DENIED or minion not in states:
                states[minion] = state
        if states != self._states:
            self._note_left(states)
            for minion in states.keys() ^ self._states.keys():
                self._changed(minion)
            for minion in states:
                self.registry.minion(minion)
            self._states = states
            self._states_read += 1

    def _note_left(self, states: dict[MinionId, KeyState]) -> None:
        """Note whose key is not accepted any more."""
        for minion, state in self._states.items():
            if state is KeyState.ACCEPTED and states.get(minion) is not KeyState.ACCEPTED:
                self._left[minion] = None
        while len(self._left) > LEFT_LIMIT:
            self._left.popitem(last=False)

    async def _beat(self) -> None:
        """Notice who comes and goes without an event."""
        while True:
            try:
                await self.refresh()
                found = await self._connections()
                if self._connected:
                    for name, state in found.items():
                        if self._connected.get(name, state) != state:
                            self._changed(name)
                self._connected = found
            except Exception:
                log.exception("It cannot be seen who is connected.")
            await asyncio.sleep(PULSE_SECONDS)

    async def _connections(self) -> dict[MinionId, bool | None]:
        """Return who is connected."""
        found: dict[MinionId, bool | None] = {}
        now, connected = time.time(), self._presences.connected
        minions = list(self.registry.minions.values())
        for start in range(0, len(minions), AT_ONCE):
            if start:
                await asyncio.sleep(0)
            found |= {m.id: connected(m, now) for m in minions[start : start + AT_ONCE]}
        return found

    def _changed(self, minion: MinionId) -> None:
        for changes in self._listeners:
            changes.note(minion)

    def _user_of(self, event: Event) -> tuple[str | None, tuple[str, ...]]:
        subject = self._subjects.of(event)
        return subject.user, subject.funs
