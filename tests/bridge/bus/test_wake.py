"""The flag that listeners and commands wait for."""

import asyncio
import contextlib

from saltapi.bridge.bus.wake import Wake


async def test_set_before() -> None:
    """What was set before somebody waits is not lost, and counts once."""
    wake = Wake()
    wake.set()
    wake.set()

    assert await wake.wait()
    assert not await wake.wait(0)


async def test_set_while_waiting() -> None:
    """Who waits goes on as soon as it is set."""
    wake = Wake()
    waiting = asyncio.create_task(wake.wait(60))
    await asyncio.sleep(0)
    assert not waiting.done()
    wake.set()
    wake.set()

    assert await waiting
    assert not await wake.wait(0)


async def test_time_is_over() -> None:
    """Nobody waits longer than it wants to; what is set in the same moment counts."""
    wake = Wake()
    assert not await wake.wait(0.01)
    assert not await wake.wait(-1)
    asyncio.get_running_loop().call_soon(wake.set)
    assert await wake.wait(0)


async def test_who_leaves() -> None:
    """Who is cancelled takes nothing along: it is set for the next one."""
    wake = Wake()
    waiting = asyncio.create_task(wake.wait())
    await asyncio.sleep(0)
    waiting.cancel()
    wake.set()
    with contextlib.suppress(asyncio.CancelledError):
        await waiting

    assert await wake.wait()
