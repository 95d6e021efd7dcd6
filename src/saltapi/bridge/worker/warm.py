"""
What a worker keeps from one function to the next, where Salt makes it anew each time.

A runner or wheel function of Salt's runs in a process of its own, so nothing in it is made to be
used twice: loaders for the job cache, for the minions' data and keys, and a connection to the event
bus behind an event loop and a thread. In a worker they are the most of the work. What is kept gives
the same: loaders load the same modules, and an event is the same bytes.
"""

import logging
import select
import socket
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from saltapi.bridge.bus.endpoints import tcp_end, unix_end
from saltapi.types import Opts

log = logging.getLogger("saltapi.worker")

LOADERS_KEPT = 8
PUSH_TIMEOUT_SECONDS = 5.0


def keep_warm(opts: Opts) -> None:
    """Let Salt, in this process, keep what it makes for a function; *opts* are the master's."""
    import salt.loader
    import salt.minion
    import salt.utils.event

    from saltapi.bridge.worker import job_loads

    class Minion(salt.minion.MasterMinion):  # type: ignore[misc]
        """What functions read the job cache with; it outlives them."""

        def gen_modules(self, *args: Any, **kwargs: Any) -> None:
            """Load modules as Salt does."""
            super().gen_modules(*args, **kwargs)
            job_loads.remember(self.returners, self.opts)

        def destroy(self) -> None:
            """Do nothing: the next function uses it."""

    salt.loader.cache = _kept(salt.loader.cache)
    salt.minion.MasterMinion = _kept(Minion)
    pusher = Pusher(opts)
    connect_pull = salt.utils.event.SaltEvent.connect_pull

    def connect(self: Any, timeout: float | None = 1) -> bool:
        if self.node != "master" or not self._run_io_loop_sync:
            return bool(connect_pull(self, timeout))
        self.pusher = pusher
        self.cpush = pusher.connect()
        return bool(self.cpush)

    salt.utils.event.SaltEvent.connect_pull = connect


def _kept(make: Callable[..., Any]) -> Callable[..., Any]:
    """
    Return *make* with a memory: the same options, and nothing else, give the same result.

    "The same" is the same object, unchanged: a function that changes it costs the worker its life.
    """
    made: OrderedDict[int, tuple[Any, Any]] = OrderedDict()

    def remembered(opts: Any, *args: Any, **kwargs: Any) -> Any:
        if args or kwargs:
            return make(opts, *args, **kwargs)
        _, result = made.pop(id(opts), (None, None))
        if result is None:
            result = make(opts)
        made[id(opts)] = opts, result  # with its options, so that no others get their id
        while len(made) > LOADERS_KEPT:
            made.popitem(last=False)
        return result

    return remembered


class Pusher:
    """The end of the master's bus that takes events: Salt's publisher without a loop."""

    def __init__(self, opts: Opts) -> None:
        self._opts = opts
        self._socket: socket.socket | None = None

    def connect(self) -> bool:
        """Return whether the bus is there."""
        try:
            self._socket = self._socket or self._connected()
        except OSError as error:
            log.error("The master's event bus cannot be reached: %s", error)  # noqa: TRY400
            return False
        return True

    def publish(self, body: bytes) -> None:
        """
        Fire the event with this body.

        Raises:
            OSError: The bus does not take it.
        """
        import salt.transport.frame

        # The master may have been started again since the last event; it never sends anything.
        if self._socket is not None and select.select([self._socket], [], [], 0)[0]:
            self._drop()
        try:
            if self._socket is None:
                self._socket = self._connected()
            self._socket.sendall(salt.transport.frame.frame_msg_ipc(body))
        except OSError:
            self._drop()
            raise

    def close(self) -> None:
        """Do nothing: the next event comes soon."""

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        if self._opts.get("ipc_mode") == "tcp":
            return socket.create_connection(tcp_end(self._opts, "pull"), PUSH_TIMEOUT_SECONDS)
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(PUSH_TIMEOUT_SECONDS)
        try:
            connection.connect(unix_end(self._opts, "pull"))
        except BaseException:
            connection.close()
            raise
        return connection
