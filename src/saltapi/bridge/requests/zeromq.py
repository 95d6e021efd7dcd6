"""
Requests to a master that speaks ZeroMQ: what Salt's `AsyncReqChannel` sends unencrypted.

That class starts a task and passes two queues for every request, which costs more than all the
rest of a command. Here a socket is read on the loop as soon as it has something.
"""

import asyncio
from typing import Any

import salt.payload
import zmq

from saltapi.types import Opts

VERSION = 3
"""Of the envelope that a load travels in (`AsyncReqChannel._package_load`)."""


class ZeromqChannel:
    """A connection to the master's request port; carries one request at a time."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", opts: Opts) -> None:
        """
        Args:
            context: Closed by whoever made it, when its sockets are.
            opts: The master's options: `master_uri` and `ipv6`.
        """
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[Any] | None = None
        self._socket: zmq.Socket[bytes] = context.socket(zmq.REQ)
        self._socket.setsockopt(zmq.LINGER, 0)
        uri = opts["master_uri"]
        if opts.get("ipv6") or "[" in uri:
            self._socket.setsockopt(zmq.IPV6, 1)
        self._socket.connect(uri)
        self._loop.add_reader(self._socket.fileno(), self._read)

    def send(self, load: dict[str, Any]) -> asyncio.Future[Any]:
        """
        Send *load* and return the future of the master's answer.

        The future raises `UnicodeEncodeError` for a text that is no Unicode, and `zmq.ZMQError`.
        """
        self._answer = answer = self._loop.create_future()
        try:
            message = {"enc": "clear", "load": load, "version": VERSION}
            self._socket.send(salt.payload.dumps(message), zmq.NOBLOCK)
        except Exception as error:  # noqa: BLE001 - handed to whoever waits
            answer.set_exception(error)
        else:
            self._read()  # the descriptor tells of changes alone, and this was one
        return answer

    def _read(self) -> None:
        """Take what has come; the loop calls this when something may have."""
        while not self._socket.closed and int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            data = self._socket.recv(zmq.NOBLOCK)
            if self._answer is None or self._answer.done():
                continue  # whoever asked has gone
            try:
                self._answer.set_result(salt.payload.loads(data))
            except Exception as error:  # noqa: BLE001 - handed to whoever waits
                self._answer.set_exception(error)

    async def close_async(self) -> None:
        """Close the connection; idempotent."""
        if not self._socket.closed:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
