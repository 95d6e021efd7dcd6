"""What a scenario is, and what it is given: one contestant, started, on one master."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from bench.contestants import Contestant, Daemon
from bench.generators import Generator, once
from bench.worlds import REAL, SIMULATED, RealWorld, SimulatedWorld, World

T = TypeVar("T")

SIZES = ["full", "quick", "tiny"]
"""For documentation; in two minutes; to see that it works."""
DEADLINE_SECONDS = 120


@dataclass(frozen=True)
class Figure:
    """One number: `case` says of which amount of work, `what` is one of the scenario's figures."""

    case: str
    what: str
    value: float


class Visit:
    """
    One contestant in one round.

    Attributes:
        world: The master that it works with.
        contestant: Who it is.
        size: One of `SIZES`.
        round: The number of the round, from 0.
        token: A token of a user who may run everything.
        remarks: What has to be known of the figures.
    """

    def __init__(
        self,
        world: World,
        contestant: Contestant,
        daemon: Daemon | None,
        *,
        size: str,
        number: int,
    ) -> None:
        """
        Args:
            world: The master.
            contestant: Who is measured.
            daemon: The running daemon; None for the master without HTTP.
            size: How much is done.
            number: The number of the round.
        """
        self.world = world
        self.contestant = contestant
        self.size = size
        self.round = number
        self.remarks: list[str] = []
        self._daemon = daemon
        self.token = self._log_in()

    def _log_in(self) -> str:
        if self._daemon is None or not self.contestant.login:
            return self.world.token()
        return self._daemon.log_in(self.world.master.credentials())

    def restart(self) -> None:
        """Start the contestant anew: what it has freed would be taken again without growing."""
        self.daemon.restart()
        self.token = self._log_in()

    @property
    def daemon(self) -> Daemon:
        """The running daemon; the master without HTTP has none."""
        assert self._daemon
        return self._daemon

    @property
    def real(self) -> RealWorld:
        """The real master."""
        assert isinstance(self.world, RealWorld)
        return self.world

    @property
    def simulated(self) -> SimulatedWorld:
        """The simulated master."""
        assert isinstance(self.world, SimulatedWorld)
        return self.world

    def pick(self, *, full: T, quick: T, tiny: T) -> T:
        """Return what is for this size."""
        return {"full": full, "quick": quick, "tiny": tiny}[self.size]

    @property
    def headers(self) -> dict[str, str]:
        """The headers of an authenticated request."""
        return {"X-Auth-Token": self.token}

    def job(self, kind: str, **more: Any) -> dict[str, Any]:
        """Return a job for a load generator, for the contestant's port."""
        port = self._daemon.port if self._daemon else 0
        return {"kind": kind, "port": port, "deadline_seconds": DEADLINE_SECONDS, **more}

    @contextmanager
    def generator(self, kind: str, **more: Any) -> Iterator[Generator]:
        """Yield a load generator that does a job of several steps."""
        with Generator(self.job(kind, **more)) as generator:
            yield generator

    def load(self, case: str, request: str, *, expect: str = "", **more: Any) -> list[Figure]:
        """
        Return rate, latency and CPU of a request that is sent again and again.

        Args:
            case: What the figures are of.
            request: The text of the request.
            expect: What a good answer has in it.
            more: `clients`, `seconds`, `warm_up_seconds`.

        Raises:
            RuntimeError: There was no good answer in time.
        """
        before = self.daemon.watched.cpu_seconds()
        answer = once(self.job("requests", request=request, expect=expect, **more))
        used = self.daemon.watched.cpu_seconds() - before
        if answer["failed"]:
            self.remarks.append(
                f"{case}: {answer['failed']} of {answer['total']} answers were wrong,"
                f" the first was {answer['error']}"
            )
        return [
            *rate_figures(case, answer),
            Figure(case, "CPU", 1000 * used / answer["total"]),
            Figure(case, "wrong", answer["failed"]),
        ]

    def bare(self, case: str, action: str, **more: Any) -> list[Figure]:
        """Return rate and latency of the master itself doing *action* of `bench.bare`."""
        job = self.job(
            "bare",
            action=action,
            config_dir=str(self.world.master.config_dir),
            token=self.token,
            tgt=self.world.target,
            credentials=self.world.master.credentials(),
            **more,
        )
        return rate_figures(case, once(job, "bench.bare"))


def rate_figures(case: str, answer: dict[str, Any]) -> list[Figure]:
    """Return what a load generator said of many requests."""
    if not answer["count"]:
        raise RuntimeError(answer["error"] or "There was no answer in the time of the measurement.")
    return [
        Figure(case, "rate", answer["rate"]),
        Figure(case, "median", answer["median_ms"]),
        Figure(case, "p99", answer["p99_ms"]),
    ]


def clients_case(count: int) -> str:
    """Return what a number of clients is called."""
    return "1 client" if count == 1 else f"{count} clients"


@dataclass(frozen=True)
class Scenario:
    """
    Something to measure.

    Attributes:
        name: What it is called on the command line.
        title: What is done, in one line.
        run: Does it and yields figures.
        figures: What each figure is called -> its unit.
        worlds: The masters that it is done with.
        contestants: Tells who can do it on a kind of world.
        rounds: In how many rounds at most; None for all.
        fresh: The contestant is started anew for it, because memory is measured; with less
            than the full size once for all of these.
        quick: It belongs to the quick form.
    """

    name: str
    title: str
    run: Callable[[Visit], Iterator[Figure]]
    figures: dict[str, str]
    worlds: tuple[str, ...]
    contestants: Callable[[Contestant, str], bool]
    rounds: int | None = None
    fresh: bool = False
    quick: bool = True


RATE_FIGURES = {"rate": "/s", "median": "ms", "p99": "ms", "CPU": "ms", "wrong": ""}


def everybody(_contestant: Contestant, _world: str) -> bool:
    """Return that everybody can do it."""
    return True


def has_http(contestant: Contestant, _world: str = REAL) -> bool:
    """Return whether *contestant* speaks HTTP."""
    return not contestant.is_bare


def is_ours(contestant: Contestant) -> bool:
    """Return whether *contestant* is one of our modules."""
    return has_http(contestant) and not contestant.name.startswith("salt.")


def ours_if_simulated(contestant: Contestant, world: str) -> bool:
    """Return whether *contestant* is measured: with a simulated master ours alone are."""
    return world != SIMULATED or contestant.is_bare or is_ours(contestant)
