"""The connection to the master's event bus, against a bus made of a few lines."""

import asyncio
import contextlib
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Self

import msgpack
import pytest
import salt.payload
import salt.utils.event

from saltapi import trace
from saltapi.bridge.bus import bus as bus_module
from saltapi.bridge.bus.bus import Bus
from saltapi.bridge.bus.events import split
from saltapi.errors import BadRequest, MasterUnavailable
from tests.fake_master import frame_body
from tests.waiting import async_eventually, scaled

SMALL, LARGE = {"a": "x\n\ny", "b": b"\xff"}, {"a": "x" * 20_000_000}


def packed(body: bytes) -> bytes:
    """Return a frame as the master's publisher sends it to its subscribers."""
    frame: bytes = msgpack.packb({"head": {}, "body": body}, use_bin_type=True)
    return frame


class FakeBus:
    """Both ends of a master's bus: sends what a test gives it, keeps what is fired."""

    def __init__(self, opts: dict[str, Any]) -> None:
        self.opts = opts
        self.subscribers: list[asyncio.StreamWriter] = []
        self.pushers: list[asyncio.StreamWriter] = []
        self.connections = 0
        self.fired: list[tuple[str, Any]] = []
        self.greeting = b""
        self.hang_up = False
        self._servers: list[asyncio.Server] = []

    async def start(self) -> None:
        for kind, handler in (("pub", self._subscribed), ("pull", self._pushed)):
            if self.opts["ipc_mode"] == "tcp":
                port = self.opts[f"tcp_master_{kind}_port"]
                server = await asyncio.start_server(handler, "127.0.0.1", port)
            else:
                path = Path(self.opts["sock_dir"]) / f"master_event_{kind}.ipc"
                path.unlink(missing_ok=True)
                server = await asyncio.start_unix_server(handler, path)
            self._servers.append(server)

    async def stop(self) -> None:
        for server in self._servers:
            server.close()
        self._servers.clear()
        self.drop()

    def drop(self) -> None:
        """Break every connection; new ones are taken."""
        for writer in [*self.subscribers, *self.pushers]:
            writer.close()
        self.subscribers.clear()
        self.pushers.clear()

    async def send(self, data: bytes) -> None:
        for writer in self.subscribers:
            writer.write(data)
            await writer.drain()

    async def _subscribed(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.write(self.greeting)
        if self.hang_up:
            writer.close()
        else:
            self.subscribers.append(writer)

    async def _pushed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pushers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                size = int.from_bytes(await reader.readexactly(4), "big")
                frame = msgpack.unpackb(await reader.readexactly(size), raw=False)
                tag, payload = split(frame["body"])
                self.fired.append((tag, salt.payload.loads(payload, encoding="utf-8")))

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


class Receiver:
    """A bus connection and what has come over it."""

    def __init__(self, opts: dict[str, Any]) -> None:
        self.bodies: list[bytes] = []
        self.lost = 0
        self.bus = Bus(opts, on_event=self.bodies.append, on_lost=self._on_lost)

    def _on_lost(self) -> None:
        self.lost += 1

    async def received(self, *bodies: bytes) -> None:
        """Wait for just these events."""
        await async_eventually(lambda: len(self.bodies) >= len(bodies))
        assert list(bodies) == self.bodies


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture(params=["ipc", "tcp"])
def opts(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """What a bus is found by; the directory has a short name, as sockets need it."""
    directory = tempfile.mkdtemp(prefix="bus")
    yield {
        "ipc_mode": request.param,
        "sock_dir": directory,
        "tcp_master_pub_port": _free_port(),
        "tcp_master_pull_port": _free_port(),
        "max_event_size": 64 * 1024 * 1024,
    }
    shutil.rmtree(directory)


@pytest.fixture
async def master_bus(opts: dict[str, Any]) -> AsyncIterator[FakeBus]:
    async with FakeBus(opts) as master_bus:
        yield master_bus


@pytest.fixture
async def receiver(opts: dict[str, Any]) -> AsyncIterator[Receiver]:
    receiver = Receiver(opts)
    yield receiver
    await receiver.bus.close()


async def start(receiver: Receiver, master_bus: FakeBus) -> None:
    await receiver.bus.start()
    assert receiver.bus.connected
    await async_eventually(lambda: master_bus.subscribers)


async def test_events_come_in(master_bus: FakeBus, receiver: Receiver) -> None:
    """What the master publishes arrives whole and in order, several frames at once too."""
    await start(receiver, master_bus)
    bodies = [frame_body(f"t/{number}", SMALL) for number in range(100)]
    await master_bus.send(b"".join(map(packed, bodies)))
    await receiver.received(*bodies)


async def test_frames_may_be_split_anywhere(master_bus: FakeBus, receiver: Receiver) -> None:
    """A frame that arrives in two parts is whole, wherever it is cut."""
    await start(receiver, master_bus)
    body = frame_body("t/1", SMALL)
    frame = packed(body)
    for cut in range(1, len(frame)):
        await master_bus.send(frame[:cut])
        await asyncio.sleep(0)
        await master_bus.send(frame[cut:])
    await receiver.received(*[body] * (len(frame) - 1))
    assert 0 == receiver.lost


def test_the_reader_takes_any_cut() -> None:
    """Fed byte by byte, and cut at each two places, the reader finds the same frames."""

    async def check() -> None:
        bodies = [frame_body("t/1", SMALL), frame_body("t/2", {})]
        stream = b"".join(map(packed, bodies))
        cuts = [list(range(1, len(stream)))]
        cuts += [[a, b] for a in range(1, len(stream)) for b in range(a, len(stream))]
        for cut in cuts:
            found: list[bytes] = []
            reader = bus_module._Reader(found.append)
            for begin, end in zip([0, *cut], [*cut, len(stream)], strict=True):
                reader.data_received(stream[begin:end])
            await reader.drained()
            assert bodies == found

    asyncio.run(check())


async def test_a_large_event(master_bus: FakeBus, receiver: Receiver) -> None:
    """An event of 20 MB arrives, and those behind it."""
    await start(receiver, master_bus)
    bodies = [frame_body("t/1", LARGE), frame_body("t/2", SMALL)]
    await master_bus.send(b"".join(map(packed, bodies)))
    await receiver.received(*bodies)


@pytest.mark.parametrize(
    "garbage", [b"\xc1", b"GET / HTTP/1.1\r\n\r\n" * 5000, b"\x93\x01\x02\x03"]
)
async def test_garbage_is_the_end_of_a_connection(
    master_bus: FakeBus,
    receiver: Receiver,
    garbage: bytes,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What is no frame ends the connection, is logged once, and the next one works."""
    await start(receiver, master_bus)
    body = frame_body("t/1", SMALL)
    await master_bus.send(packed(body) + garbage)
    await async_eventually(lambda: receiver.lost == 1)
    await async_eventually(lambda: master_bus.connections == 2 and receiver.bus.connected)
    assert 1 == caplog.text.count("no frame; reconnecting")
    del master_bus.subscribers[0]
    await master_bus.send(packed(body))
    await receiver.received(body, body)


async def test_a_frame_without_a_body_is_passed_over(
    master_bus: FakeBus, receiver: Receiver
) -> None:
    """A frame of another kind does no harm."""
    await start(receiver, master_bus)
    body = frame_body("t/1", SMALL)
    odd = [msgpack.packb(value) for value in ({}, {"body": None}, {"body": {"a": 1}}, {"x": 1})]
    await master_bus.send(b"".join(odd) + packed(body))
    await receiver.received(body)
    assert 0 == receiver.lost


async def test_an_error_in_the_callback_is_not_the_end(
    opts: dict[str, Any], master_bus: FakeBus, caplog: pytest.LogCaptureFixture
) -> None:
    """An event that cannot be dispatched is logged; the next one is dispatched."""
    bodies: list[bytes] = []

    def on_event(body: bytes) -> None:
        bodies.append(body)
        if len(bodies) == 1:
            raise ZeroDivisionError

    bus = Bus(opts, on_event=on_event, on_lost=lambda: None)
    await bus.start()
    await async_eventually(lambda: master_bus.subscribers)
    await master_bus.send(packed(b"one") + packed(b"two"))
    await async_eventually(lambda: len(bodies) == 2)
    assert "could not be dispatched" in caplog.text
    await bus.close()


async def test_the_bus_comes_back(master_bus: FakeBus, receiver: Receiver) -> None:
    """When the master restarts the loss is told once, and events come again."""
    await start(receiver, master_bus)
    for number in range(1, 4):
        await master_bus.stop()
        await async_eventually(lambda: not receiver.bus.connected)
        await async_eventually(partial(lambda count: receiver.lost == count, number))
        await master_bus.start()
        assert await receiver.bus.wait_connected(scaled(10))
        await async_eventually(lambda: master_bus.subscribers)
        await master_bus.send(packed(b"%d" % number))
        await async_eventually(partial(lambda last: receiver.bodies[-1:] == [last], b"%d" % number))
    assert 3 == receiver.lost


async def test_half_a_frame_is_forgotten(master_bus: FakeBus, receiver: Receiver) -> None:
    """What was cut off by a restart does not spoil what comes after it."""
    await start(receiver, master_bus)
    body = frame_body("t/1", SMALL)
    await master_bus.send(packed(body)[:-3])
    master_bus.drop()
    await async_eventually(lambda: master_bus.subscribers)
    await master_bus.send(packed(body))
    await receiver.received(body)


async def test_no_master_at_the_start(opts: dict[str, Any], receiver: Receiver) -> None:
    """`start` returns when nobody is there; the bus is connected as soon as somebody is."""
    await receiver.bus.start()
    assert not receiver.bus.connected
    assert await receiver.bus.wait_connected(0.01) is False
    async with FakeBus(opts):
        assert await receiver.bus.wait_connected(scaled(10)) is True


async def test_a_master_that_hangs_up_is_not_hammered(
    master_bus: FakeBus, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections that end at once are made less and less often."""
    monkeypatch.setattr(bus_module, "RECONNECT_MIN_SECONDS", 30.0)
    monkeypatch.setattr(bus_module, "RECONNECT_MAX_SECONDS", 30.0)
    master_bus.hang_up = True
    await receiver.bus.start()
    await async_eventually(lambda: receiver.lost >= 2)
    for _ in range(100):
        await asyncio.sleep(0)
    assert 2 == master_bus.connections


async def test_close_ends_everything(master_bus: FakeBus, receiver: Receiver) -> None:
    """After `close` there is no connection and no task; closing twice is fine."""
    await start(receiver, master_bus)
    await receiver.bus.fire("t", {})
    await receiver.bus.close()
    await receiver.bus.close()
    assert not receiver.bus.connected
    assert [] == [task for task in asyncio.all_tasks() if task.get_name() == "saltapi-bus"]


async def test_close_before_start(receiver: Receiver) -> None:
    """A bus that was never started can be closed."""
    await receiver.bus.close()


# Firing


async def test_what_is_fired_arrives(master_bus: FakeBus, receiver: Receiver) -> None:
    """The master gets tag and data, with the time as the installed Salt writes it."""
    await receiver.bus.fire("t/1", SMALL)
    await async_eventually(lambda: master_bus.fired)
    ((tag, data),) = master_bus.fired
    stamp = data.pop("_stamp")
    assert ("t/1", SMALL) == (tag, data)
    assert len(bus_module.stamp()) == len(stamp)
    assert "_stamp" not in SMALL


async def test_firing_with_a_trace(master_bus: FakeBus, receiver: Receiver) -> None:
    """Where Salt traces, an event takes the client's trace along, as Salt's own do."""
    context = trace.TraceContext.read(["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"])
    assert context is not None
    token = trace.current.set(trace.Trace(context=context))
    try:
        await receiver.bus.fire("t/1", SMALL)
        receiver.bus._opts["tracing"] = {"enabled": True}
        await receiver.bus.fire("t/2", SMALL)
    finally:
        trace.current.reset(token)
    await async_eventually(lambda: len(master_bus.fired) == 2)
    plain, traced = (data for _, data in master_bus.fired)

    assert "traceparent" not in plain
    assert context.traceparent == traced["traceparent"]
    assert 2 == receiver.bus.fired_total


async def test_firing_at_the_same_time(master_bus: FakeBus, receiver: Receiver) -> None:
    """Many events at once arrive whole, in order, over one connection."""
    async with asyncio.TaskGroup() as group:
        for number in range(200):
            group.create_task(receiver.bus.fire(f"t/{number}", {"x": "x" * 10_000}))
    await async_eventually(lambda: len(master_bus.fired) == 200)
    assert [f"t/{number}" for number in range(200)] == [tag for tag, _ in master_bus.fired]
    assert 1 == len(master_bus.pushers)


async def test_firing_a_large_event(master_bus: FakeBus, receiver: Receiver) -> None:
    """An event of 20 MB can be fired if `max_event_size` lets it."""
    await receiver.bus.fire("t", LARGE)
    await async_eventually(lambda: master_bus.fired)
    assert LARGE["a"] == master_bus.fired[0][1]["a"]


async def test_events_larger_than_salt_takes_are_trimmed(
    opts: dict[str, Any], master_bus: FakeBus
) -> None:
    """`max_event_size` counts for events of ours as for those of Salt."""
    bus = Bus({**opts, "max_event_size": 1000}, on_event=lambda _: None, on_lost=lambda: None)
    await bus.fire("t", {"a": "x" * 5000, "b": 1})
    await async_eventually(lambda: master_bus.fired)
    assert ("VALUE_TRIMMED", 1) == (master_bus.fired[0][1]["a"], master_bus.fired[0][1]["b"])
    await bus.close()


async def test_firing_without_a_master(receiver: Receiver) -> None:
    """Without a master nothing is fired, and the caller is told."""
    with pytest.raises(MasterUnavailable, match="not fired"):
        await receiver.bus.fire("t", {})


async def test_firing_after_a_restart(master_bus: FakeBus, receiver: Receiver) -> None:
    """The connection to fire over is made anew when the master closed it."""
    await receiver.bus.fire("t/1", {})
    await async_eventually(lambda: master_bus.fired)
    await master_bus.stop()
    pusher = receiver.bus._pusher
    assert pusher is not None
    await async_eventually(pusher[0].at_eof)
    with pytest.raises(MasterUnavailable):
        await receiver.bus.fire("t/2", {})
    await master_bus.start()
    await receiver.bus.fire("t/3", {})
    await async_eventually(lambda: len(master_bus.fired) == 2)
    assert ["t/1", "t/3"] == [tag for tag, _ in master_bus.fired]


@pytest.mark.parametrize(
    ("tag", "data"),
    [
        ("t\n\n\x80", {}),
        ("t\n", {}),
        ("\ud800", {}),
        ("t", {"a": "\ud800"}),
        ("t", {"a": object()}),
    ],
    ids=["forged data", "line break", "surrogate in the tag", "surrogate", "object"],
)
async def test_what_an_event_cannot_carry(
    receiver: Receiver, master_bus: FakeBus, tag: str, data: dict[str, Any]
) -> None:
    """What would end the tag early, or is no text, is a bad request; nothing is fired."""
    with pytest.raises(BadRequest):
        await receiver.bus.fire(tag, data)
    await receiver.bus.fire("t/good", {})
    await async_eventually(lambda: master_bus.fired)
    assert ["t/good"] == [tag for tag, _ in master_bus.fired]


async def test_salts_own_listener_understands_us(master_bus: FakeBus, receiver: Receiver) -> None:
    """A body that we fire is one that Salt unpacks."""
    await receiver.bus.fire("salt/x", {"a": [1, b"\xff"]})
    await async_eventually(lambda: master_bus.fired)
    tag, data = salt.utils.event.SaltEvent.unpack(frame_body(*master_bus.fired[0]))
    assert ("salt/x", [1, b"\xff"]) == (tag, data["a"])


class FakeTransport(asyncio.Transport):
    """Notes whether it is read from."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = True

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def abort(self) -> None:
        """Do nothing."""


def test_burst(monkeypatch: pytest.MonkeyPatch) -> None:
    """A burst is handed on in slices, in order; others have their turn between any two."""
    monkeypatch.setattr(bus_module, "SLICE_SECONDS", -1.0)
    frames = [msgpack.packb({"body": str(number).encode()}) for number in range(50)]
    seen: list[Any] = []

    async def read() -> None:
        loop = asyncio.get_running_loop()
        reader = bus_module._Reader(seen.append)

        def turn() -> None:
            seen.append(None)
            if len(seen) < 100:
                loop.call_soon(turn)

        loop.call_soon(turn)
        reader.data_received(b"".join(frames[:40]))
        reader.data_received(b"".join(frames[40:]))
        await reader.drained()

    asyncio.run(read())
    bodies = [each for each in seen if each is not None]
    assert [str(number).encode() for number in range(50)] == bodies
    assert all(seen[index] is None for index in range(1, 98, 2)), seen


def test_too_much_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """When too much waits to be handed on, no more is read until all of it is."""
    monkeypatch.setattr(bus_module, "SLICE_SECONDS", -1.0)
    monkeypatch.setattr(bus_module, "WAITING_LIMIT_BYTES", 1000)
    data = msgpack.packb({"body": b"x" * 500}) * 5
    reads: list[bool] = []

    async def read() -> None:
        transport = FakeTransport()
        reader = bus_module._Reader(lambda _: reads.append(transport.reads))
        reader.connection_made(transport)
        reader.data_received(data)
        reader.data_received(data)
        assert not transport.reads
        await reader.drained()
        assert transport.reads

    asyncio.run(read())
    assert [True] + 9 * [False] == reads


def test_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Events wait while there is not the time to write those before them, but not for ever."""
    monkeypatch.setattr(bus_module, "SLICE_SECONDS", -1.0)
    monkeypatch.setattr(bus_module, "HELD_UP_SECONDS", scaled(60))
    data = b"".join(msgpack.packb({"body": b"%d" % number}) for number in range(4))
    seen: list[bytes] = []
    is_behind = True

    async def read() -> None:
        nonlocal is_behind
        reader = bus_module._Reader(seen.append, lambda: is_behind)
        reader.data_received(data)
        for _ in range(5):
            await asyncio.sleep(0)
        assert [b"0"] == seen
        is_behind = False
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert [b"0", b"1"] == seen[:2]
        is_behind = True
        monkeypatch.setattr(bus_module, "HELD_UP_SECONDS", 0.0)
        await reader.drained()

    asyncio.run(read())
    assert [b"0", b"1", b"2", b"3"] == seen
