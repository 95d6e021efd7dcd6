"""
Orchestrations whose steps can be followed: the events of these carry an id that is known before.

Without the argument `orchestration_jid` Salt makes one up, which nobody learns.
"""

from dataclasses import replace
from typing import Any

from saltapi.bridge.jobs.orchestrations import ARGUMENT, FUNCTIONS
from saltapi.interfaces import Kind
from saltapi.lowstate import Command
from saltapi.types import Jid


def telling_steps(command: Command, jid: Jid) -> Command:
    """Return *command*, with *jid* as the id of its steps if it is an orchestration without one."""
    if command.interface.kind is not Kind.RUNNER or f"runner.{command.fun}" not in FUNCTIONS:
        return command
    named = command.kwargs or {}
    if ARGUMENT in named or any(map(_sets_it, command.args)):
        return command
    return replace(command, kwargs={**named, ARGUMENT: jid})


def _sets_it(arg: Any) -> bool:
    if isinstance(arg, str):
        return arg.partition("=")[0].strip() == ARGUMENT and "=" in arg
    return isinstance(arg, dict) and ARGUMENT in arg
