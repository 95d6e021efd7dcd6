"""
Who sees which events: the option `event_acl` of rest_asgi.

    own         what the user has started: jobs, runner and wheel functions
    permitted   also what the master would let the user run (the default)
    all         everything
    globs       events whose tags match one of them

or a mapping of users (`engine.sessions.user_names`) to one of these, `*` for those whom it does not
name. Administrators see everything. What `permitted` says of each kind of event is the table in
docs/rest_asgi/events.md.

Listeners that may see the same share one `EventFilter`; to those who see everything the hub hands
its records directly.
"""

import json
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Literal
from weakref import WeakValueDictionary

from saltapi.bridge.bus.events import any_of, tag_glob
from saltapi.bridge.bus.hub import Hub, Listener
from saltapi.bridge.bus.tags import Kind
from saltapi.bridge.jobs.live_view import LiveView
from saltapi.bridge.permissions.members import Members
from saltapi.bridge.permissions.permissions import Permissions
from saltapi.bridge.permissions.scopes import Scopes
from saltapi.config import EventAclOption, EventPolicy
from saltapi.engine.events.filters import Decide, EventFilter
from saltapi.engine.events.subjects import Subject, Subjects
from saltapi.engine.sessions.administrators import Administrators
from saltapi.engine.sessions.user_names import UserNames, user_of
from saltapi.types import MinionId, Opts, Session

JOB_READERS = ("jobs.list_jobs", "jobs.lookup_jid")
"""Who may run these runners can read the arguments and the returns of all jobs anyway."""
KEY_READERS = ("key.list_all", "key.print")
PRESENCE_READER = "manage.present"
DEFAULT = "*"


class EventAcl:
    """The option, and the filters of those who listen."""

    def __init__(
        self,
        opts: Opts,
        hub: Hub,
        permissions: Permissions,
        administrators: Administrators,
        *,
        option: EventAclOption = "permitted",
    ) -> None:
        """
        Args:
            opts: The master's options; not changed.
            hub: Where the events come from; from now on all of them are looked at.
            permissions: Tells what a session may run.
            administrators: Tells who sees everything.
            option: `event_acl` of the config.

        Raises:
            CannotStart: It is not clear whom a name in *option* means.
        """
        self._hub = hub
        self._permissions = permissions
        self._members = Members(opts)
        policies = option if isinstance(option, dict) else {DEFAULT: option}
        self._default: EventPolicy = policies.get(DEFAULT, "permitted")
        known, names = UserNames(opts), [name for name in policies if name != DEFAULT]
        known.check("event_acl", names)
        self._policies = {known.user(name): policies[name] for name in names}
        self._administrators = administrators
        self._many_eauths = not known.are_clear
        self._local_names = {"root", opts.get("user")}
        self.subjects = Subjects(hub.starts)
        """Tells what events are about."""
        self._filters: WeakValueDictionary[str, EventFilter] = WeakValueDictionary()
        self._scopes: WeakValueDictionary[str, Scopes] = WeakValueDictionary()
        hub.observe(self.subjects.note)

    async def listen(
        self, session: Session, *, tags: Iterable[str] = (), since: str | None = None
    ) -> Listener:
        """
        Return a listener for what *session* may see.

        Args:
            session: Who listens.
            tags: Shell patterns of the tags to get; all without.
            since: The id of the last record that was seen.
        """
        filters = [tag_glob(tag) for tag in tags]
        event_filter = await self.event_filter(session)
        if event_filter is None:
            return self._hub.listen(filters, since=since, all_masters=True)
        if since is None:
            return event_filter.listen(filters)
        missed = partial(self._hub.missed, since, all_masters=True)
        return await event_filter.resume(filters, missed)

    async def view(self, session: Session, whole: LiveView) -> LiveView:
        """Return that of the view *whole* which *session* may see."""
        event_filter = await self.event_filter(session)
        return whole if event_filter is None else event_filter.view(whole)

    async def event_filter(self, session: Session) -> EventFilter | None:
        """Return what stands between the hub and *session*; None if it may see everything."""
        policy = await self._policy(session)
        if policy == "all":
            return None
        if isinstance(policy, list):
            passes = any_of([tag_glob(glob) for glob in policy] or [lambda _: False])
            assert passes is not None  # noqa: S101 - there is at least one filter
            return self._shared(
                json.dumps(["globs", *policy]), lambda subject: passes(subject.event.tag)
            )
        name = self._name_on_bus(session)
        if policy == "own":
            return self._shared(json.dumps(["own", name]), lambda subject: is_own(subject, name))
        rules = await self._permissions.rules(session)
        key = json.dumps(rules, default=repr)
        scopes = self._scopes.get(key)
        if scopes is None:
            scopes = self._scopes[key] = Scopes(rules, self._members.target)

        async def look() -> None:
            await self._members.look(scopes.targets)

        return self._shared(
            json.dumps(["permitted", name, key]),
            lambda subject: permitted(subject, name, scopes),
            look,
            lambda minion: scopes.touches({minion}),
        )

    def close(self) -> None:
        """Let go of the master's files; idempotent."""
        self._members.close()

    async def _policy(self, session: Session) -> EventPolicy:
        policy = self._policies.get(user_of(session), self._default)
        if policy != "all" and await self._administrators.includes(session):
            return "all"
        return policy

    def _name_on_bus(self, session: Session) -> str | None:
        """
        Return the user's name in events; None if it could be somebody else there.

        Events hold a name, and not which eauth system it comes from. The names of the master's
        account and of root are in them when a command was run on the master's own command line.
        """
        local = session.name in self._local_names and session.eauth != "pam"
        return None if self._many_eauths or local else session.name

    def _shared(
        self,
        key: str,
        decide: Decide,
        look: Callable[[], Awaitable[None]] | None = None,
        sees: Callable[[MinionId], bool | None] = lambda _: False,
    ) -> EventFilter:
        event_filter = self._filters.get(key)
        if event_filter is None:
            event_filter = EventFilter(
                self._hub, self.subjects, decide, look or _nothing_to_look_up, sees
            )
            self._filters[key] = event_filter
        return event_filter


