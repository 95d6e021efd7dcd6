"""Pages of the list of minions: filtered, sorted, and told as plain values."""

import asyncio
import fnmatch
import glob
import re
import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from saltapi.bridge.fleet.keys import KeyState
from saltapi.bridge.fleet.minion_data import grain_at
from saltapi.engine.commands.asynchronous import AsyncAPIClient
from saltapi.engine.fleet.fleet import Fleet
from saltapi.engine.fleet.minion import LastHighstate, LastJob, Minion
from saltapi.engine.fleet.presence import AT_ONCE
from saltapi.engine.fleet.seen import SeenMinions, those
from saltapi.engine.fleet.sight import Sight, Sights
from saltapi.engine.fleet.sorting import Known, Place, part, values_of
from saltapi.engine.jobs import listing as job_listing
from saltapi.engine.jobs.service import JobService
from saltapi.engine.jobs.times import time_text
from saltapi.errors import NotFound, NotSupported
from saltapi.formats import plain
from saltapi.types import MinionId, Session

Record = dict[str, Any]
GRAINS, PILLAR = "grains.items", "pillar.items"
BY_NAME = frozenset({"glob", "list", "pcre"})
PILLAR_MARKS = ("I@", "J@")
MATCHES_SECONDS = 30.0
"""How long it holds which minions have a grain."""
MATCHES_LIMIT = 64
CONNECTIONS = {True: "true", False: "false", None: "unknown"}
JOBS_LIMIT = 10
"""So many of a minion's last jobs are shown."""
CLOSED = (
    "This process may not read the master's files, so that it cannot tell which minions match. Run"
    " it as the master's user."
)


@dataclass(frozen=True, slots=True)
class MinionFilter:
    """What minions are wanted."""

    id: str | None = None
    """A shell pattern."""
    tgt: str | None = None
    tgt_type: str = "glob"
    key: str | None = None
    connected: bool | None = None
    grains: tuple[str, ...] = ()
    """As in targets: `os:Debian`."""
    highstate: str | None = None


@dataclass(frozen=True, slots=True)
class MinionPage:
    """Some minions, how many there are in all, and the last one's place unless it is the end."""

    minions: list[Record]
    total: int
    last: Place | None
    counts: dict[str, dict[str, int]] | None = None
    """How many are in each state, where that was asked for."""


