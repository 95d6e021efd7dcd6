"""
Changes in stages: what `batch` asks for in a chunk of `local` or `local_async`.

    "batch": {"size": "10%", "wait": 5}
    "batch": {"stages": [1, "10%", "50%", "100%"], "max_failed": 0, "wait": 5}
    "batch": "10%"                          as Salt has it, with `batch_wait` and `failhard`

`stages` say how many minions are done at the end of each, in all; `size` how many each stage has.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from saltapi.errors import InvalidChunk
from saltapi.lowstate.values import flag, seconds, short
from saltapi.types import Chunk

CLIENTS = frozenset({"local", "local_async"})
"""The client interfaces that run in stages what has a `batch`."""
KEYS = ("max_failed", "size", "stages", "wait")
LISTED_LIMIT = 100
"""So many stages may be listed."""
STAGES_LIMIT = 1_000
"""So many stages a change may have."""
WAIT_LIMIT_SECONDS = 86_400.0
"""How long it may be waited between stages."""
ALL = "100%"
AMOUNT = re.compile(r"(%?)\s*(\d{1,9}(?:\.\d{1,9})?)\s*(%?)")
PING = "test.ping"
"""What the whole target is asked before its minions are divided."""


@dataclass(frozen=True, slots=True)
class Amount:
    """A number of minions, or a part of all of them in percent."""

    value: float
    percent: bool

    def of(self, total: int, *, up: bool = True) -> int:
        """Return how many of *total* minions that are; parts of one are rounded *up* or down."""
        exact = self.value / 100 * total if self.percent else self.value
        found = math.ceil(exact - 1e-9) if up else math.floor(exact + 1e-9)
        return min(found, total)


@dataclass(frozen=True, slots=True)
class StagePlan:
    """
    How a change goes through its minions.

    Attributes:
        stages: How many minions are done at the end of each stage; empty where `size` says it.
        size: How many minions each stage has.
        max_failed: How many may fail, in all, before the rest is left out; None for any number.
        wait_seconds: How long it is waited before each stage but the first.
        value: The same, as it is written in a chunk.
        own: Whether it was asked for by a mapping, which Salt's own clients do not know.
    """

    stages: tuple[Amount, ...]
    size: Amount | None
    max_failed: Amount | None
    wait_seconds: float
    value: Mapping[str, Any]
    own: bool

    def ends(self, minions: int) -> list[int]:
        """
        Return how many of *minions* are done at the end of each stage; stages without any fall out.

        Raises:
            InvalidChunk: There are too many stages.
        """
        if self.size is not None:
            step = max(self.size.of(minions, up=False), 1)
            if minions > step * STAGES_LIMIT:
                raise InvalidChunk(
                    f"{minions} minions in steps of {step} are too many stages; {STAGES_LIMIT} are"
                    " possible. Raise 'size' in 'batch'.",
                    key="batch",
                )
            return [min(end, minions) for end in range(step, minions + step, step)]
        ends: list[int] = []
        for stage in self.stages:
            end = stage.of(minions)
            if end > (ends[-1] if ends else 0):
                ends.append(end)
        return ends

    def allows(self, failed: int, minions: int) -> bool:
        """Return whether it may go on when *failed* of *minions* have failed."""
        return self.max_failed is None or failed <= self.max_failed.of(minions, up=False)


def stage_plan(client: str, chunk: Chunk) -> StagePlan | None:
    """
    Return what `batch` in *chunk* asks for; None without it, and for clients that know none.

    Raises:
        InvalidChunk: It is nothing that can be done.
    """
    batch = chunk.get("batch")
    if client not in CLIENTS or batch is None:
        return None
    if isinstance(batch, Mapping):
        return plan_of(batch)
    wait = seconds(chunk, "batch_wait" if "batch_wait" in chunk else "batch_delay") or 0.0
    most = 0 if flag(chunk, "failhard") else None
    return _plan({"size": batch, "wait": wait, "max_failed": most}, own=False)


def plan_of(batch: Mapping[str, Any]) -> StagePlan:
    """
    Return the plan that a mapping asks for.

    Raises:
        InvalidChunk: It asks for something else.
    """
    unknown = sorted(str(key) for key in batch if key not in KEYS)
    if unknown:
        raise _wrong(f"There is no {short(unknown[0])} in 'batch'; there are {', '.join(KEYS)}.")
    return _plan({"max_failed": 0, **batch}, own=True)


def _plan(batch: Mapping[str, Any], *, own: bool) -> StagePlan:
    size, listed = batch.get("size"), batch.get("stages")
    if (size is None) == (listed is None):
        raise _wrong("'batch' needs either 'size' or 'stages'.")
    wait = seconds(batch, "wait") or 0.0
    if wait > WAIT_LIMIT_SECONDS:
        raise _wrong(f"'wait' in 'batch' can be {WAIT_LIMIT_SECONDS:.0f} seconds at most.")
    most = batch.get("max_failed")
    return StagePlan(
        stages=() if listed is None else _stages(listed),
        size=None if size is None else _amount(size, "size", least=1),
        max_failed=None if most is None else _amount(most, "max_failed", least=0),
        wait_seconds=wait,
        value={
            **({"stages": listed} if size is None else {"size": size}),
            "max_failed": most,
            "wait": wait,
        },
        own=own,
    )


def _stages(listed: Any) -> tuple[Amount, ...]:
    if not isinstance(listed, list) or not 1 <= len(listed) <= LISTED_LIMIT:
        raise _wrong(f"'stages' in 'batch' must be a list of 1 to {LISTED_LIMIT} sizes.")
    found = tuple(_amount(size, "stages", least=1) for size in listed)
    for percent in (True, False):
        values = [amount.value for amount in found if amount.percent is percent]
        if values != sorted(set(values)):
            raise _wrong("Each of the 'stages' in 'batch' must be larger than those before it.")
    if found[-1] != Amount(100.0, percent=True):
        raise _wrong(f"The last one of the 'stages' in 'batch' must be '{ALL}'.")
    return found


def _amount(value: Any, key: str, *, least: int) -> Amount:
    match = None
    if isinstance(value, int | str) and not isinstance(value, bool):
        match = AMOUNT.fullmatch(str(value)[:30].strip())
    if match is not None:
        number, percent = float(match[2]), bool(match[1] or match[3])
        fits = number <= 100 if percent else number.is_integer()
        if fits and number >= (least if not percent or not least else 1e-9):
            return Amount(number, percent)
    raise _wrong(
        f"{key!r} in 'batch' must be a number of minions from {least} or a part like '10%', not"
        f" {short(value)}."
    )


def _wrong(problem: str) -> InvalidChunk:
    return InvalidChunk(problem, key="batch")
