"""What the master would say to a command, and why."""

from dataclasses import dataclass, replace
from typing import Any

from saltapi.types import MinionId

BLACKLISTED = "publisher_acl_blacklist forbids it to everybody."
NO_MINIONS = "No minion that the master knows matches the target; nothing would be published."
WITHOUT_FILES = (
    "Not known: this process may not read the master's files, so that it cannot tell which"
    " minions match. Run it as the master's user."
)
LIST_WITHOUT_FILES = (
    "This process may not read the master's files: a list of functions takes a rule that allows"
    " every function on all minions."
)
NO_RULE = (
    "No rule of the user allows this function with these arguments on these minions, or no such"
    " minions are there."
)
"""One answer for both: who may not run it is not told what there is."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    What the master would say.

    Attributes:
        allowed: Whether it would run the function; False also where that is not known.
        minions: Those of the target that the function is allowed on. If `allowed`, all of them.
        refused: Those of the target that it is not allowed on.
        missing: Names in a list target that the master does not know.
        rule: The entry of the user's permissions that allows it; None if there is no such one.
        reason: Why, as a sentence.
        unknown: Whether this process cannot tell: what it says is what it knows for sure.
        everywhere: Whether it is allowed on all minions that there may be.
    """

    allowed: bool
    minions: tuple[MinionId, ...] = ()
    refused: tuple[MinionId, ...] = ()
    missing: tuple[MinionId, ...] = ()
    rule: Any = None
    reason: str = ""
    unknown: bool = False
    everywhere: bool = False


def both(one: Verdict, other: Verdict) -> Verdict:
    """Return what is said where two must allow a command: the one that refuses it, if one does."""
    if not one.allowed or not other.allowed:
        refusal = other if one.allowed else one
        some = tuple(minion for minion in one.minions if minion in other.minions)
        rest = {*one.minions, *one.refused, *other.minions, *other.refused} - {*some}
        return replace(refusal, minions=some, refused=tuple(sorted(rest)), rule=None)
    return replace(other, everywhere=one.everywhere and other.everywhere)


def reason_allowed(rule: Any, minions: list[str], open_to_all: bool) -> str:
    """Return why *rule*, or several of them, or nobody's leave lets the command run."""
    if not minions:
        return NO_MINIONS
    if rule is None and open_to_all:
        return "The master lets everybody run it."
    if rule is None:
        return "Several rules of the user together allow it."
    return "A rule of the user allows it on all minions of the target."


def reason_refused(some: tuple[str, ...], rules: list[Any]) -> str:
    """Return why *rules* do not let the command run, or on *some* minions only."""
    if not rules:
        return "The user has no permissions on this master."
    if some:
        return "Allowed on some minions of the target only; the master then runs it on none."
    return NO_RULE
