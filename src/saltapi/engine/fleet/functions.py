"""What can be run, and what of it a session may run."""

import asyncio
import fnmatch
import logging
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from saltapi.bridge.fleet.catalogue import Catalogue, Function, FunctionKind
from saltapi.bridge.permissions import rules as rules_of
from saltapi.engine.commands.asynchronous import AsyncAPIClient
from saltapi.engine.fleet.listing import Minions
from saltapi.engine.sessions.administrators import Administrators
from saltapi.errors import SaltApiError
from saltapi.types import MinionId, Session

log = logging.getLogger(__name__)

Allowed: TypeAlias = Literal["yes", "no", "depends"]
LISTING = "sys.list_functions"
ASK_SECONDS = 5.0
"""How long a minion has to say which functions it has."""
LATE_SECONDS = 60.0
"""What it says later, within this time, is for who asks next."""
NAMES_SECONDS = 3_600.0
MINIONS_LIMIT = 64
"""Of so many minions it is remembered which functions they have; so many are asked at once."""


@dataclass(frozen=True, slots=True)
class FunctionList:
    """Functions, and where that is known from."""

    version: str
    """Of Salt: of the minion, if it is about one, else of the master."""
    asked: bool
    """Whether the minion itself has said which functions it has."""
    functions: dict[str, tuple[Function | None, Allowed]]


class Functions:
    """Lists functions for sessions."""

    def __init__(
        self, client: AsyncAPIClient, minions: Minions, administrators: Administrators
    ) -> None:
        """
        Args:
            client: Asks minions, and knows the permissions.
            minions: The fleet.
            administrators: Tells who may run everything.
        """
        self._client = client
        self._minions = minions
        self._administrators = administrators
        self._catalogue = Catalogue(client.opts)
        self._asking: dict[tuple[Any, ...], asyncio.Task[frozenset[str] | None]] = {}
        self._names: OrderedDict[tuple[Any, ...], tuple[float, frozenset[str]]] = OrderedDict()

    async def close(self) -> None:
        """End what loads and asks; idempotent."""
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        await self._catalogue.close()

    async def listing(
        self,
        session: Session,
        kind: FunctionKind,
        *,
        minion: MinionId | None = None,
        pattern: str | None = None,
    ) -> FunctionList:
        """
        Return functions with what *session* may run of them.

        Args:
            session: Who asks.
            kind: Functions of minions, runner or wheel functions.
            minion: Whose functions; all that this Salt has without.
            pattern: Only names like this glob.

        Raises:
            NotFound: There is no such minion that the session may see.
            WorkerFailed: The functions could not be read.
        """
        known = await self._catalogue.functions(kind)
        version, names = self._catalogue.version, None
        if minion is not None:
            _, found = await self._minions.one(session, minion)
            names = await self._names_of(session, minion, found.summary.salt_version)
            version = found.summary.salt_version or version
        judge = await self._judge(session, kind, minion)
        wanted = known if names is None else names
        return FunctionList(
            version,
            names is not None,
            {
                name: (known.get(name), judge(name))
                for name in sorted(wanted)
                if pattern is None or fnmatch.fnmatchcase(name, pattern)
            },
        )

    async def _judge(self, session: Session, kind: FunctionKind, minion: MinionId | None) -> Any:
        """Return what says of a function whether *session* may run it."""
        if await self._administrators.includes(session):
            return lambda _name: "yes"
        rules = await self._client.permissions.rules(session)
        scopes = await self._minions.sights.scopes(session)
        where = None if minion is None else frozenset((minion,))
        if where is not None:
            scopes.touches(where)
            await self._minions.sights.members.look(scopes.targets)

        def allowed(name: str) -> Allowed:
            if kind == "local":
                sure = scopes.one(name, where, None)
                somewhere = minion is None and any(rules_of.is_about(r, name) for r in rules)
            else:
                sure = scopes.on_master(kind, name)
                somewhere = False
            if sure:
                return "yes"
            last = name.rpartition(".")[2]
            depends = somewhere or any(
                rules_of.is_conditional(rule, each) for rule in rules for each in (name, last)
            )
            return "depends" if depends else "no"

        return allowed

    async def _names_of(
        self, session: Session, minion: MinionId, version: str | None
    ) -> frozenset[str] | None:
        """Return which functions a minion says it has; None if that is not known."""
        started = self._minions.fleet.registry.minions[minion].started_at
        key = (minion, version, started)
        verdict = await self._client.permissions.local(session, LISTING, (), [minion], "list")
        if not verdict.allowed or not verdict.minions:
            return None
        known = self._names.get(key)
        if known is not None and time.monotonic() - known[0] < NAMES_SECONDS:
            return known[1]
        if key not in self._asking:
            if len(self._asking) >= MINIONS_LIMIT:
                return None
            task = asyncio.create_task(self._ask(session, minion, key), name="saltapi-functions")
            self._asking[key] = task
            task.add_done_callback(lambda _: self._asking.pop(key, None))
        asked = self._asking[key]
        await asyncio.wait({asked}, timeout=ASK_SECONDS)
        return asked.result() if asked.done() and not asked.cancelled() else None

    async def _ask(
        self, session: Session, minion: MinionId, key: tuple[Any, ...]
    ) -> frozenset[str] | None:
        """Ask a minion which functions it has, and keep what it says; None if it says nothing."""
        try:
            answer = await self._client.local(
                [minion],
                LISTING,
                tgt_type="list",
                token=session.token,
                timeout=LATE_SECONDS,
                gather_job_timeout=1,
            )
        except SaltApiError as error:
            log.info("The functions of %r are not known: %s", minion, error)
            return None
        names = answer.get(minion) if isinstance(answer, Mapping) else None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            return None
        self._names[key] = time.monotonic(), frozenset(names)
        if len(self._names) > MINIONS_LIMIT:
            self._names.popitem(last=False)
        return self._names[key][1]
