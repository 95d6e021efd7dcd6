"""
What of the fleet a session may see.

Administrators see everything. Everybody else sees the minions that the master lets them run some
function on, the grains of those on which they may run `grains.items`, the pillar where they may run
`pillar.items`, and of what minions have run what `event_acl` would show them of it.
"""

import json
from collections import OrderedDict
from collections.abc import Collection

from saltapi.bridge.bus.events import Event
from saltapi.bridge.bus.tags import Kind
from saltapi.bridge.permissions.members import Members
from saltapi.bridge.permissions.permissions import Permissions
from saltapi.bridge.permissions.scopes import Scopes
from saltapi.engine.events.acl import EventAcl
from saltapi.engine.events.filters import EventFilter
from saltapi.engine.events.subjects import Subject
from saltapi.engine.fleet.minion import LastJob, Minion
from saltapi.engine.sessions.administrators import Administrators
from saltapi.types import MinionId, Opts, Session

LISTED = "key.list_all"
SCOPES_LIMIT = 32
"""Of so many kinds of users it is remembered what they may run, and what was looked up for it."""
NO_DATA = b"\x80"
"""An empty mapping as MessagePack: what a job's arguments are is not kept."""


class Sight:
    """What one session may see."""

    def __init__(self, scopes: Scopes | None, events: EventFilter | None) -> None:
        """
        Args:
            scopes: What the session may run; None for who sees everything.
            events: What stands between the session and events; None for nothing.
        """
        self.scopes = scopes
        self._events = events

    @property
    def is_whole(self) -> bool:
        """Whether everything may be seen."""
        return self.scopes is None

    @property
    def is_settled(self) -> bool:
        """Whether nothing is to be looked up for what was asked since `settled`."""
        return self.scopes is None or not any(t.needs_look for t in self.scopes.targets)

    @property
    def shows_keys(self) -> bool:
        """Whether it may be seen whose key is not accepted."""
        return self.scopes is None or self.scopes.on_master("wheel", LISTED, [])

    def minion(self, minion: MinionId) -> bool:
        """Return whether the minion may be seen."""
        scopes = self.scopes
        return scopes is None or bool(scopes.touches((minion,)))

    def may_run(self, fun: str, minion: MinionId) -> bool:
        """Return whether *fun* may be run on the minion, without arguments."""
        return self.scopes is None or bool(self.scopes.one(fun, (minion,), []))

    def job(self, minion: MinionId, job: LastJob) -> bool:
        """Return whether it may be seen that the minion has run *job*."""
        if self._events is None:
            return True
        event = Event("", f"salt/job/{job.jid}/ret/{minion}", NO_DATA)
        subject = Subject(Kind.JOB, event, job.user, job.funs, frozenset((minion,)))
        return bool(self._events.may_see(subject))

    def highstate(self, minion: Minion) -> str:
        """Return how the last highstate of the minion went; `never` if none is known."""
        highstate = minion.highstate
        if highstate is None or not self.job(minion.id, highstate.job):
            return "never"
        return highstate.result

    async def settled(self, minions: Collection[MinionId], sights: "Sights") -> None:
        """Look up what is to be known of *minions* before the other methods are asked."""
        if self.scopes is not None and self.scopes.targets:
            self.scopes.expect(minions)
            await sights.members.look(self.scopes.targets)
        if self._events is not None:
            await self._events.look()


class Sights:
    """Tells what sessions may see; those who may see the same share what was found out."""

    def __init__(
        self,
        opts: Opts,
        permissions: Permissions,
        administrators: Administrators,
        event_acl: EventAcl | None,
    ) -> None:
        """
        Args:
            opts: The master's options; not changed.
            permissions: Tells what a session may run.
            administrators: Tells who sees everything.
            event_acl: Who sees which events; None if everybody sees all of them.
        """
        self.members = Members(opts)
        self._permissions = permissions
        self._administrators = administrators
        self._event_acl = event_acl
        self._scopes: OrderedDict[str, Scopes] = OrderedDict()

    async def of(self, session: Session) -> Sight:
        """Return what *session* may see."""
        if await self._administrators.includes(session):
            return Sight(None, None)
        scopes = await self.scopes(session)
        events = None if self._event_acl is None else await self._event_acl.event_filter(session)
        return Sight(scopes, events)

    async def scopes(self, session: Session) -> Scopes:
        """Return what *session* may run."""
        rules = await self._permissions.rules(session)
        key = json.dumps(rules, default=repr)
        scopes = self._scopes.get(key)
        if scopes is None:
            scopes = self._scopes[key] = Scopes(rules, self.members.target)
        self._scopes.move_to_end(key)
        if len(self._scopes) > SCOPES_LIMIT:
            self._scopes.popitem(last=False)
        return scopes

    def close(self) -> None:
        """Let go of the master's files; idempotent."""
        self.members.close()
