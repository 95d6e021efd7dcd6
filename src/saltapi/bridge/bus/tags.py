"""
The grammar of tags: what the tag of an event says. Nobody else takes one apart.

    salt/job/<jid>/new, /ret/<minion>, /prog/<minion>/…, /error    a job on minions
    salt/state_result/<jid>/<minion>/…                             a state of such a job
    <jid>                                                          who is expected to return
    salt/run/<jid>/new, salt/wheel/<jid>/ret                       a function of the master
    salt/key, salt/auth, key/…, salt/presence/…                    keys and presence
    salt/minion/<minion>/start, salt/beacon/<minion>/…             what a minion has sent
    syndic/<id>/<tag>                                              what a master below has passed on
"""

import enum
import re
from typing import NamedTuple

from saltapi.types import Jid, Tag

EXPECTED = "expected"
"""The part of a tag that is a jid and nothing else: the event lists the minions of the job."""
STATE_RESULT = "state_result"

_BARE_JID = re.compile(r"\d{20}")


class Kind(enum.StrEnum):
    """What sort of thing an event is about."""

    JOB = "job"
    RUNNER = "runner"
    WHEEL = "wheel"
    KEY = "key"
    PRESENCE = "presence"
    MINION = "minion"
    OTHER = "other"


JOBS = frozenset({Kind.JOB, Kind.RUNNER, Kind.WHEEL})
_FUNCTIONS = {"run": Kind.RUNNER, "wheel": Kind.WHEEL}
_KEYS = frozenset({"key", "auth"})
_MINIONS = frozenset({"minion", "beacon", "refresh"})


class TagParts(NamedTuple):
    """What a tag says."""

    kind: Kind
    jid: Jid | None = None
    part: str | None = None
    """What it is in the course of a job or of a minion: `new`, `ret`, `start`."""
    name: str | None = None
    """What follows; of a return the minion."""
    syndics: int = 0
    """How many masters have passed the event on."""

    @property
    def is_new(self) -> bool:
        """Whether this is how a job or a function of the master is announced."""
        return self.part == "new" and self.name is None and not self.syndics and self.kind in JOBS

    @property
    def followed(self) -> Jid | None:
        """The jid whose followers get the event; None if nobody waits for such events."""
        if self.syndics:
            tells = self.part == EXPECTED or (self.part == "new" and self.kind is Kind.JOB)
            return self.jid if tells and self.name is None else None
        return None if self.part in (None, EXPECTED, STATE_RESULT) else self.jid


def take_apart(tag: Tag) -> TagParts:
    """Return what *tag* says."""
    parts = tag.split("/")
    if parts[0] != "syndic":
        return _parts(parts, 0)
    syndics = 0
    while parts[0] == "syndic" and len(parts) > 2:
        parts = parts[2:]
        syndics += 1
    return _parts(parts, syndics)


def _parts(parts: list[str], syndics: int) -> TagParts:
    count = len(parts)
    if count == 1 and (syndics or _BARE_JID.match(parts[0])):
        kind = Kind.JOB if _BARE_JID.match(parts[0]) else Kind.OTHER
        return TagParts(kind, parts[0], EXPECTED, None, syndics)
    if parts[0] == "key":
        return TagParts(Kind.KEY, syndics=syndics)
    what = parts[1] if parts[0] == "salt" and count > 1 else ""
    if what == "job" and count > 3:
        return TagParts(Kind.JOB, parts[2], parts[3], _rest(parts, 4), syndics)
    if what == STATE_RESULT and count > 3:
        return TagParts(Kind.JOB, parts[2], STATE_RESULT, parts[3], syndics)
    if what in _FUNCTIONS and count > 2:
        part = parts[3] if count > 3 else None
        return TagParts(_FUNCTIONS[what], parts[2], part, _rest(parts, 4), syndics)
    if what in _KEYS:
        return TagParts(Kind.KEY, syndics=syndics)
    if what == "presence":
        return TagParts(Kind.PRESENCE, syndics=syndics)
    if what in _MINIONS and count > 2:
        return TagParts(Kind.MINION, None, _rest(parts, 3), parts[2], syndics)
    return TagParts(Kind.OTHER, syndics=syndics)


def _rest(parts: list[str], start: int) -> str | None:
    return "/".join(parts[start:]) if len(parts) > start else None
