"""A TCP proxy that cuts connections, as networks do."""

import socket
import threading
from types import TracebackType
from typing import Self

CHUNK_BYTES = 4096


class CuttingProxy:
    """
    Passes bytes on to a port; the first answers end after so many bytes.

    Attributes:
        url: Where it listens.
        connections: How many there were.
    """

    def __init__(self, port: int, cuts: list[int]) -> None:
        """
        Args:
            port: What it passes on to, on loopback.
            cuts: After how many bytes of the answer each connection ends; those after these go on.
        """
        self._port = port
        self._cuts = list(cuts)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.connections = 0

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            limit = self._cuts.pop(0) if self._cuts else None
            server = socket.create_connection(("127.0.0.1", self._port))
            for args in ((client, server, None), (server, client, limit)):
                threading.Thread(target=pass_on, args=args, daemon=True).start()


def pass_on(source: socket.socket, target: socket.socket, limit: int | None) -> None:
    left = limit
    try:
        while data := source.recv(CHUNK_BYTES if left is None else min(CHUNK_BYTES, left)):
            target.sendall(data)
            if left is not None:
                left -= len(data)
                if left <= 0:
                    break
    except OSError:
        pass
    for each in (source, target):
        try:
            each.shutdown(socket.SHUT_RDWR)
        except OSError:
            continue
