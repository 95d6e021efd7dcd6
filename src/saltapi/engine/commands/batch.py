"""
`local_batch`: run a command on a few minions at a time.

Follows `salt.cli.batch.Batch`: a `test.ping` finds the minions that are there, then as many of
them as the batch holds run the command at once; each one that is done makes room for the next,
`batch_wait` seconds later if that is set.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from saltapi.bridge.jobs.jobs import JobRequest, Jobs, Return
from saltapi.bridge.jobs.states import MinionState
from saltapi.errors import NoMinionsMatched
from saltapi.lowstate import Command
from saltapi.trace import note_silent
from saltapi.types import MinionId


async def run_batch(
    jobs: Jobs, command: Command, request: JobRequest
) -> AsyncIterator[dict[str, Any]]:
    """
    Yield `{minion: return}` for each minion of the batch as it comes.

    With `raw` each element is the return event, `{"tag": …, "data": …}`; a minion that does not
    return in time gives `{minion: {}}`. Otherwise same as `batch_returns`.
    """
    async for found in batch_returns(jobs, command, request, await up(jobs, request)):
        yield _element(command, found)


async def batch_returns(
    jobs: Jobs, command: Command, request: JobRequest, minions: list[MinionId]
) -> AsyncIterator[Return]:
    """
    Yield each minion's `Return` as it comes, of one job for each part of the batch.

    With `failhard` the first failure ends the batch. *minions* are those that are `up`.

    Raises:
        Whatever publishing raises; a target that matches nothing gives no elements.
    """
    waiting = deque(minions)
    free = batch_size(command.batch, len(waiting))
    outstanding = 0
    happened: asyncio.Queue[Return | Exception | None] = asyncio.Queue()
    parts: list[asyncio.Task[None]] = []

    def release() -> None:
        nonlocal free
        free += 1
        happened.put_nowait(None)

    async def run(group: list[MinionId]) -> None:
        part = replace(request, tgt=group, tgt_type="list", jid=None)
        silent = set(group)
        try:
            async with await jobs.start(part) as job:
                async for found in job:
                    if found.minion in silent:
                        silent.discard(found.minion)
                        happened.put_nowait(found)
            for minion in silent:
                happened.put_nowait(Return(job.jid, minion, MinionState.NO_RESPONSE, {}))
        except Exception as error:  # noqa: BLE001 - handed to whoever reads the batch
            happened.put_nowait(error)

    try:
        while waiting or outstanding:
            if waiting and free:
                group = [waiting.popleft() for _ in range(min(free, len(waiting)))]
                free -= len(group)
                outstanding += len(group)
                parts.append(asyncio.create_task(run(group)))
            found = await happened.get()
            if isinstance(found, Exception):
                raise found
            if found is None:
                continue
            outstanding -= 1
            asyncio.get_running_loop().call_later(command.batch_wait_seconds, release)
            yield found
            if command.failhard and (found.silent or found.data.get("retcode")):
                return
    finally:
        for task in parts:
            task.cancel()


def batch_size(batch: str, minions: int) -> int:
    """Return how many of *minions* run at once for *batch*, a number or a part like `10%`."""
    if "%" in batch:
        return max(int(float(batch.strip("% ")) / 100 * minions), 1)
    return int(float(batch))


async def up(jobs: Jobs, request: JobRequest) -> list[MinionId]:
    """Return the minions of the target that answer a `test.ping` with the same credentials."""
    await jobs.clearance.clear(request)
    ping = replace(request, fun="test.ping", arg=(), ret="", jid=None, client="")
    ping = replace(ping, extra=delimiter_of(request))
    try:
        async with await jobs.start(ping) as job:
            answers = [found async for found in job]
    except NoMinionsMatched:
        return []
    note_silent([found.minion for found in answers if found.silent])
    return [found.minion for found in answers if not found.silent]


def delimiter_of(request: JobRequest) -> tuple[tuple[str, Any], ...]:
    """Return what of `extra` belongs to the target of *request*."""
    return tuple((key, value) for key, value in request.extra if key == "delimiter")


def _element(command: Command, found: Return) -> dict[str, Any]:
    if command.raw:
        data = dict(found.data) or {"id": found.minion, "return": {}, "retcode": 0}
        return {"data": data, "tag": f"salt/job/{found.jid}/ret/{found.minion}"}
    return {found.minion: {} if found.silent else found.data["return"]}
