"""How many files a process may have open, and sockets that listen and leave some of them free."""

import asyncio
import errno
import logging
import os
import resource
import socket
import time
from typing import Any, TypeVar

from saltapi import seldom

log = logging.getLogger(__name__)

RESERVED_DESCRIPTORS = 64
"""How many descriptors connections leave free; of a small limit a quarter."""
ACCEPT_REST_SECONDS = 0.9
"""Shorter than asyncio's own rest, after which it listens again."""
ROOM_CONNECTIONS = 16
"""So many idle connections are ended when the process has no file descriptor left."""
OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


def allow_many_connections() -> None:
    """Let this process open as many files as the system's hard limit lets it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Listening(socket.socket):
    """
    A socket that listens for an asyncio server, and rests where descriptors run out.

    Some are left for what requests need, files and connections to the master. asyncio itself
    goes on accepting after the first failure, and logs a traceback each time.
    """

    _rests_until = 0.0

    def accept(self) -> tuple[socket.socket, Any]:
        """
        Return the next connection.

        Raises:
            BlockingIOError: There is none, or none is taken now.
            OSError: `EMFILE` at the beginning of a rest, to which asyncio stops listening.
        """
        now = time.monotonic()
        if now < self._rests_until:
            raise BlockingIOError(errno.EAGAIN, "At the limit of descriptors")
        try:
            if descriptors_are_left(self.fileno()):
                return super().accept()
        except OSError as error:
            if error.errno not in OUT_OF_RESOURCES:
                raise
        self._rests_until = now + ACCEPT_REST_SECONDS
        raise OSError(errno.EMFILE, "At the limit of descriptors")


ListeningT = TypeVar("ListeningT", bound=Listening)


def listening_on(plain: socket.socket, kind: type[ListeningT]) -> ListeningT:
    """
    Return *plain* as a socket of the *kind* that rests, and does not block.

    *plain* itself is of no more use.
    """
    made = kind(plain.family, plain.type, plain.proto, fileno=plain.detach())
    made.setblocking(False)
    return made


def descriptors_are_left(descriptor: int) -> bool:
    """Return whether this process may open more than the reserve; *descriptor* is any of its."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    probe = os.dup(descriptor)  # the lowest that is free
    os.close(probe)
    return probe < limit - min(RESERVED_DESCRIPTORS, limit // 4)


def warn_of_descriptors() -> None:
    """Log, once a minute, why no connections are taken."""
    seldom.warning(
        log,
        "out_of_descriptors",
        "No more connections are taken until some are closed: the process is at its limit of"
        " %d open files (LimitNOFILE in the unit, or ulimit -n).",
        resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    )


def is_out_of_resources(context: dict[str, Any]) -> bool:
    """Return whether an error of a loop, with its *context*, is what `Listening` raises."""
    error = context.get("exception")
    is_such = isinstance(error, OSError) and error.errno in OUT_OF_RESOURCES
    return is_such and "socket" in context


def quiet_about_descriptors(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Handle an error of *loop*'s: of what `Listening` raises one line a minute, no traceback."""
    if is_out_of_resources(context):
        warn_of_descriptors()
        return
    loop.default_exception_handler(context)
