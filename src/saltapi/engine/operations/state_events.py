"""
Commands that let minions tell of each state when it is done (`state_events=True`).

`state.apply` and the others of `FUNCTIONS` know this argument since Salt 3006.0, and ignore it
before, as any that they do not know (`**kwargs`). `state.single` would hand it to the state.
"""

from dataclasses import replace
from typing import Any

from saltapi.interfaces import Kind
from saltapi.lowstate import Command

ARGUMENT = "state_events"
FUNCTIONS = frozenset({"state.apply", "state.highstate", "state.sls", "state.sls_id"})


def telling_states(command: Command) -> Command:
    """Return *command*, with the argument if its function knows it and it is not set."""
    if command.interface.kind is not Kind.LOCAL or command.fun not in FUNCTIONS:
        return command
    named = command.kwargs or {}
    if ARGUMENT in named or any(map(_sets_it, command.args)):
        return command
    return replace(command, kwargs={**named, ARGUMENT: True})


def _sets_it(arg: Any) -> bool:
    if isinstance(arg, str):
        return arg.partition("=")[0].strip() == ARGUMENT and "=" in arg
    return isinstance(arg, dict) and ARGUMENT in arg
