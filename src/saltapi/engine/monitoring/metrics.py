"""
The numbers of one process for Prometheus: what the engine counts, and the requests of a module.

The engine's objects count in plain integers, which are read when somebody asks. No name of a
user, minion, job or address is ever a label: the number of series does not grow with use.
"""

import threading
import time
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from saltapi import seldom
from saltapi.bridge.jobs.tallies import JOB_OUTCOMES, RETURN_OUTCOMES, STATE_RESULTS
from saltapi.engine.commands.asynchronous import AsyncAPIClient
from saltapi.engine.monitoring import event_log
from saltapi.interfaces import INTERFACES, Kind

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "WEBSOCKET"})
NO_ROUTE = "none"
"""The route of requests for URLs that there are not."""
ENDED = "saltapi_processes_ended_total"
MISSING = "saltapi_processes_missing"
SELDOM = "saltapi_seldom_logged_total"
MINION_CLIENTS = [name for name, found in INTERFACES.items() if found.kind is Kind.LOCAL]
MERGED_BY_MAXIMUM = frozenset({"saltapi_bus_age_seconds", ENDED, MISSING, event_log.LAG})
MERGED_BY_MINIMUM = frozenset({"process_start_time_seconds", "process_max_fds"})


Counts = Mapping[tuple[str, ...], int]
"""Numbers by the values of their labels."""


@dataclass(frozen=True, slots=True)
class Number:
    """One number of the engine."""

    name: str
    kind: Literal["counter", "gauge"]
    meaning: str
    read: Callable[[AsyncAPIClient], float]


NUMBERS = (
    Number("saltapi_processes", "gauge", "Processes of the module.", lambda _: 1),
    Number(
        "saltapi_jobs_in_flight",
        "gauge",
        "Jobs, runner and wheel functions whose events somebody waits for.",
        lambda client: client.hub.watched_jobs,
    ),
    Number(
        "saltapi_listeners",
        "gauge",
        "Streams of events and of the view of jobs and minions.",
        lambda client: client.hub.listeners + client.view.listeners,
    ),
    Number(
        "saltapi_listener_queue_bytes",
        "gauge",
        "Events that wait for slow readers.",
        lambda client: client.hub.queued_bytes,
    ),
    Number(
        "saltapi_event_history_bytes",
        "gauge",
        "Events kept for listeners that come back.",
        lambda client: client.hub.history_bytes,
    ),
    Number(
        "saltapi_events_received_total",
        "counter",
        "Events that came from the master's bus.",
        lambda client: client.hub.events_total,
    ),
    Number(
        "saltapi_events_fired_total",
        "counter",
        "Events that were handed to the master.",
        lambda client: client.bus.fired_total,
    ),
    Number(
        "saltapi_event_gaps_total",
        "counter",
        "Lost connections to the bus: events may have been missed.",
        lambda client: client.hub.gaps_total,
    ),
    Number(
        "saltapi_listener_overflows_total",
        "counter",
        "Streams that were ended because they were read too slowly.",
        lambda client: client.hub.overflows_total,
    ),
    Number(
        "saltapi_bus_connected",
        "gauge",
        "Processes that are connected to the master's bus.",
        lambda client: client.bus.connected,
    ),
    Number(
        "saltapi_bus_age_seconds",
        "gauge",
        "Time since the last event, of the process that got none for longest.",
        lambda client: client.bus.age_seconds,
    ),
    Number(
        "saltapi_function_workers",
        "gauge",
        "Function workers that are alive.",
        lambda client: client.functions.workers,
    ),
    Number(
        "saltapi_fast_functions_total",
        "counter",
        "Runner and wheel functions that a function worker ran.",
        lambda client: client.functions.calls_total,
    ),
    Number(
        "saltapi_fast_function_fallbacks_total",
        "counter",
        "Those that went through the master because no worker was free.",
        lambda client: client.functions.fallbacks_total,
    ),
    Number(
        "saltapi_master_requests_total",
        "counter",
        "Requests to the master.",
        lambda client: client.channels.requests_total,
    ),
    Number(
        "saltapi_master_request_failures_total",
        "counter",
        "Requests to the master that brought no answer.",
        lambda client: client.channels.failures_total,
    ),
    Number(
        "saltapi_master_channels_in_use",
        "gauge",
        "Connections to the master that carry a request.",
        lambda client: client.channels.in_use,
    ),
    Number(
        "saltapi_master_requests_waiting",
        "gauge",
        "Requests that wait for such a connection.",
        lambda client: client.channels.waiting,
    ),
)
JOBS = "saltapi_jobs_total"
RETURNS = "saltapi_returns_total"
STATES = "saltapi_states_total"
MINIONS = "saltapi_minions"
OF_ONE_PROCESS = frozenset({MINIONS})
"""What every process sees for itself: who is asked tells, and nothing is added up."""
LOST = "saltapi_store_lost"
BATCHES = "saltapi_batches"
REQUESTS = "saltapi_http_requests_total"
DURATION = "saltapi_http_request_duration_seconds"
IN_FLIGHT = "saltapi_http_requests_in_flight"
ERRORS = "saltapi_errors_total"
LOGINS = "saltapi_logins_total"
PROCESS = (
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_virtual_memory_bytes",
)
NAMES = (
    REQUESTS,
    DURATION,
    IN_FLIGHT,
    ERRORS,
    LOGINS,
    ENDED,
    MISSING,
    LOST,
    BATCHES,
    SELDOM,
    JOBS,
    RETURNS,
    STATES,
    MINIONS,
    *event_log.NAMES,
    *(n.name for n in NUMBERS),
    *PROCESS,
)
"""The names of all metrics, as they are documented."""


