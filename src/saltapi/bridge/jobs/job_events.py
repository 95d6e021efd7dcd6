"""
What the events of jobs say, read with care: whoever may fire events can write anything in them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from saltapi.bridge.bus.events import Event
from saltapi.bridge.bus.tags import Kind
from saltapi.types import Jid, MinionId

FIND_JOB = "saltutil.find_job"


@dataclass(frozen=True, slots=True)
class JobStarted:
    """A `salt/job/<jid>/new` event: the master has published a job."""

    jid: Jid
    data: Mapping[str, Any]
    minions: tuple[MinionId, ...]
    """The minions that the master expects to return."""


@dataclass(frozen=True, slots=True)
class JobReturned:
    """A `salt/job/<jid>/ret/<minion>` event: a minion has returned."""

    jid: Jid
    minion: MinionId
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FunctionEvent:
    """A `new` or `ret` event of a runner or wheel function."""

    jid: Jid
    kind: str
    """`runner` or `wheel`."""
    ended: bool
    data: Mapping[str, Any]


def read(event: Event) -> JobStarted | JobReturned | FunctionEvent | None:
    """Return what *event* says of a job; None if nothing, or if tag and data contradict."""
    tag = event.parts
    jid = tag.jid
    if jid is None or tag.syndics or tag.part not in {"new", "ret"}:
        return None
    if event.data.get("jid") != jid:
        return None
    if tag.kind is not Kind.JOB:
        ended = tag.part == "ret"
        return FunctionEvent(jid, str(tag.kind), ended, event.data) if tag.name is None else None
    if tag.is_new:
        minions: Any = event.data.get("minions")
        return JobStarted(jid, event.data, tuple(minions)) if is_names(minions) else None
    name = tag.name
    if tag.part == "ret" and name and "/" not in name and event.data.get("id") == name:
        return JobReturned(jid, name, event.data)
    return None


def is_names(value: Any) -> bool:
    """Return whether *value* is a list of texts."""
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def names(value: Any) -> list[str]:
    """Return *value* if it is a list of texts, else an empty list."""
    return value if is_names(value) else []


def has_failed(data: Mapping[str, Any]) -> bool:
    """
    Return whether the data of a return says that the function failed.

    A compound command has a retcode and a success for each of its functions.
    """
    retcode, success = data.get("retcode"), data.get("success")
    codes = retcode.values() if isinstance(retcode, dict) else [retcode]
    successes = success.values() if isinstance(success, dict) else [success]
    return any(codes) or any(each is False for each in successes)


def says_running(data: Mapping[str, Any]) -> bool:
    """Return whether the answer to `saltutil.find_job` names a running job."""
    answer = data.get("return")
    if not isinstance(answer, dict) or not answer or data.get("retcode"):
        return False
    return answer.get("return") != {}
