"""
A program: the master without HTTP. Same job lines and answers as `bench.load`.

    python -m bench.bare

This is what the master can do at best. Each client has a ZeroMQ socket of its own that stays
open and sends what Salt's `AsyncReqChannel` would; the class itself costs about 0.2 ms for each
request, which on a small machine the master could use. One connection to the event bus serves
all clients; of each event the tag is read and nothing else is decoded. The loads are those of the
API modules: the same token, no key of the master. Nothing is checked, collected, asked again or
encoded.
"""

import asyncio
import itertools
import time
from collections.abc import Callable, Coroutine
from typing import Any

import msgpack
import salt.config
import salt.payload
import salt.transport.frame
import salt.utils.event
import salt.utils.jid
import zmq

from bench.load import main, say
from bench.samples import latency


class Channel:
    """A connection to the master's request port; carries one request at a time."""

    def __init__(self, uri: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[Any] | None = None
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.REQ)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.connect(uri)
        self._loop.add_reader(self._socket.fileno(), self._drain)

    async def send(self, load: dict[str, Any]) -> Any:
        """Return the master's answer."""
        self._answer = self._loop.create_future()
        message = salt.payload.dumps({"enc": "clear", "load": load, "version": 3})
        self._socket.send(message)
        self._drain()  # the descriptor tells only of changes, and this was one
        return await self._answer

    def _drain(self) -> None:
        while int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            answer = salt.payload.loads(self._socket.recv())
            if self._answer is not None and not self._answer.done():
                self._answer.set_result(answer)

    def close(self) -> None:
        """Close it."""
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()


class Bus(asyncio.Protocol):
    """Sees every event; wakes who waits for a tag."""

    def __init__(self) -> None:
        self._unpacker = msgpack.Unpacker(raw=True, max_buffer_size=2**28)
        self._waiting: dict[bytes, asyncio.Future[None]] = {}
        self._runs: set[bytes] = set()

    def data_received(self, data: bytes) -> None:
        self._unpacker.feed(data)
        for frame in self._unpacker:
            tag, _, _ = frame[b"body"].partition(b"\n\n")
            waiting = self._waiting.pop(tag, None)
            if waiting is not None:
                waiting.set_result(None)
            elif tag.startswith(b"salt/run/") and tag.endswith(b"/ret"):
                self._runs.add(tag)

    def expect(self, tag: str) -> asyncio.Future[None]:
        """Return a future that is done when an event with *tag* comes, or has for a runner."""
        future = asyncio.get_running_loop().create_future()
        if tag.encode() in self._runs:
            self._runs.remove(tag.encode())
            future.set_result(None)
        else:
            self._waiting[tag.encode()] = future
        return future


class Bare:
    """Clients of the master."""

    def __init__(self, job: dict[str, Any], opts: dict[str, Any], bus: Bus) -> None:
        self._job = job
        self._opts = opts
        self._bus = bus
        self._numbers = itertools.count()
        self._writer: asyncio.StreamWriter | None = None

    def publication(self) -> tuple[str, dict[str, Any]]:
        """Return a new jid and the load that publishes `test.ping` under it."""
        # gen_jid waits for the clock when it is asked twice in a microsecond.
        jid = f"{salt.utils.jid.gen_jid(self._opts)[:14]}{next(self._numbers):06d}"
        load = {
            "cmd": "publish",
            "tgt": self._job["tgt"],
            "tgt_type": "glob",
            "fun": "test.ping",
            "arg": [],
            "key": "",
            "ret": "",
            "jid": jid,
            "user": "root",
            "kwargs": {"token": self._job["token"]},
        }
        return jid, load

    async def command(self, channel: Channel) -> None:
        """Publish for one minion and wait until it has returned."""
        jid, load = self.publication()
        returned = self._bus.expect(f"salt/job/{jid}/ret/{self._job['tgt']}")
        answer = await channel.send(load)
        if answer["load"]["minions"] != [self._job["tgt"]]:
            raise ValueError(answer)
        await returned

    async def publish(self, channel: Channel) -> None:
        """Publish and do not wait."""
        _, load = self.publication()
        answer = await channel.send(load)
        if not answer["load"]["jid"]:
            raise ValueError(answer)

    async def runner(self, channel: Channel) -> None:
        """Run a runner function and wait until it has returned."""
        load = {
            "cmd": "runner",
            "fun": self._job["fun"],
            "kwarg": {"arg": [], "kwarg": {}},
            "token": self._job["token"],
        }
        answer = await channel.send(load)
        await self._bus.expect(f"salt/run/{answer['jid']}/ret")

    async def wheel(self, channel: Channel) -> None:
        """Run a wheel function; the master answers with its return."""
        load = {"cmd": "wheel", "fun": self._job["fun"], "token": self._job["token"]}
        answer = await channel.send(load)
        if not answer["data"]["success"]:
            raise ValueError(answer)

    async def login(self, channel: Channel) -> None:
        """Make a token."""
        answer = await channel.send({"cmd": "mk_token", **self._job["credentials"]})
        if not answer["token"]:
            raise ValueError(answer)

    async def fire(self, _channel: Channel) -> None:
        """Fire an event as a web hook does, and wait until it is on the bus."""
        tag = f"salt/netapi/hook/bench/{next(self._numbers)}"
        body = salt.utils.event.SaltEvent.pack(tag, {"post": {"a": 1}})
        fired = self._bus.expect(tag)
        if self._writer is None:
            path = f"{self._opts['sock_dir']}/master_event_pull.ipc"
            _, self._writer = await asyncio.open_unix_connection(path)
        self._writer.write(salt.transport.frame.frame_msg_ipc(body))
        await fired


async def bare(job: dict[str, Any]) -> None:
    """
    Let *clients* do *action* again and again; what is said is that of `bench.load.requests`.

    Takes `config_dir`, `token`, `tgt`, `fun`, `credentials` as far as the action needs them.
    """
    opts = salt.config.master_config(f"{job['config_dir']}/master")
    loop = asyncio.get_running_loop()
    path = f"{opts['sock_dir']}/master_event_pub.ipc"
    _, bus = await loop.create_unix_connection(Bus, path)
    clients = Bare(job, opts, bus)
    action: Callable[[Channel], Coroutine[Any, Any, None]] = getattr(clients, job["action"])
    begin = time.perf_counter() + job["warm_up_seconds"]
    end = begin + job["seconds"]
    seconds: list[float] = []
    total = 0

    async def run() -> None:
        nonlocal total
        channel = Channel(f"tcp://127.0.0.1:{opts['ret_port']}")
        while (started := time.perf_counter()) < end:
            await action(channel)
            total += 1
            now = time.perf_counter()
            if now >= begin:
                seconds.append(now - started)
        channel.close()

    await asyncio.gather(*(run() for _ in range(job["clients"])))
    took = time.perf_counter() - begin
    say(
        count=len(seconds),
        rate=len(seconds) / took,
        total=total,
        failed=0,
        error="",
        **latency(seconds),
    )


if __name__ == "__main__":
    main({"bare": bare})