class Metrics:
    """Counts the requests of one process, and reads what the engine counts."""

    def __init__(
        self,
        client: AsyncAPIClient,
        *,
        processes: Callable[[], tuple[int, int]] = lambda: (0, 0),
        store_lost: Callable[[], bool] = lambda: False,
    ) -> None:
        """
        Args:
            client: The engine of the process; it need not have been started.
            processes: How many processes of the module have ended, and how many do not answer now.
            store_lost: Whether keys of commands were lost.
        """
        self.store_lost = store_lost
        self.minions: Mapping[tuple[str, str], int] = {}
        """How many minions there are by the state of the key and the connection, where the module
        has a fleet."""
        self.event_log: event_log.EventLogNumbers | None = None
        self.masters: event_log.MastersNumbers | None = None
        """The log of all masters' events, where there is one."""
        self.batches: Callable[[], int] = lambda: 0
        """Returns how many changes in stages this process sees to."""
        self._registry = CollectorRegistry(auto_describe=False)
        self._requests = Counter(
            REQUESTS,
            "Requests that have been answered.",
            ("route", "method", "status"),
            registry=self._registry,
        )
        self._duration = Histogram(
            DURATION,
            "Time until the answer began, by class of status.",
            ("route", "method", "status"),
            buckets=BUCKETS_SECONDS,
            registry=self._registry,
        )
        self.in_flight = 0
        """How many requests, streams included, are being answered."""
        self._errors: Tally[str] = Tally()
        self.statuses: Tally[int] = Tally()
        """How many requests have been answered, by status."""
        self._lock = threading.Lock()  # modules that speak WSGI answer in threads
        self.started_at = time.time()
        self.processes = processes
        self._registry.register(_Engine(client, self))
        ProcessCollector(registry=self._registry)

    def begin(self) -> None:
        """Count a request that is being answered from now on."""
        with self._lock:
            self.in_flight += 1

    def end(self) -> None:
        """Count a request no more that was being answered."""
        with self._lock:
            self.in_flight -= 1

    def answered(self, route: str | None, method: str, status: int, seconds: float) -> None:
        """
        Count a request.

        Args:
            route: The template of its URL, None for a URL that there is not.
            method: Its method; `WEBSOCKET` for a WebSocket.
            status: The status of the answer.
            seconds: How long it took until the answer began.
        """
        with self._lock:
            self.statuses[status] += 1
        known = method if method in METHODS else "other"
        where = route or NO_ROUTE
        self._requests.labels(where, known, str(status)).inc()
        self._duration.labels(where, known, f"{status // 100}xx").observe(seconds)

    def error(self, code: str) -> None:
        """Count a request that ended with the error *code*."""
        with self._lock:
            self._errors[code] += 1

    @property
    def errors(self) -> dict[str, int]:
        """How many requests ended with an error, by its code."""
        return dict(self._errors)

    def families(self) -> list[Metric]:
        """Return all numbers as they are now."""
        families = list(self._registry.collect())
        for family in families:
            # When a series began says nothing once those of several processes are added up.
            family.samples = [s for s in family.samples if not s.name.endswith("_created")]
        return families


