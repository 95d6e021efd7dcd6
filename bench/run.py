"""The rounds: every contestant in turn, every round in another order."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from bench.contestants import CONTESTANTS, CannotRun, Contestant, Daemon
from bench.figures import Key, Results
from bench.scenario import Scenario, Visit
from bench.worlds import WORLDS, World

Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """
    What to do.

    Attributes:
        scenarios: In this order.
        contestants: Whom to measure.
        worlds: Names of `bench.worlds.WORLDS`.
        rounds: How often; a scenario may say less.
        size: One of `bench.scenario.SIZES`.
    """

    scenarios: Sequence[Scenario]
    contestants: Sequence[Contestant] = tuple(CONTESTANTS)
    worlds: Sequence[str] = tuple(WORLDS)
    rounds: int = 2
    size: str = "full"


class Run:
    """One run of the benchmark; `results` grows while it goes on."""

    def __init__(self, plan: Plan, say: Say) -> None:
        """
        Args:
            plan: What to do.
            say: Takes a line for the people who wait.
        """
        self.plan = plan
        self.results = Results()
        self._say = say
        self._absent: set[str] = set()

    def run(self) -> Results:
        """Do everything; what fails is noted, and the rest goes on."""
        for kind in self.plan.worlds:
            if not any(kind in scenario.worlds for scenario in self.plan.scenarios):
                continue
            with WORLDS[kind]() as world:
                for number in range(self.plan.rounds):
                    # The other way round each time: what comes later finds another machine.
                    for contestant in self.plan.contestants[:: -1 if number % 2 else 1]:
                        self._visit(world, contestant, number)
        return self.results

    def _visit(self, world: World, contestant: Contestant, number: int) -> None:
        todo = [
            scenario
            for scenario in self.plan.scenarios
            if world.kind in scenario.worlds
            and scenario.contestants(contestant, world.kind)
            and (not contestant.only or scenario.name in contestant.only)
            and number < (scenario.rounds or self.plan.rounds)
        ]
        if contestant.name in self._absent or not todo:
            return
        fresh = [scenario for scenario in todo if scenario.fresh]
        others = [scenario for scenario in todo if not scenario.fresh]
        if self.plan.size == "full":
            groups = [*([scenario] for scenario in fresh), others]
        else:
            groups = [fresh, others]
        for group in filter(None, groups):
            try:
                with self._started(world, contestant, number) as visit:
                    for scenario in group:
                        self._measure(visit, scenario, number)
            except CannotRun as error:
                self._absent.add(contestant.name)
                self._say(f"{contestant.name} is left out. {error}")
                for scenario in todo:
                    reason = f"It did not start: {str(error).splitlines()[-1]}"
                    self.results.fail(scenario.name, world.kind, contestant.name, reason)
                return

    @contextlib.contextmanager
    def _started(self, world: World, contestant: Contestant, number: int) -> Iterator[Visit]:
        size = self.plan.size
        if contestant.is_bare:
            yield Visit(world, contestant, None, size=size, number=number)
            return
        with Daemon(contestant, world.master) as daemon:
            yield Visit(world, contestant, daemon, size=size, number=number)

    def _measure(self, visit: Visit, scenario: Scenario, number: int) -> None:
        who = visit.contestant.name
        started = time.monotonic()
        outcome = ""
        try:
            for figure in scenario.run(visit):
                key = Key(scenario.name, visit.world.kind, figure.case, figure.what, who)
                self.results.add(key, figure.value)
        except Exception as error:  # noqa: BLE001 - a failure is a result, the others go on
            outcome = f"FAILED: {error or type(error).__name__}"
            self.results.fail(scenario.name, visit.world.kind, who, f"{error}".strip())
        for remark in visit.remarks:
            self.results.remark(scenario.name, visit.world.kind, who, remark)
        visit.remarks.clear()
        took = time.monotonic() - started
        self._say(
            f"round {number + 1}, {visit.world.kind} master, {who}: "
            f"{scenario.name} {took:.1f} s {outcome}".rstrip()
        )
