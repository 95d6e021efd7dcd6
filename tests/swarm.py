"""
Many simulated minions at a real master; what they do is in `tests/simulated.py`.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from saltapi.demo import PrivateMaster
from tests.waiting import scaled

START_SECONDS = 60.0
REQUEST_SECONDS = 5.0
"""The wait for an answer of the master, until a minion asks again."""


class Swarm:
    """
    Simulated minions at a `PrivateMaster`, in a process of their own.

    Attributes:
        ids: The ids of the minions.
    """

    def __init__(
        self,
        master: PrivateMaster,
        count: int,
        *,
        prefix: str = "sim-",
        behaviours: Mapping[str, str] | None = None,
    ) -> None:
        """
        Args:
            master: The master they belong to; it must answer when `start` is called.
            count: How many; they are called `<prefix>0` to `<prefix><count - 1>`.
            prefix: What their ids begin with.
            behaviours: Glob of minion ids -> behaviour; minions that no glob matches answer.
        """
        self.master = master
        self.ids = [f"{prefix}{number}" for number in range(count)]
        settings = master.directory / f"{prefix}swarm.json"
        settings.write_text(
            json.dumps(
                {
                    "publish_port": master.publish_port,
                    "request_port": master.request_port,
                    "directory": str(master.directory / f"{prefix}swarm"),
                    "ids": self.ids,
                    "behaviours": dict(behaviours or {}),
                    "request_seconds": scaled(REQUEST_SECONDS),
                }
            )
        )
        self.program = master.program(
            f"{prefix}swarm", [sys.executable, "-m", "tests.simulated", str(settings)]
        )
        self.program.cwd = Path(__file__).parents[1]

    def start(self, timeout: float = START_SECONDS) -> None:
        """Start them and wait until they hear the master (*timeout* is scaled)."""
        self.program.start()
        # They listen when all are signed in: what one of them hears, all hear.
        self.master.wait_ready(minions=self.ids[-1:], timeout=scaled(timeout), needs=[self.program])

    def stop(self) -> None:
        """End them and take their keys from the master, which then knows nothing of them."""
        self.program.kill()
        directory = self.master.directory / "master"
        for minion in self.ids:
            (directory / "pki" / "minions" / minion).unlink(missing_ok=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
