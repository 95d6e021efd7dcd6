"""
The client interfaces, described once (0.8.4, "Client interfaces").

Checks, dispatch, idempotency, verdicts, `saltapi check`, the demo and the docs follow this table.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Kind(StrEnum):
    """What runs the function; also the kind of the job that comes of it."""

    LOCAL = "local"
    """Minions, on their own."""
    RUNNER = "runner"
    """The master, in a process beside it."""
    WHEEL = "wheel"
    """The master itself."""
    SSH = "ssh"
    """Hosts of a roster, by salt-ssh."""


FUNCTION_KINDS = frozenset({Kind.RUNNER, Kind.WHEEL})
"""Functions of the master, which have no target."""


@dataclass(frozen=True, slots=True)
class Interface:
    """One client interface."""

    name: str
    kind: Kind
    waits: bool = True
    """Whether the answer holds what came of it; without, only the job's id."""
    our_jid: bool = False
    """Whether the job, one for the whole command, gets its id from us before it is published."""
    is_one_request: bool = False
    """Whether the master is asked one thing: a refusal means that nothing has run."""
    asks_first: str | None = None
    """What it runs on the whole target before it chooses minions."""


INTERFACES: Mapping[str, Interface] = MappingProxyType(
    {
        interface.name: interface
        for interface in (
            Interface("local", Kind.LOCAL, our_jid=True, is_one_request=True),
            Interface("local_async", Kind.LOCAL, waits=False, our_jid=True, is_one_request=True),
            Interface("local_batch", Kind.LOCAL, asks_first="test.ping"),
            Interface("local_subset", Kind.LOCAL, our_jid=True, asks_first="sys.list_functions"),
            Interface("runner", Kind.RUNNER, is_one_request=True),
            Interface("runner_async", Kind.RUNNER, waits=False, is_one_request=True),
            Interface("wheel", Kind.WHEEL, is_one_request=True),
            Interface("wheel_async", Kind.WHEEL, waits=False, is_one_request=True),
            Interface("ssh", Kind.SSH),
        )
    }
)
"""By name, in the order in which they are shown."""
