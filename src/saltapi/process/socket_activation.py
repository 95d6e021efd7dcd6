"""
Sockets that systemd has opened for the service (sd_listen_fds(3)): socket activation.

systemd hands them to the process that it starts, with its id in `LISTEN_PID`. That is the
supervisor; the processes of the modules are its children and have inherited the descriptors.
"""

import os
import socket

from saltapi.errors import CannotStart

FIRST_FD = 3
ANY = "*"


def inherited(name: str) -> list[socket.socket]:
    """
    Return the listening sockets that systemd calls *name* (`FileDescriptorName=`), `*` for all.

    Raises:
        CannotStart: It has handed on none of this name.
    """
    found: list[socket.socket] = []
    if os.environ.get("LISTEN_PID") in {str(os.getpid()), str(os.getppid())}:
        count = int(os.environ.get("LISTEN_FDS", "0"))
        names = os.environ.get("LISTEN_FDNAMES", "").split(":")
        names += [""] * (count - len(names))
        fds = range(FIRST_FD, FIRST_FD + count)
        found = [
            socket.socket(fileno=os.dup(fd))
            for fd, fd_name in zip(fds, names, strict=False)
            if name in {ANY, fd_name}
        ]
    if not found:
        raise CannotStart(
            f"systemd has handed on no socket named {name}: start the service by its .socket"
            " unit, with FileDescriptorName set to that name, or set port instead."
        )
    return found