class Minions:
    """The fleet as sessions see it."""

    def __init__(self, client: AsyncAPIClient, fleet: Fleet, sights: Sights) -> None:
        """
        Args:
            client: Tells which minions match a target.
            fleet: What is known.
            sights: Who sees what of it.
        """
        self._client = client
        self.fleet = fleet
        self.sights = sights
        self._seen = SeenMinions(fleet, self.is_seen)
        self._looking = asyncio.Lock()
        self._matches: dict[str, tuple[float, frozenset[MinionId]]] = {}

    async def page(
        self,
        session: Session,
        wanted: MinionFilter,
        *,
        sort: str = "id",
        fields: Sequence[str] = (),
        grain_paths: Sequence[str] = (),
        limit: int,
        after: Place | None = None,
        counted: bool = False,
    ) -> MinionPage:
        """
        Return minions that *session* may see.

        Args:
            session: Who asks.
            wanted: Which ones.
            sort: `id` or another of `sorting.VALUES`, with a minus in front the other way round.
            fields: What is to be shown beside the id; all but grains if both are empty.
            grain_paths: Grains to be shown.
            limit: So many at most.
            after: `last` of the page before.
            counted: Whether to count those that are wanted by their states.

        Raises:
            InvalidChunk: The target cannot be read.
            NotSupported: This process may not read what a filter is about.
        """
        await self.fleet.refresh()
        sight = await self.sight(session)
        found = await self._fitting(session, sight, wanted)
        now = time.time()
        known = Known(self.fleet, sight, await self._seen.running(sight, GRAINS), now)
        values = await values_of(sort, known, found)
        falling = sort.startswith("-")
        shown, last = part(found, values, falling=falling, limit=limit, after=after)
        grains = await self._grains_of(sight, [minion.id for minion in shown], list(grain_paths))
        names = frozenset(("id", *fields)) if fields or grain_paths else frozenset()
        records = []
        for minion in shown:
            record = self.record(sight, minion, now)
            if names:
                record = {key: record[key] for key in record if key in names}
            if minion.id in grains:
                record["grains"] = grains[minion.id]
            records.append(record)
        counts = await self._counts(sight, found, now) if counted else None
        return MinionPage(records, len(found), last, counts)

    async def one(self, session: Session, minion: MinionId) -> tuple[Sight, Minion]:
        """
        Return a minion, and what *session* may see of it.

        Raises:
            NotFound: There is no such minion, or it is none of this user's business.
        """
        await self.fleet.refresh()
        sight = await self.sight(session, [minion])
        found = self.fleet.registry.minions.get(minion)
        if found is None or not self.is_seen(sight, found):
            raise NotFound(f"There is no minion '{minion}' that you may see.")
        return sight, found

    async def document(self, session: Session, minion: MinionId, jobs: JobService) -> Record:
        """
        Return all that is known of a minion.

        Raises:
            NotFound: There is no such minion, or it is none of this user's business.
        """
        sight, found = await self.one(session, minion)
        grains = pillar = None
        if self.fleet.readable:
            if sight.may_run(GRAINS, minion):
                grains = plain((await self.fleet.data.grains([minion]))[minion])
            if sight.may_run(PILLAR, minion):
                pillar = plain(await self.fleet.data.pillar(minion))
        wanted = job_listing.JobFilter(minion=glob.escape(minion))
        past = await job_listing.page(jobs, session, wanted, limit=JOBS_LIMIT)
        return {
            **self.record(sight, found, time.time()),
            "grains": grains,
            "pillar": pillar,
            "jobs": past.jobs,
        }

    async def sight(self, session: Session, minions: Collection[MinionId] | None = None) -> Sight:
        """Return what *session* may see, with all that has to be looked up for it."""
        sight = await self.sights.of(session)
        known = self.fleet.registry.minions
        await sight.settled(known if minions is None else minions, self.sights)
        return sight

    def close(self) -> None:
        """Give threads and timers back; idempotent."""
        self.fleet.close()
        self.sights.close()

    def is_seen(self, sight: Sight, minion: Minion) -> bool:
        """Return whether a minion is one that may be seen."""
        if sight.is_whole:
            return True
        if self.fleet.states().get(minion.id) in (None, KeyState.ACCEPTED):
            return sight.minion(minion.id)
        return sight.shows_keys  # it is no minion of the master's yet

    def record(self, sight: Sight, minion: Minion, now: float) -> Record:
        """Return what a list says of a minion."""
        shows_grains = sight.may_run(GRAINS, minion.id)
        state = self.fleet.states().get(minion.id)
        job, highstate = minion.job, minion.highstate
        return {
            "id": minion.id,
            "key": None if state is None else str(state),
            "connected": self.fleet.connection(minion, now),
            "last_seen": time_text(minion.seen_at),
            "last_seen_by": minion.seen_by,
            "started": time_text(minion.started_at),
            "salt_version": minion.summary.salt_version if shows_grains else None,
            "os": minion.summary.os if shows_grains else None,
            "last_job": job_record(job) if job and sight.job(minion.id, job) else None,
            "last_highstate": highstate_record(highstate)
            if highstate and sight.job(minion.id, highstate.job)
            else None,
        }

    async def _fitting(self, session: Session, sight: Sight, wanted: MinionFilter) -> list[Minion]:
        now, fleet = time.time(), self.fleet
        found = await self._seen.of(sight)
        if wanted.id is not None:
            fits = re.compile(fnmatch.translate(wanted.id)).match
            found = await those(found, lambda m: fits(m.id) is not None)
        if wanted.key is not None:
            states = fleet.states()
            found = await those(found, lambda m: states.get(m.id) == wanted.key)
        if wanted.connected is not None:
            found = await those(found, lambda m: fleet.connection(m, now) is wanted.connected)
        if wanted.highstate is not None:
            found = await those(found, lambda m: sight.highstate(m) == wanted.highstate)
        if wanted.grains:
            shown = await self._seen.running(sight, GRAINS)
            found = await those(found, lambda m: m.id in shown)
        for expression in wanted.grains:
            having = await self._having(expression) if found else frozenset()
            found = [m for m in found if m.id in having]
        if wanted.tgt is not None:
            for fun in needed_to_match(wanted.tgt, wanted.tgt_type):
                able = await self._seen.running(sight, fun)
                found = [m for m in found if m.id in able]
            if found:  # else it is nobody's business whom it matches, and no work
                matching = await self.matching(session, wanted.tgt, wanted.tgt_type)
                found = [m for m in found if m.id in matching]
        return found

    async def _counts(
        self, sight: Sight, minions: Sequence[Minion], now: float
    ) -> dict[str, dict[str, int]]:
        """Return how many minions are in each state, with a name for what is not known."""
        states = self.fleet.states()
        keys: Counter[KeyState | None] = Counter()
        connections: Counter[bool | None] = Counter()
        highstates: Counter[str] = Counter()
        for start in range(0, len(minions), AT_ONCE):
            if start:
                await asyncio.sleep(0)
            some = minions[start : start + AT_ONCE]
            keys.update([states.get(minion.id) for minion in some])
            connections.update([self.fleet.connection(minion, now) for minion in some])
            highstates.update(map(sight.highstate, some))
        return {
            "key": {"unknown" if key is None else str(key): n for key, n in keys.items()},
            "connected": {CONNECTIONS[held]: n for held, n in connections.items()},
            "highstate": dict(highstates),
        }

    async def _having(self, expression: str) -> frozenset[MinionId]:
        """Return which minions have a grain; looked up once, however many ask at the same time."""
        async with self._looking:
            known = self._matches.get(expression)
            if known is None or time.monotonic() - known[0] > MATCHES_SECONDS:
                if not self.fleet.readable:
                    raise NotSupported(CLOSED)
                minions = [m.id for m in self.fleet.registry.minions.values() if m.summary.updated]
                found = await self.fleet.data.with_grain(minions, expression, ":")
                if len(self._matches) >= MATCHES_LIMIT:
                    self._matches.clear()
                known = self._matches[expression] = time.monotonic(), found
            return known[1]

    async def matching(
        self, session: Session, tgt: str, tgt_type: str, *, delimiter: str | None = None
    ) -> set[MinionId]:
        """
        Return the minions that a target matches, whoever asks.

        Raises:
            InvalidChunk: The target cannot be read.
            NotSupported: This process may not read the master's files.
            CommandTimeout, WorkerFailed: A regular expression in it takes too long.
        """
        verdict = await self._client.permissions.local(
            session, "test.ping", (), tgt, tgt_type, delimiter=delimiter
        )
        if verdict.unknown:
            raise NotSupported(CLOSED)
        return {*verdict.minions, *verdict.refused}

    async def _grains_of(
        self, sight: Sight, minions: list[MinionId], paths: list[str]
    ) -> dict[MinionId, Record]:
        """Return the wanted grains of those minions whose grains may be seen."""
        seen = [name for name in minions if sight.may_run(GRAINS, name)] if paths else []
        if not seen or not self.fleet.readable:
            return {name: {} for name in minions} if paths else {}
        found = await self.fleet.data.grains(seen)
        return {
            name: {path: plain(grain_at(found.get(name, {}), path)) for path in paths}
            for name in minions
        }


def job_record(job: LastJob) -> Record:
    """Return the job that a minion has returned last."""
    return {
        "jid": job.jid,
        "url": f"/v1/jobs/{job.jid}",
        "fun": job.fun,
        "user": job.user,
        "failed": job.failed,
        "time": time_text(job.at),
    }


def highstate_record(highstate: LastHighstate) -> Record:
    """Return the highstate that a minion has returned last."""
    return {
        "jid": highstate.job.jid,
        "url": f"/v1/jobs/{highstate.job.jid}",
        "time": time_text(highstate.job.at),
        "result": highstate.result,
        "test": highstate.test,
        "counts": None if highstate.counts is None else highstate.counts.plain(),
    }


def needed_to_match(tgt: str, tgt_type: str) -> tuple[str, ...]:
    """Return the functions that somebody may run who knows what a target is about."""
    if tgt_type in BY_NAME:
        return ()
    about_pillar = "pillar" in tgt_type or any(mark in tgt for mark in PILLAR_MARKS)
    return (GRAINS, PILLAR) if about_pillar else (GRAINS,)
