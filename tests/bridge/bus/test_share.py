"""A share of each turn of the loop belongs to requests, whatever listeners are to be sent."""

import asyncio
import itertools
import time

from saltapi.bridge.bus.share import LoopShare


class FakeQueue:
    """Fills as the test says."""

    is_half_full = False


QUEUE = FakeQueue()


async def test_nobody_waits() -> None:
    """Without a burst a write is made at once."""
    share = LoopShare(60.0)
    waiting = asyncio.ensure_future(share.wait(QUEUE))
    await asyncio.sleep(0)
    assert waiting.done()


async def test_turns() -> None:
    """Writers that use the share up write one in each turn, each as often as the others."""
    share = LoopShare(0.0005)
    wrote: list[object] = []

    async def write(name: str) -> None:
        for _ in range(5):
            await share.wait(QUEUE)
            wrote.append(name)
            time.sleep(0.001)  # noqa: ASYNC251 - as long as a write takes

    async def others() -> None:
        while len(wrote) < 40:
            wrote.append(None)
            await asyncio.sleep(0)

    await asyncio.gather(write("a"), write("b"), write("c"), others())
    names = [each for each in wrote if each is not None]
    assert 15 == len(names)
    for count in range(1, 16):
        shares = [names[:count].count(name) for name in "abc"]
        assert max(shares) - min(shares) <= 2
    for first, second in itertools.pairwise(wrote):
        assert None in (first, second)


async def test_who_leaves() -> None:
    """A listener that goes away while it waits holds up nobody."""
    share = LoopShare(0.0005)

    async def write() -> None:
        await share.wait(QUEUE)
        time.sleep(0.001)  # noqa: ASYNC251 - as long as a write takes

    tasks = [asyncio.ensure_future(write()) for _ in range(4)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    await asyncio.wait(tasks)
    assert [False, True, False, False] == [task.cancelled() for task in tasks]


async def test_behind() -> None:
    """It says so while the queue of somebody who waits gets full, and not any longer."""
    share = LoopShare(0.0005)
    full = FakeQueue()
    full.is_half_full = True
    noted: list[bool] = []

    async def write(queue: FakeQueue) -> None:
        await share.wait(queue)
        noted.append(share.is_behind)
        time.sleep(0.001)  # noqa: ASYNC251 - as long as a write takes

    await asyncio.gather(write(QUEUE), write(QUEUE), write(full), write(full), write(QUEUE))
    assert [False, True, True, True, False] == noted
    assert not share.is_behind
    await asyncio.gather(write(QUEUE), write(full))
    await asyncio.sleep(0)
    assert not share.is_behind
