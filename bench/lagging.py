"""
A program: saltapi, which notes how late its event loops are.

    SALTAPI_BENCH_LAGS=FILE python bench/lagging.py …

A loop is told to wake up every few milliseconds. Each time that it does so too late by more than
`NOTED_SECONDS` a line goes into FILE: when it was (`time.monotonic`), and how late, in seconds.
"""

import asyncio
import os
import time
from typing import Any

from saltapi.cli import main

INTERVAL_SECONDS = 0.005
NOTED_SECONDS = 0.002
FILE = "SALTAPI_BENCH_LAGS"


def watch(path: str) -> None:
    """Let every loop of this process, and of those that it forks, note in *path* how late it is."""
    run_forever = asyncio.BaseEventLoop.run_forever

    def watched(self: Any) -> None:
        def tick(due: float) -> None:
            now = time.monotonic()
            if now - due > NOTED_SECONDS:
                with open(path, "a") as file:
                    file.write(f"{now:.6f} {now - due:.6f}\n")
            self.call_at(now + INTERVAL_SECONDS, tick, now + INTERVAL_SECONDS)

        self.call_soon(tick, time.monotonic())
        run_forever(self)

    asyncio.BaseEventLoop.run_forever = watched  # type: ignore[method-assign]


if __name__ == "__main__":
    watch(os.environ[FILE])
    raise SystemExit(main())
