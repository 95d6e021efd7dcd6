"""What the tests of the client interfaces share: chunks, minions, and waiting for them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from saltapi.engine.commands.asynchronous import AsyncAPIClient
from saltapi.errors import MalformedAnswer, MasterUnavailable
from tests.waiting import scaled

ONE, TWO = "minion-1", "minion-2"
SOON = {"timeout": scaled(1), "gather_job_timeout": scaled(1)}
"""Enough for minions that answer at once."""
RESERVED_BY_SALT = [
    "fun", "user", "username", "password", "eauth", "token", "client", "cmd", "print_event",
    "full_return", "key",
]  # fmt: skip
"""What runner and wheel clients of Salt read at the top level of a chunk."""


async def collect(batch: AsyncIterator[dict[str, Any]]) -> list[dict[str, Any]]:
    return [element async for element in batch]


WHEEL_MODULE = """
def echo(**kwargs):
    return kwargs
"""


EVERY_CLIENT: list[dict[str, Any]] = [
    {"client": "local", "tgt": "*", "fun": "cmd.run", "arg": ["id"]},
    {"client": "local_async", "tgt": "*", "fun": "cmd.run", "arg": ["id"]},
    {"client": "local_subset", "tgt": "*", "fun": "cmd.run", "arg": ["id"]},
    {"client": "local_batch", "tgt": "*", "fun": "cmd.run", "arg": ["id"], "batch": 1},
    {"client": "runner", "fun": "test.arg"},
    {"client": "runner", "fun": "manage.up"},
    {"client": "runner_async", "fun": "test.arg"},
    {"client": "wheel", "fun": "key.list_all"},
    {"client": "wheel", "fun": "file_roots.list_env"},
    {"client": "wheel_async", "fun": "key.list_all"},
    {"client": "wheel_async", "fun": "file_roots.list_env"},
]


async def run_to_end(client: AsyncAPIClient, chunk: dict[str, Any]) -> None:
    result = await client.run(chunk)
    if isinstance(result, AsyncIterator):
        await collect(result)


def job_cache(client: AsyncAPIClient) -> list[bytes]:
    """Return the contents of the files in the master's job cache."""
    return [path.read_bytes() for path in (Path(client.opts["cachedir"]) / "jobs").rglob("*.p")]


async def all_answer(client: AsyncAPIClient, login: dict[str, str], minions: set[str]) -> None:
    """Return when *minions* answer over a master that is coming up again."""
    async with asyncio.timeout(scaled(60)):
        while True:
            with contextlib.suppress(MasterUnavailable, MalformedAnswer):
                if dict.fromkeys(minions, True) == await client.local("*", "test.ping", **login):
                    return
            await asyncio.sleep(0.2)
