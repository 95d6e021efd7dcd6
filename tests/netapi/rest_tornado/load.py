"""
A program: many listeners of `/all_events`, which note what they get.

    python -m tests.netapi.rest_tornado.load PORT TOKEN LISTENERS EVENTS SECONDS

It prints `ready` when all listeners have got an event whose tag begins with `warm-up/`, and, when
all have got EVENTS events `load/<number>` or SECONDS have passed, a line of JSON: how many got
every event in order, events in all, and how late they were (`sent` in their data is the time).
"""

import json
import re
import selectors
import socket
import sys
import time

from websockets.frames import Frame, Opcode

from saltapi.process.descriptors import allow_many_connections
from tests.netapi.rest_tornado.running import HOST, read_until
from tests.netapi.rest_tornado.test_websockets import READY, UPGRADE
from tests.waiting import scaled

CONNECT_SECONDS = 60.0
RECEIVE_BYTES = 256 * 1024
WARM_UP = b'"tag": "warm-up/'
EVENT = re.compile(rb'"sent": ([0-9.]+)[^{}]*\}, "tag": "load/(\d+)"\}')


class Listener:
    """One listener."""

    def __init__(self, port: int, token: str) -> None:
        self.connection = socket.create_connection((HOST, port), timeout=scaled(CONNECT_SECONDS))
        lines = "".join(f"{name}: {value}\r\n" for name, value in UPGRADE.items())
        path = f"/all_events/{token}"
        self.connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode())
        head = read_until(self.connection, b"\r\n\r\n")
        assert b" 101 " in head, head
        self.connection.sendall(Frame(Opcode.TEXT, READY.encode()).serialize(mask=True))
        self.connection.setblocking(False)
        self.warm = False
        self.next = 0
        self.in_order = True
        self.ended = False
        self._rest = b""

    def read(self, late_seconds: list[float]) -> None:
        """Take what has come."""
        data = self.connection.recv(RECEIVE_BYTES)
        now = time.time()
        self.ended = not data
        data = self._rest + data
        self.warm = self.warm or WARM_UP in data
        end = 0
        for match in EVENT.finditer(data):
            self.in_order = self.in_order and int(match[2]) == self.next
            self.next += 1
            end = match.end()
            if self.next % 50 == 0:
                late_seconds.append(now - float(match[1]))
        # Of events that are not ours only as much stays as ours could begin with.
        self._rest = data[max(end, len(data) - 2000) :]


def main(port: int, token: str, count: int, events: int, seconds: int) -> None:
    """Listen."""
    allow_many_connections()
    listeners = [Listener(port, token) for _ in range(count)]
    late_seconds: list[float] = []
    is_ready = False
    started = time.monotonic()
    with selectors.DefaultSelector() as selector:
        for listener in listeners:
            selector.register(listener.connection, selectors.EVENT_READ, listener)
        while selector.get_map() and time.monotonic() - started < seconds:
            for key, _ in selector.select(1):
                listener = key.data
                listener.read(late_seconds)
                if listener.ended or listener.next >= events:
                    selector.unregister(listener.connection)
            if not is_ready and all(listener.warm for listener in listeners):
                is_ready, started = True, time.monotonic()
                print("ready", flush=True)  # noqa: T201 - what this program is for
    late_seconds.sort()
    result = {
        "complete": sum(one.in_order and one.next == events for one in listeners),
        "events": sum(listener.next for listener in listeners),
        "seconds": round(time.monotonic() - started, 1),
        "late_median_ms": round(1000 * late_seconds[len(late_seconds) // 2]),
        "late_worst_ms": round(1000 * late_seconds[-1]),
        "cpu_seconds": round(time.process_time(), 1),
    }
    print(json.dumps(result), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:]))
