"""Sockets that listen, to be bound before a module forks or serves."""

import os
import socket
import stat
from pathlib import Path

from saltapi.errors import CannotStart

SOCKET_MODE = 0o660
"""Who owns the process, and its group, may connect to a unix socket."""


def tcp_socket(host: str, port: int, backlog: int, name: str) -> socket.socket:
    """
    Return a socket that listens on *host* and *port*, for the module *name*.

    Raises:
        CannotStart: The address cannot be bound.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=backlog)
    except OSError as error:
        raise cannot_listen(name, host, port, error) from error


def cannot_listen(name: str, host: str, port: int, error: OSError) -> CannotStart:
    """Return the error of an address that cannot be bound, which *error* says why."""
    return CannotStart(
        f"{name} cannot listen on {host}:{port}: {error.strerror or error}."
        " Choose another port or end what uses it."
    )


def unix_socket(path: str, backlog: int, name: str) -> socket.socket:
    """
    Return a unix socket that listens at *path*; one that a dead process has left is replaced.

    Raises:
        CannotStart: The path cannot be bound.
    """
    made = socket.socket(socket.AF_UNIX)
    try:
        if _is_left_over(path):
            Path(path).unlink()
        made.bind(path)
        Path(path).chmod(SOCKET_MODE)
        made.listen(backlog)
    except OSError as error:
        made.close()
        raise CannotStart(
            f"{name} cannot listen on the unix socket {path}: {error.strerror or error}."
        ) from error
    return made


def _is_left_over(path: str) -> bool:
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return False
    except FileNotFoundError:
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False
