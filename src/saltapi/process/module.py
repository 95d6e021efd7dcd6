"""What a netapi module is to the loader (`saltapi.process.loader`), and to another server."""

import os
import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from saltapi import config
from saltapi.types import Opts

T = TypeVar("T")


def virtual(opts: Opts, name: str, listens_on: Sequence[str] = ("port",)) -> str | tuple[bool, str]:
    """
    Return what `__virtual__` does: *name*, where its section of the master config says where to.

    Args:
        opts: The master's options.
        name: The name of the module and its section.
        listens_on: The options of which it needs one.
    """
    section = opts.get(name) or {}
    if any(option in section for option in listens_on):
        return name
    what = "a port" if len(listens_on) == 1 else "a port or a socket"
    return False, f"The master config has no {name} section with {what}."


class Standalone(Generic[T]):
    """The application under a server of somebody else's: one for the process."""

    def __init__(self, make: Callable[[Opts], T]) -> None:
        """
        Args:
            make: Returns the application for the master's options.
        """
        self._make = make
        self._lock = threading.Lock()
        self._made: T | None = None

    def get(self, opts: Opts | None = None) -> T:
        """
        Return the application, made for the first request: so after any fork of the server's.

        Args:
            opts: The master's options; without them the environment variable
                `SALT_MASTER_CONFIG` names the master config.

        Raises:
            CannotStart: The master config cannot be read, or an option is wrong.
        """
        with self._lock:
            if self._made is None:
                path = os.environ.get("SALT_MASTER_CONFIG", f"{config.DEFAULT_CONFIG_DIR}/master")
                self._made = self._make(opts or config.load(path))
            return self._made