def is_own(subject: Subject, name: str | None) -> bool:
    """Return whether the user of this name has started what an event is about."""
    return name is not None and subject.user == name


def permitted(subject: Subject, name: str | None, scopes: Scopes) -> bool | None:
    """
    Return whether the policy `permitted` shows an event to a user.

    Args:
        subject: What the event is about.
        name: The user's name; None if a name does not tell who it is.
        scopes: What the user may run.
    """
    if is_own(subject, name):
        return True
    if subject.kind is Kind.JOB:
        if _may_run(scopes, "runner", JOB_READERS):
            return True
        return scopes.on_minions(subject.funs, subject.minions, subject.arguments)
    if subject.kind in {Kind.RUNNER, Kind.WHEEL}:
        return _of_master(subject, scopes)
    if subject.kind is Kind.KEY:
        return _may_run(scopes, "wheel", KEY_READERS)
    if subject.kind is Kind.PRESENCE:
        return scopes.anywhere or scopes.on_master("runner", PRESENCE_READER)
    if subject.kind is Kind.MINION:
        return scopes.touches(subject.minions or ())
    return False


def _of_master(subject: Subject, scopes: Scopes) -> bool:
    client: Literal["runner", "wheel"] = "runner" if subject.kind is Kind.RUNNER else "wheel"
    arguments = subject.arguments() or [None] * len(subject.funs)
    pairs = zip(subject.funs, arguments, strict=True)
    return bool(subject.funs) and all(scopes.on_master(client, f, a) for f, a in pairs)


def _may_run(scopes: Scopes, client: Literal["runner", "wheel"], funs: Iterable[str]) -> bool:
    return all(scopes.on_master(client, fun) for fun in funs)


async def _nothing_to_look_up() -> None:
    return
