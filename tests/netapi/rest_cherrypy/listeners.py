"""
A program: many listeners of one event stream, which count what they get.

    python -m tests.netapi.rest_cherrypy.listeners PORT LISTENERS EVENTS

It prints a line `connected`, and when all have got the event number EVENTS - 1 (or their stream
has ended) one with a JSON object: how many got everything in order, events in all, CPU seconds.
The events are numbered from 0 in their data: `{"number": 0}`.
"""

import asyncio
import json
import re
import sys
import time

from tests.netapi.rest_cherrypy.streaming import HOST, allow_many_files, request

NUMBER = re.compile(rb'"number": (\d+)')
START = b"retry: 400\n"
AT_ONCE = 50


class Listener(asyncio.Protocol):
    """One listener; `done` when it has seen the last event or its stream ends."""

    def __init__(self, events: int) -> None:
        self.events = events
        self.next = 0
        self.in_order = True
        loop = asyncio.get_running_loop()
        self.started: asyncio.Future[None] = loop.create_future()
        self.done: asyncio.Future[None] = loop.create_future()
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(request("/events", version="1.0"))

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        if not self.started.done():
            if START in data:
                self.started.set_result(None)
            self._rest = data
            return
        complete, end, self._rest = data.rpartition(b"\n\n")
        for number in NUMBER.findall(complete + end):
            self.in_order = self.in_order and int(number) == self.next
            self.next += 1
        if self.next >= self.events and not self.done.done():
            self.done.set_result(None)

    def connection_lost(self, _exc: Exception | None) -> None:
        for future in (self.started, self.done):
            if not future.done():
                future.set_result(None)


async def main(port: int, listeners: int, events: int) -> None:
    loop = asyncio.get_running_loop()
    all_of_them: list[Listener] = []
    for _ in range(0, listeners, AT_ONCE):
        some = await asyncio.gather(
            *(
                loop.create_connection(lambda: Listener(events), HOST, port)
                for _ in range(min(AT_ONCE, listeners))
            )
        )
        all_of_them += [listener for _, listener in some]
        await asyncio.gather(*(listener.started for _, listener in some))
    print("connected", flush=True)  # noqa: T201 - what this program is for
    await asyncio.gather(*(listener.done for listener in all_of_them))
    complete = [one for one in all_of_them if one.in_order and one.next == events]
    result = {
        "complete": len(complete),
        "events": sum(listener.next for listener in all_of_them),
        "cpu_seconds": time.process_time(),
    }
    print(json.dumps(result), flush=True)  # noqa: T201


if __name__ == "__main__":
    allow_many_files()
    asyncio.run(main(*map(int, sys.argv[1:])))
