"""The numbers of the event log, and of masters that ask each other."""

from collections.abc import Iterator
from typing import Literal, NamedTuple, Protocol

LAG = "saltapi_event_log_lag_seconds"
STORED = "saltapi_event_log_stored_total"
GAPS = "saltapi_event_log_gaps_total"
RELAYED = "saltapi_event_log_relayed_total"
ASKED = "saltapi_masters_asked_total"
ANSWERED = "saltapi_masters_answered_total"
NAMES = (LAG, STORED, GAPS, RELAYED, ASKED, ANSWERED)


class EventLogNumbers(Protocol):
    """What a log counts."""

    @property
    def lag_seconds(self) -> float:
        """For how long something waits to be stored, or nobody writes."""

    @property
    def stored_total(self) -> int:
        """How many events this process has stored."""

    @property
    def gaps_total(self) -> int:
        """How many gaps it has stored."""

    @property
    def relayed_total(self) -> int:
        """How many events of other masters it has handed on."""


class MastersNumbers(Protocol):
    """What is counted of other masters."""

    @property
    def asked_total(self) -> int:
        """How many requests were handed on to them."""

    @property
    def answered_total(self) -> int:
        """How many of theirs were answered here."""


class Sample(NamedTuple):
    """One number."""

    name: str
    kind: Literal["counter", "gauge"]
    meaning: str
    value: float


def samples(log: EventLogNumbers | None, masters: MastersNumbers | None) -> Iterator[Sample]:
    """Yield the numbers of *log* and *masters*; zeros without them."""
    lag, stored, gaps, relayed = (
        (0.0, 0, 0, 0)
        if log is None
        else (log.lag_seconds, log.stored_total, log.gaps_total, log.relayed_total)
    )
    yield Sample(LAG, "gauge", "How far the event log is behind the bus.", lag)
    yield Sample(STORED, "counter", "Events written into the event log.", stored)
    yield Sample(GAPS, "counter", "Gaps written into the event log.", gaps)
    yield Sample(RELAYED, "counter", "Events of other masters, by process that got them.", relayed)
    asked, answered = (0, 0) if masters is None else (masters.asked_total, masters.answered_total)
    yield Sample(ASKED, "counter", "Requests handed on to the master of their job.", asked)
    yield Sample(ANSWERED, "counter", "Requests of other masters' doors answered here.", answered)
