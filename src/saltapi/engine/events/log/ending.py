"""How tasks that talk to the servers end."""

import asyncio
from typing import Any

AGAIN_SECONDS = 0.2


async def end(task: asyncio.Task[Any] | None) -> None:
    """
    Cancel *task*, and return when it has ended.

    nats-py takes it for the end of a connection if one ends at the same time, so it is said again.
    """
    while task is not None and not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=AGAIN_SECONDS)
