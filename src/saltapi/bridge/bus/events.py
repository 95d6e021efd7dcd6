"""
Events as they come from the bus: tag, payload, and an id to resume from.

An event is decoded when somebody first looks at its data, once however many look, and without
the credentials that Salt itself puts on the bus when it refuses a publish.
"""

import fnmatch
import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias, cast

import salt.exceptions
import salt.payload

from saltapi.bridge.bus.tags import TagParts, take_apart
from saltapi.masking import HIDDEN, mask_event, may_need_mask
from saltapi.types import Tag

log = logging.getLogger(__name__)

TAG_END = b"\n\n"
SECRET_KEYS = frozenset({"token", "password", "key", "sudo_pass", "ssh_passwd", "ssh_priv_passwd"})
"""What a load that the master refuses may hold."""
OVERHEAD_BYTES = 300
"""What an event takes in memory beside its tag and payload."""

TagFilter: TypeAlias = Callable[[Tag], bool]


class JobStart(NamedTuple):
    """Who has started a job, as far as that is known for sure, and its functions."""

    user: str | None
    funs: tuple[str, ...]


class Position(NamedTuple):
    """A place in the event log: before it are all earlier messages, and some records of one."""

    number: int
    """The message's."""
    item: int
    """How many records of it are before."""


class Origin(NamedTuple):
    """Where an event comes from that was read from the event log."""

    master: str | None
    """The master whose event it is; None for the one that this process is at."""
    position: Position
    start: JobStart | None
    """What its job is; known to whoever wrote the event, who has seen how it began."""


class Event:
    """One event of a master's bus."""

    __slots__ = ("_data", "_masked", "_parts", "_rendered", "id", "origin", "payload", "tag")

    def __init__(
        self, event_id: str, tag: Tag, payload: bytes, origin: Origin | None = None
    ) -> None:
        """
        Args:
            event_id: What to resume from (`saltapi.bridge.bus.cursors`).
            tag: The event's tag.
            payload: Its data as MessagePack bytes.
            origin: Where it comes from, if that is not the bus.
        """
        self.id = event_id
        self.tag = tag
        self.payload = payload
        self.origin = origin
        self._data: dict[str, Any] | None = None
        self._masked: Event | None = None
        self._parts: TagParts | None = None
        self._rendered: dict[str, bytes] = {}

    def bare(self) -> "Event":
        """Return the event without what was made of it."""
        return Event(self.id, self.tag, self.payload, self.origin)

    @property
    def master(self) -> str | None:
        """The master whose event it is; None for the one that this process is at."""
        return None if self.origin is None else self.origin.master

    @property
    def public_payload(self) -> bytes:
        """The payload without what only administrators see, and what nobody does."""
        refused = _holds_secrets(self.tag)
        if not refused and self.masked is self:
            return self.payload
        return cast("bytes", salt.payload.dumps(self.masked.data, use_bin_type=True))

    @property
    def data(self) -> dict[str, Any]:
        """The event's data; never change it, every listener shares it."""
        if self._data is None:
            self._data = _decode(self.tag, self.payload)
        return self._data

    @property
    def parts(self) -> TagParts:
        """What the tag says; found out once, whoever asks."""
        if self._parts is None:
            self._parts = take_apart(self.tag)
        return self._parts

    @property
    def masked(self) -> "Event":
        """
        The event as everybody but administrators sees it (`saltapi.masking`).

        It is another event only where something is hidden: all other ones are decoded and written
        once for everybody.
        """
        if self._masked is None:
            self._masked = self
            if may_need_mask(self.payload):
                data = mask_event(self.data)
                if data is not self.data:
                    self._masked = self.bare()
                    self._masked._data = data
                    self._masked._masked = self._masked
        return self._masked

    def render(self, encoding: str, make: Callable[["Event"], bytes]) -> bytes:
        """Return *make*'s bytes for this event, made once for each *encoding* whoever asks."""
        rendered = self._rendered.get(encoding)
        if rendered is None:
            rendered = self._rendered[encoding] = make(self)
        return rendered

    @property
    def size_bytes(self) -> int:
        """What the event counts for in queues and in the history."""
        return OVERHEAD_BYTES + len(self.payload) + len(self.tag)


@dataclass(frozen=True, slots=True)
class Gap:
    """Stands in a listener's queue where events are known to be missing, and says why."""

    id: str
    reason: str
    since: float | None = None
    """When the last event before it was fired, in seconds since the epoch, if that is known."""
    until: float | None = None
    """From when on nothing is missing any more, if that is known."""

    @property
    def size_bytes(self) -> int:
        """What the gap counts for in queues and in the history."""
        return OVERHEAD_BYTES + len(self.reason)


Record: TypeAlias = Event | Gap


def split(body: bytes) -> tuple[Tag, bytes]:
    """Return the tag and the payload of a frame of the bus (`salt.utils.event.SaltEvent.pack`)."""
    tag, _, payload = body.partition(TAG_END)
    return tag.decode("utf-8", "replace"), payload


def _holds_secrets(tag: Tag) -> bool:
    return tag.startswith(("salt/job/", "syndic/")) and tag.endswith("/error")


def _decode(tag: Tag, payload: bytes) -> dict[str, Any]:
    try:
        data = salt.payload.loads(payload, encoding="utf-8")
        if _holds_secrets(tag):
            # The master fires the whole load of a publish that it refuses, credentials included.
            data = without_secrets(data)
    except (salt.exceptions.SaltDeserializationError, RecursionError):
        log.warning("The data of an event with tag %r cannot be decoded.", tag)
        return {"error": "The data of this event cannot be decoded."}
    if not isinstance(data, dict):
        return {"data": data}
    return cast("dict[str, Any]", data)


def without_secrets(value: Any) -> Any:
    """Return a copy of *value* in which what stands under a secret's name is masked."""
    if isinstance(value, dict):
        return {
            k: HIDDEN if k in SECRET_KEYS and v else without_secrets(v) for k, v in value.items()
        }
    if isinstance(value, list | tuple):
        return [without_secrets(item) for item in value]
    return value


def tag_prefix(prefix: str) -> TagFilter:
    """Return a filter for tags that begin with *prefix*."""
    return lambda tag: tag.startswith(prefix)


def tag_glob(pattern: str) -> TagFilter:
    """Return a filter for tags that match the shell pattern *pattern* as a whole."""
    match = re.compile(fnmatch.translate(pattern)).match
    return lambda tag: match(tag) is not None


def tag_regex(pattern: str) -> TagFilter:
    """
    Return a filter for tags in which the regular expression *pattern* is found at the start.

    For patterns of our own and of the administrator: Python's engine has no time limit.
    """
    match = re.compile(pattern).match
    return lambda tag: match(tag) is not None


def any_of(filters: Iterable[TagFilter]) -> TagFilter | None:
    """Return one filter that passes what any of *filters* passes; None (all) for no filter."""
    several = tuple(filters)
    if not several:
        return None
    if len(several) == 1:
        return several[0]
    return lambda tag: any(passes(tag) for passes in several)
