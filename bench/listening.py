"""
Thousands of listeners on plain sockets.

All of them are read every `PAUSE_SECONDS` and not at each event: the generator shares the
machine with what it measures, and a client that is woken for every event would take more of it
than the server. Latencies are too long by half of that pause on average.
"""

import contextlib
import re
import resource
import select
import socket
import time
from collections.abc import Callable
from typing import Any

from bench.http11 import HEAD_END, HOST
from bench.samples import latency

PAUSE_SECONDS = 0.01
AT_ONCE = 20
"""How many connections wait for the server's first bytes at the same time."""
CONNECT_SECONDS = 30.0
RECEIVE_BYTES = 256 * 1024
MARK = b'"number": '
EVENT = re.compile(rb'"number": (\d+), "sent": ([0-9.]+)')
EVENT_BYTES = 80
"""From the mark on an event is this long at least, in the formats of all modules."""
WARM_UP = b"bench/warm-up"
SSE_START = b"retry: 400"
PING, PONG = 0x89, 0x8A
"""First bytes of frames. Servers ping where nothing happens: a ping comes alone then."""
READY = b"websocket client ready"
WEBSOCKET_READY = bytes([0x81, 0x80 | len(READY), 0, 0, 0, 0]) + READY
"""A text frame; a mask of zeros changes nothing (RFC 6455, section 5.3)."""


class Listener:
    """One listener."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.warm = False
        self.ended = False
        self.count = 0
        self._tail = b""

    def read(self, late_seconds: list[float]) -> int:
        """Take what has come; return how many events it was."""
        try:
            data = self.connection.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return 0
        except OSError:
            data = b""
        if not data:
            self.ended = True
            return 0
        if data[0] == PING and len(data) > 1:
            self._pong(data[2 : 2 + data[1]])
        text = self._tail + data
        self._tail = text[-len(MARK) + 1 :]
        if not self.warm:
            self.warm = WARM_UP in text
        found = text.count(MARK)
        if found:
            self.count += found
            event = EVENT.match(text, text.rfind(MARK, 0, -EVENT_BYTES))
            if event is not None:
                late_seconds.append(time.time() - float(event[2]))
        return found

    def _pong(self, payload: bytes) -> None:
        frame = bytes([PONG, 0x80 | len(payload), 0, 0, 0, 0]) + payload
        with contextlib.suppress(OSError):
            self.connection.send(frame)


def connect(job: dict[str, Any]) -> list[Listener]:
    """Return connected listeners; the server has answered all of them."""
    found: list[Listener] = []
    start = HEAD_END if job["websocket"] else SSE_START
    for first in range(0, job["count"], AT_ONCE):
        some = []
        for _ in range(min(AT_ONCE, job["count"] - first)):
            connection = socket.create_connection((HOST, job["port"]), timeout=CONNECT_SECONDS)
            connection.sendall(job["request"].encode())
            some.append(connection)
        for connection in some:
            data = b""
            while start not in data:
                received = connection.recv(4096)
                if not received:
                    raise SystemExit(f"A listener was turned away: {data[:300]!r}")
                data += received
            if job["websocket"]:
                connection.sendall(WEBSOCKET_READY)
            connection.setblocking(False)
            found.append(Listener(connection))
    return found


def listeners(job: dict[str, Any], say: Callable[..., None]) -> None:
    """
    Listen, and count the numbered events `{"number": …, "sent": time}`.

    Takes `port`, `request`, `websocket`, `count`, `events` (how many each should get),
    `quiet_seconds` and `most_seconds`. Says `connected`, `warm` when each has got a warm-up event,
    and when all have got everything, nothing more has come for `quiet_seconds`, or `most_seconds`
    have gone since they were warm: how many events in all, in which time, how late, how many
    listeners got less than all, how many were disconnected, and the CPU seconds of this process.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    everybody = connect(job)
    say(connected=len(everybody))
    poll = select.epoll()
    by_number = {listener.connection.fileno(): listener for listener in everybody}
    for number in by_number:
        poll.register(number, select.EPOLLIN)
    cold = set(by_number.values())
    late_seconds: list[float] = []
    wanted = job["count"] * job["events"]
    received = 0
    first_at = last_at = warm_at = 0.0
    while received < wanted:
        ready = poll.poll(0, len(by_number) or 1)
        for number, _ in ready:
            listener = by_number[number]
            before, received = received, received + listener.read(late_seconds)
            if listener.ended:
                poll.unregister(number)
            if received > before:
                last_at = time.monotonic()
                first_at = first_at or last_at
        now = time.monotonic()
        if cold:
            cold = {listener for listener in cold if not listener.warm and not listener.ended}
            if not cold:
                say(warm=True)
                warm_at = now
        elif now - warm_at > job["most_seconds"] or (
            received and now - last_at > job["quiet_seconds"]
        ):
            break
        time.sleep(PAUSE_SECONDS)
    say(
        received=received,
        seconds=last_at - first_at,
        incomplete=sum(listener.count != job["events"] for listener in everybody),
        disconnected=sum(listener.ended for listener in everybody),
        cpu_seconds=time.process_time(),
        **latency(late_seconds),
    )
    for listener in everybody:
        with contextlib.suppress(OSError):
            listener.connection.close()
