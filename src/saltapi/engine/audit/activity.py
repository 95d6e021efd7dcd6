"""
What a request does, for the audit log: each login, command and the like is one act.

Operations say what they do by `acting`; where the module of the request keeps no audit log, that
costs nothing.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

from saltapi import trace
from saltapi.lowstate import Command
from saltapi.types import Jid


@dataclass(slots=True)
class Act:
    """
    One thing that a request does.

    `event` is `login`, `logout`, `command`, `key` (a wheel function of keys), `hook`, or another
    word for what nothing of these is; `arguments` are positional and `named_arguments` keyword
    arguments of `fun`, of which there may be several. `began_at` is on the monotonic clock.
    """

    event: str
    client: str | None = None
    fun: str | list[str] | None = None
    tgt: str | list[str] | None = None
    tgt_type: str | None = None
    arguments: tuple[Any, ...] = ()
    named_arguments: dict[str, Any] = field(default_factory=dict)
    jids: list[Jid] = field(default_factory=list)
    began_at: float = field(default_factory=time.monotonic)


class Recorder(Protocol):
    """Keeps the acts of one request."""

    async def began(self, act: Act) -> None:
        """
        Note that *act* is about to happen.

        Raises:
            AuditUnavailable: It must not, because it cannot be noted.
        """

    def ended(self, act: Act, error: BaseException | None) -> None:
        """Note that *act* has happened, or how it failed."""


recorder: ContextVar[Recorder | None] = ContextVar("saltapi_recorder", default=None)
"""The recorder of the current request, if there is one."""


@asynccontextmanager
async def acting(event: str, **facts: Any) -> AsyncIterator[None]:
    """
    Let what happens inside be the act *event* with *facts* (fields of `Act`).

    Raises:
        AuditUnavailable: It must not happen now.
    """
    keeper = recorder.get()
    if keeper is None:
        yield
        return
    act = Act(event, **facts)
    await keeper.began(act)
    outer = trace.act_jids.get()
    trace.act_jids.set(act.jids)
    try:
        yield
    except BaseException as error:
        keeper.ended(act, error)
        raise
    else:
        keeper.ended(act, None)
    finally:
        trace.act_jids.set(outer)


def facts_of(command: Command) -> dict[str, Any]:
    """Return the facts of running *command*, with the word for it as `event`."""
    named = dict(command.kwargs or {})
    facts: dict[str, Any] = {
        "event": "command",
        "client": command.client,
        "fun": command.fun,
        "arguments": command.args,
        "named_arguments": named,
        "jids": [] if command.jid is None else [command.jid],
    }
    if command.client.startswith("wheel") and str(command.fun).startswith("key."):
        facts["event"] = "key"
    if command.tgt:
        facts |= {"tgt": command.tgt, "tgt_type": command.tgt_type}
    return facts
