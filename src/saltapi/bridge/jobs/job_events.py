"""
What the events of jobs say, read with care: whoever may fire events can write anything in them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from saltapi.bridge.bus.events import Event
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


FUNCTION_KINDS = {"run": "runner", "wheel": "wheel"}


def read(event: Event) -> JobStarted | JobReturned | FunctionEvent | None:
    """Return what *event* says of a job; None if nothing, or if tag and data contradict."""
    tag = event.tag.split("/")
    if tag[0] != "salt" or len(tag) not in {4, 5}:
        return None
    if tag[1] in FUNCTION_KINDS and len(tag) == 4 and tag[3] in {"new", "ret"}:
        if event.data.get("jid") != tag[2]:
            return None
        return FunctionEvent(tag[2], FUNCTION_KINDS[tag[1]], tag[3] == "ret", event.data)
    if tag[1] != "job" or event.data.get("jid") != tag[2]:
        return None
    if len(tag) == 4 and tag[3] == "new":
        minions: Any = event.data.get("minions")
        return JobStarted(tag[2], event.data, tuple(minions)) if is_names(minions) else None
    if len(tag) == 5 and tag[3] == "ret" and event.data.get("id") == tag[4]:
        return JobReturned(tag[2], tag[4], event.data)
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