class _Engine(Collector):
    def __init__(self, client: AsyncAPIClient, metrics: Metrics) -> None:
        self._client = client
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        """Yield the engine's numbers."""
        for number in NUMBERS:
            family = _family(number.name, number.meaning, number.kind)
            family.add_sample(number.name, {}, float(number.read(self._client)))
            yield family
        noise = _family(SELDOM, "What outsiders can cause, logged once a minute.", "counter")
        for noisy in seldom.KINDS:
            noise.add_sample(SELDOM, {"kind": noisy}, float(seldom.counts[noisy]))
        yield noise
        ended, missing = self._metrics.processes()
        rows: list[tuple[str, str, str, float]] = [
            (ENDED, "counter", "Processes that died, hung or could not be started.", ended),
            (MISSING, "gauge", "Processes that should answer and do not.", missing),
            (
                LOST,
                "gauge",
                "Processes that have lost keys of commands.",
                self._metrics.store_lost(),
            ),
            (BATCHES, "gauge", "Changes in stages on their way.", self._metrics.batches()),
        ]
        shared = event_log.samples(self._metrics.event_log, self._metrics.masters)
        for name, kind, meaning, count in (*rows, *shared):
            family = _family(name, meaning, kind)
            family.add_sample(name, {}, float(count))
            yield family
        tallies = self._client.jobs.tallies
        yield _counted(
            JOBS,
            "Commands, by client interface and what became of them.",
            ("client", "outcome"),
            {
                (client, outcome): tallies.jobs[client, outcome]
                for client in INTERFACES
                for outcome in JOB_OUTCOMES
            },
        )
        yield _counted(
            RETURNS,
            "What minions returned, by client interface and how it went.",
            ("client", "outcome"),
            {
                (client, outcome): tallies.returns[client, outcome]
                for client in MINION_CLIENTS
                for outcome in RETURN_OUTCOMES
            },
        )
        states: Counts = {(result,): tallies.states[result] for result in STATE_RESULTS}
        yield _counted(STATES, "States that minions returned, by result.", ("result",), states)
        minions = _family(MINIONS, "Minions, by the state of the key and the connection.", "gauge")
        for (key, connected), count in sorted(self._metrics.minions.items()):
            labels = {"key": key, "connected": connected}
            minions.add_sample(MINIONS, labels, float(count))
        yield minions
        in_flight = _family(IN_FLIGHT, "Requests that are being answered.", "gauge")
        in_flight.add_sample(IN_FLIGHT, {}, float(self._metrics.in_flight))
        yield in_flight
        errors = _family(ERRORS, "Requests that ended with an error, by its code.", "counter")
        for code, count in sorted(self._metrics.errors.items()):
            errors.add_sample(ERRORS, {"code": code}, float(count))
        yield errors
        sessions, throttle = self._client.sessions, self._client.login_throttle
        logins = _family(LOGINS, "Logins, by how they ended.", "counter")
        for result, count in (
            ("ok", sessions.logins_total),
            ("failed", sessions.failed_logins_total),
            ("throttled", throttle.refused_total),
        ):
            logins.add_sample(LOGINS, {"result": result}, float(count))
        yield logins


def _counted(name: str, meaning: str, labels: tuple[str, ...], counts: Counts) -> Metric:
    family = _family(name, meaning, "counter")
    for values, count in counts.items():
        family.add_sample(name, dict(zip(labels, values, strict=True)), float(count))
    return family


def _family(name: str, meaning: str, kind: str) -> Metric:
    return Metric(name.removesuffix("_total") if kind == "counter" else name, meaning, kind)


def text_of(families: Iterable[Metric]) -> bytes:
    """Return *families* in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Fixed(list(families)))
    return generate_latest(registry)


class _Fixed(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """Return what was given."""
        return self._families


Plain = list[Any]
"""Families as JSON can hold them: `[name, meaning, kind, [[sample, labels, value], …]]` each."""


def plain_of(families: Iterable[Metric]) -> Plain:
    """Return *families* as JSON can hold them."""
    return [
        [f.name, f.documentation, f.type, [[s.name, dict(s.labels), s.value] for s in f.samples]]
        for f in families
    ]


def merged(processes: Iterable[Plain]) -> list[Metric]:
    """
    Return the numbers of several processes as those of one: added up, ages the oldest.

    Args:
        processes: The numbers of each, of the process that is asked first.
    """
    families: dict[str, Metric] = {}
    values: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
    for index, plain in enumerate(processes):
        for name, meaning, kind, samples in plain:
            if index and name in OF_ONE_PROCESS:
                continue
            families.setdefault(name, Metric(name, meaning, kind))
            found = values.setdefault(name, {})
            for sample, labels, value in samples:
                key = (sample, tuple(labels.items()))
                found[key] = _both(sample, found[key], value) if key in found else value
    for name, family in families.items():
        for (sample, labels), value in values[name].items():
            family.add_sample(sample, dict(labels), value)
    return list(families.values())


def lasting(plain: Plain) -> Plain:
    """Return what stays of a process that has ended: what it counted."""
    return [family for family in plain if family[2] in {"counter", "histogram"}]


def _both(sample: str, one: float, other: float) -> float:
    if sample in MERGED_BY_MAXIMUM:
        return max(one, other)
    if sample in MERGED_BY_MINIMUM:
        return min(one, other)
    return one + other
