"""
Which minions the targets in permissions match, known without waiting.

A glob is matched by name, here and now. Anything else (grains, pillars, compounds, nodegroups) is
looked up as the master does it, in a thread, and what was found holds for a while.
"""

import asyncio
import copy
import fnmatch
import logging
import re
import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias
from weakref import WeakValueDictionary

from saltapi.bridge.worker.authorizer import Authorizer
from saltapi.types import MinionId, Opts

log = logging.getLogger(__name__)

FRESH_SECONDS = 30.0
"""How long what was looked up holds, also for minions that match no longer."""
FRESH_FACTOR = 20.0
"""It also holds for so many times as long as looking it up took."""
STRANGERS_LIMIT = 10_000
"""So many minions that the master did not know are remembered for a target."""
GLOB = re.compile(r"[^\s@()]+")
WORDS_OF_COMPOUNDS = frozenset({"and", "or", "not"})

Read: TypeAlias = Callable[[list[str]], dict[str, frozenset[MinionId]]]
"""Returns the minions that match each of the given compound targets, and all as `*`."""


class Target:
    """One target; `Members` makes and refreshes it."""

    def __init__(self, expression: str) -> None:
        self.expression = expression
        self.pattern: re.Pattern[str] | None = None
        if GLOB.fullmatch(expression) and expression not in WORDS_OF_COMPOUNDS:
            self.pattern = re.compile(fnmatch.translate(expression))
        self._members: frozenset[MinionId] = frozenset()
        self._known: set[MinionId] = set()
        self._asked: set[MinionId] = set()
        self._fresh_until = float("-inf")
        self.version = 0
        """Another number whenever other minions match."""

    def has(self, minions: Collection[MinionId]) -> bool | None:
        """Return whether all of *minions* match; None while it must be looked up."""
        if self.pattern is not None:
            return all(map(self.pattern.match, minions))
        if time.monotonic() > self._fresh_until:
            self._asked.update(minions)
            return None
        if self._members.issuperset(minions):
            return True
        strangers = set(minions) - self._known
        if strangers:
            self._asked |= strangers
            return None
        return False

    def expect(self, minions: Collection[MinionId]) -> None:
        """Note that it will be asked for each of *minions*; as `has` would."""
        if self.pattern is None:
            is_fresh = time.monotonic() <= self._fresh_until
            self._asked.update(set(minions) - self._known if is_fresh else minions)

    @property
    def needs_look(self) -> bool:
        """Whether `has` could not tell the last time, or could not now."""
        return self.pattern is None and (bool(self._asked) or time.monotonic() > self._fresh_until)

    def take(
        self, members: frozenset[MinionId], everybody: frozenset[MinionId], seconds: float
    ) -> None:
        """Take what was found; it holds for *seconds*."""
        strangers = (self._known | self._asked) - everybody
        self.version += members != self._members
        self._members = members
        kept = strangers if len(strangers) <= STRANGERS_LIMIT else self._asked
        self._known = {*everybody, *kept}
        self._asked.clear()
        self._fresh_until = time.monotonic() + seconds


class Members:
    """The targets of one process's users; equal ones are looked up once for all."""

    def __init__(self, opts: Opts, *, read: Read | None = None) -> None:
        """
        Args:
            opts: The master's options; not changed.
            read: Looks targets up; by default as the master does.
        """
        self._opts = opts
        self._read = read or self._read_as_master
        self._authorizer: Authorizer | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="saltapi-members")
        self._lock = asyncio.Lock()
        self._targets: WeakValueDictionary[str, Target] = WeakValueDictionary()

    def target(self, expression: str) -> Target:
        """Return the target for *expression*, the same for everybody who asks."""
        found = self._targets.get(expression)
        if found is None:
            found = self._targets[expression] = Target(expression)
        return found

    async def look(self, targets: Iterable[Target]) -> None:
        """Look up those of *targets* that need it."""
        async with self._lock:
            wanted = [target for target in targets if target.needs_look]
            if not wanted:
                return
            loop = asyncio.get_running_loop()
            began_at = time.monotonic()
            expressions = [target.expression for target in wanted]
            try:
                found = await loop.run_in_executor(self._thread, self._read, expressions)
            except Exception:
                log.exception("The targets of permissions cannot be looked up; they match nobody.")
                found = {}
            seconds = max(FRESH_SECONDS, FRESH_FACTOR * (time.monotonic() - began_at))
            nobody: frozenset[MinionId] = frozenset()
            for target in wanted:
                target.take(found.get(target.expression, nobody), found.get("*", nobody), seconds)

    def close(self) -> None:
        """Give the thread back; idempotent."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _read_as_master(self, expressions: list[str]) -> dict[str, frozenset[MinionId]]:
        if self._authorizer is None:
            self._authorizer = Authorizer(copy.deepcopy(self._opts))
        check = self._authorizer.minions.check_minions
        everybody = frozenset(check("*", "glob").get("minions", ()))
        found = {
            text: frozenset(check(text, "compound").get("minions", ())) for text in expressions
        }
        return {**found, "*": everybody}
