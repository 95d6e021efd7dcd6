"""Parts of what is known of a job: folded, of some minions, in comparison with another job."""

import asyncio
import fnmatch
import hashlib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from saltapi import formats
from saltapi.bridge.jobs.registered import RegisteredJob, RegisteredReturn
from saltapi.bridge.jobs.states import JobState
from saltapi.engine.jobs.differences import differences
from saltapi.engine.jobs.folding import fold
from saltapi.engine.jobs.values import Values
from saltapi.types import MinionId

QUICK_RETURNS = 50
"""More are folded in a thread: the event loop serves others meanwhile."""
OF_MINIONS = ("expected", "returned", "failed", "missing", "waiting", "progress")
"""What of a job's document is a list of minions, or by minion."""


def returns_of(job: RegisteredJob, minion: str | None = None) -> list[RegisteredReturn]:
    """Return what the minions have returned whose ids match a shell pattern; all without."""
    return [each for each in job.returns.values() if fits(each.minion, minion)]


def fits(minion: MinionId, pattern: str | None) -> bool:
    """Return whether the id of a minion matches a shell pattern, if there is one."""
    return pattern is None or fnmatch.fnmatchcase(minion, pattern)


def of_some(found: dict[str, Any], pattern: str) -> dict[str, Any]:
    """Return the document of a job with those minions alone whose ids match *pattern*."""
    return {name: _chosen(name, value, pattern) for name, value in found.items()}


def _chosen(name: str, value: Any, pattern: str) -> Any:
    if name not in OF_MINIONS:
        return value
    if isinstance(value, Mapping):
        return {minion: what for minion, what in value.items() if fits(minion, pattern)}
    return [minion for minion in value if fits(minion, pattern)]


async def folded(values: Values, job: RegisteredJob, minion: str | None = None) -> dict[str, Any]:
    """Return `groups` and `folded_states` of what the minions have returned."""
    found = [(each.minion, await values.shown(each)) for each in returns_of(job, minion)]
    done = fold(found) if len(found) <= QUICK_RETURNS else await asyncio.to_thread(fold, found)
    return {"groups": done["groups"], "folded_states": done["states"]}


async def compared(
    before: tuple[Values, RegisteredJob],
    after: tuple[Values, RegisteredJob],
    minion: str | None = None,
) -> dict[str, Any]:
    """Return what the minions of one job returned that differs from what they did for another."""
    sides: list[dict[MinionId, Any]] = []
    for values, job in (before, after):
        found = returns_of(job, minion)
        sides.append({each.minion: (await values.shown(each))["return"] for each in found})
    return {"jid": before[1].jid, **await asyncio.to_thread(differences, *sides)}


def tag_of(jobs: Iterable[RegisteredJob], *asked: Any) -> str | None:
    """
    Return the entity tag of what is shown of jobs; None while one of them runs.

    It changes when somebody returns late. Whoever is asked, and whatever process answers, it is
    the same for the same facts.

    Args:
        jobs: The jobs that are shown.
        asked: What else makes a difference: who asks, and for what.
    """
    facts: list[Any] = [*asked]
    for job in jobs:
        if job.state is JobState.RUNNING:
            return None
        missing = {minion: str(why) for minion, why in job.missing.items()}
        facts.append([job.jid, sorted(job.returns), sorted(job.failed), missing])
    text = formats.dump_json(facts)
    return f'W/"{hashlib.sha256(text).hexdigest()[:32]}"'


def is_current(tag: str | None, known: str | None) -> bool:
    """Return whether who knows the tags *known* (`If-None-Match`) has what *tag* is of."""
    if tag is None or known is None:
        return False
    return known.strip() == "*" or tag in _tags(known)


def _tags(text: str) -> Collection[str]:
    found = [each.strip() for each in text.split(",")]
    return {each if each.startswith("W/") else f"W/{each}" for each in found}
