"""The request channels to the master, over real connections to a master of a few lines."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, Self

import msgpack
import pytest
import salt.payload
import salt.transport.frame
import zmq
import zmq.asyncio
from zmq.utils.monitor import parse_monitor_message

from saltapi import config
from saltapi.bridge.requests.channels import Channels
from saltapi.bridge.requests.turns import call_as
from saltapi.errors import BadRequest, MasterBusy, MasterUnavailable
from saltapi.types import Opts
from tests.daemons import free_port
from tests.waiting import async_eventually, scaled

NEVER = 3600.0


class FakeMaster:
    """Speaks Salt's `tcp` or `zeromq` on its request port; `answer` makes the answers."""

    def __init__(self, opts: Opts) -> None:
        self.port = opts["ret_port"]
        self._speaks_zeromq = opts["transport"] == "zeromq"
        self.loads: list[dict[str, Any]] = []
        self.connections: list[object] = []
        """Those that said something: whether somebody listens is asked by connecting alone."""
        self.asked = 0
        """How many connections there were, of those too that said nothing."""
        self.ended = 0
        """How many connections the client has closed."""
        self.now = 0
        """How many requests wait for their answer now."""
        self.most = 0
        self.hold = asyncio.Event()
        self.hold.set()
        self.answer: Callable[[dict[str, Any]], Any] = lambda load: {"echo": load}
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._stack = contextlib.AsyncExitStack()
        if self._speaks_zeromq:
            self._listen_by_zeromq()
        else:
            server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
            self._stack.callback(server.close)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await self._stack.aclose()

    def _listen_by_zeromq(self) -> None:
        context = zmq.asyncio.Context()
        self._stack.callback(context.destroy, linger=0)
        router = context.socket(zmq.ROUTER)
        monitor = router.get_monitor_socket(
            zmq.EVENT_ACCEPTED | zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED
        )
        router.bind(f"tcp://127.0.0.1:{self.port}")
        self._begin(self._receive(router))
        self._begin(self._watch(monitor))

    async def _receive(self, router: zmq.asyncio.Socket) -> None:
        while True:
            *head, body = await router.recv_multipart()

            async def reply(answer: Any, head: list[bytes] = head) -> None:
                await router.send_multipart([*head, salt.payload.dumps(answer)])

            self._begin(self._serve(salt.payload.loads(body)["load"], reply))

    async def _watch(self, monitor: zmq.asyncio.Socket) -> None:
        while True:
            event = parse_monitor_message(await monitor.recv_multipart())
            if event["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self.connections.append(event["value"])
            elif event["event"] == zmq.EVENT_ACCEPTED:
                self.asked += 1
            elif self.ended < len(self.connections):
                self.ended += 1

    def _begin(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked += 1
        self._stack.callback(writer.close)
        unpacker = msgpack.Unpacker(raw=False)
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                if writer not in self.connections:
                    self.connections.append(writer)
                unpacker.feed(data)
                for frame in filter(lambda frame: isinstance(frame, dict), unpacker):

                    async def reply(answer: Any, frame: Any = frame) -> None:
                        writer.write(salt.transport.frame.frame_msg(answer, header=frame["head"]))

                    self._begin(self._serve(frame["body"]["load"], reply))
        self.ended += writer in self.connections

    async def _serve(
        self, load: dict[str, Any], reply: Callable[[Any], Coroutine[Any, Any, None]]
    ) -> None:
        self.loads.append(load)
        self.now += 1
        self.most = max(self.most, self.now)
        await self.hold.wait()
        self.now -= 1
        await reply(self.answer(load))


@pytest.fixture(params=["tcp", "zeromq"])
def opts(request: pytest.FixtureRequest, tmp_path: Path) -> Opts:
    """The options of a master that speaks one of the transports, on a port of its own."""
    text = f"root_dir: {tmp_path}\ntransport: {request.param}\nret_port: {free_port()}\n"
    (tmp_path / "master").write_text(text)
    return config.load(tmp_path)


@pytest.fixture
async def master(opts: Opts) -> AsyncIterator[FakeMaster]:
    async with FakeMaster(opts) as master:
        yield master


@contextlib.asynccontextmanager
async def pool(opts: Opts, *, limit: int = 4, queue: int = 100) -> AsyncIterator[Channels]:
    channels = Channels(opts, limit=limit, queue_requests=queue)
    yield channels
    await channels.close()


async def test_answers_come_back(opts: Opts, master: FakeMaster) -> None:
    """The master's answer is returned as it came; the options are left alone."""
    before = dict(opts)
    async with pool(opts) as channels:
        load = {"cmd": "ping", "a": [1, "ü", None, {"b": True}]}
        assert {"echo": load} == await channels.send(load, timeout_seconds=20)
        master.answer = lambda _: "bad load"
        assert "bad load" == await channels.send(load, timeout_seconds=20)
    assert before == opts


async def test_a_channel_is_used_again(opts: Opts, master: FakeMaster) -> None:
    """Requests one after the other share a connection."""
    async with pool(opts) as channels:
        for number in range(20):
            assert number == (await channels.send({"n": number}, timeout_seconds=20))["echo"]["n"]
    assert 1 == len(master.connections)


async def test_answers_find_their_requests(opts: Opts, master: FakeMaster) -> None:
    """Many requests at once each get their own answer, over no more channels than allowed."""
    async with pool(opts, limit=4) as channels:
        requests = (channels.send({"n": number}, timeout_seconds=20) for number in range(100))
        answers = await asyncio.gather(*requests)
    assert list(range(100)) == [answer["echo"]["n"] for answer in answers]
    assert master.most <= 4
    assert len(master.connections) <= 4


async def test_nobody_listens(opts: Opts) -> None:
    """Without a master requests fail long before their time is up, those that wait as well."""
    async with pool(opts, limit=2, queue=500) as channels, asyncio.timeout(scaled(20)):
        requests = (channels.send({"cmd": "x"}, timeout_seconds=NEVER) for _ in range(500))
        results = await asyncio.gather(*requests, return_exceptions=True)
    assert [MasterUnavailable] * 500 == [type(result) for result in results]


async def test_a_master_that_comes_is_found(opts: Opts) -> None:
    """Soon after the master has come, requests reach it."""
    async with pool(opts) as channels:
        with pytest.raises(MasterUnavailable):
            await channels.send({"n": 1}, timeout_seconds=NEVER)
        async with FakeMaster(opts), asyncio.timeout(scaled(20)):
            assert {"echo": {"n": 2}} == await answer_at_last(channels, {"n": 2})


async def answer_at_last(channels: Channels, load: dict[str, Any]) -> Any:
    """Return the answer to *load* as soon as the master is known to be there."""
    while True:
        with contextlib.suppress(MasterUnavailable):
            return await channels.send(load, timeout_seconds=20)
        await asyncio.sleep(0.05)


async def test_a_master_that_does_not_answer(opts: Opts, master: FakeMaster) -> None:
    """A master that takes a request and says nothing is waited for as long as was asked."""
    master.hold.clear()
    async with pool(opts) as channels:
        with pytest.raises(MasterUnavailable):
            await channels.send({"cmd": "x"}, timeout_seconds=0.2)
        assert 1 == len(master.loads)
        master.hold.set()
        assert {"echo": {"cmd": "y"}} == await channels.send({"cmd": "y"}, timeout_seconds=20)


async def test_a_request_is_sent_once(opts: Opts, master: FakeMaster) -> None:
    """A request that gets no answer is never sent again by itself."""
    master.hold.clear()
    async with pool(opts) as channels:
        with pytest.raises(MasterUnavailable):
            await channels.send({"cmd": "x"}, timeout_seconds=2.5)
    assert 1 == len(master.loads)


async def test_too_many_are_refused_at_once(opts: Opts, master: FakeMaster) -> None:
    """More requests than may run and wait are refused; room that becomes free is used."""
    master.hold.clear()
    async with pool(opts, limit=2, queue=3) as channels:
        waiting = [
            asyncio.create_task(channels.send({"n": number}, timeout_seconds=NEVER))
            for number in range(5)
        ]
        await async_eventually(lambda: master.now == 2)
        for _ in range(3):
            with pytest.raises(MasterBusy, match="Too many requests"):
                await channels.send({"n": -1}, timeout_seconds=NEVER)
        waiting.pop().cancel()
        await asyncio.sleep(0)
        waiting.append(asyncio.create_task(channels.send({"n": 5}, timeout_seconds=NEVER)))
        master.hold.set()
        answers = await asyncio.gather(*waiting)
        assert [0, 1, 2, 3, 5] == [answer["echo"]["n"] for answer in answers]
        await channels.send({"n": 6}, timeout_seconds=20)


async def test_a_turn_that_does_not_come(opts: Opts, master: FakeMaster) -> None:
    """Who waits for a channel longer than its time is told that the master is busy."""
    master.hold.clear()
    async with pool(opts, limit=1) as channels:
        first = asyncio.create_task(channels.send({"n": 1}, timeout_seconds=NEVER))
        await async_eventually(lambda: master.now == 1)
        with pytest.raises(MasterBusy, match="its turn"):
            await channels.send({"n": 2}, timeout_seconds=0.1)
        master.hold.set()
        assert {"echo": {"n": 1}} == await first
    assert 1 == len(master.loads)


async def test_turns(opts: Opts, master: FakeMaster) -> None:
    """Users take turns: one who sends many requests does not make others wait for all of them."""
    master.hold.clear()

    async def send(channels: Channels, user: str) -> None:
        call_as(user, "file")
        await channels.send({"user": user}, timeout_seconds=NEVER)

    async with pool(opts, limit=1) as channels:
        waiting = []
        for user in [*["fred"] * 50, "alice"]:
            waiting.append(asyncio.create_task(send(channels, user)))
            await asyncio.sleep(0)
        await async_eventually(lambda: master.now == 1)
        master.hold.set()
        await asyncio.gather(*waiting)
    assert ["fred", "fred", "alice", "fred"] == [load["user"] for load in master.loads[:4]]


async def test_giving_up_frees_the_channel(opts: Opts, master: FakeMaster) -> None:
    """Cancelled requests leave room for others, and their late answers reach nobody."""
    master.hold.clear()
    async with pool(opts, limit=2) as channels:
        for number in range(6):
            request = asyncio.create_task(channels.send({"n": number}, timeout_seconds=NEVER))
            await async_eventually(partial(lambda count: len(master.loads) == count, number + 1))
            request.cancel()
            await asyncio.wait({request})
            assert request.cancelled()
        master.hold.set()
        assert {"echo": {"n": 9}} == await channels.send({"n": 9}, timeout_seconds=20)


async def test_the_master_goes_away(opts: Opts) -> None:
    """Requests that wait when the master dies fail soon; the next master is found."""
    async with pool(opts) as channels, asyncio.timeout(scaled(30)):
        async with FakeMaster(opts) as master:
            master.hold.clear()
            waiting = [
                asyncio.create_task(channels.send({"n": number}, timeout_seconds=NEVER))
                for number in range(3)
            ]
            await async_eventually(lambda: master.now == 3)
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [MasterUnavailable] * 3 == [type(result) for result in results]
        async with FakeMaster(opts):
            await channels.reset()
            assert {"echo": {"n": 4}} == await answer_at_last(channels, {"n": 4})


async def test_reset_lets_go_of_all_channels(opts: Opts, master: FakeMaster) -> None:
    """After `reset` idle channels are new ones, and busy ones are not used again."""
    async with pool(opts) as channels:
        await channels.send({"n": 1}, timeout_seconds=20)
        await channels.reset()
        await channels.send({"n": 2}, timeout_seconds=20)
        assert 2 == len(master.connections)
        master.hold.clear()
        busy = asyncio.create_task(channels.send({"n": 3}, timeout_seconds=20))
        await async_eventually(lambda: master.now == 1)
        await channels.reset()
        master.hold.set()
        assert {"echo": {"n": 3}} == await busy
        await channels.send({"n": 4}, timeout_seconds=20)
        assert 3 == len(master.connections)


async def test_what_cannot_be_sent(opts: Opts, master: FakeMaster) -> None:
    """A load with half a character is the client's fault and nobody else's."""
    async with pool(opts) as channels:
        with pytest.raises(BadRequest, match="surrogate"):
            await channels.send({"username": "\ud800"}, timeout_seconds=20)
        assert {"echo": {"n": 1}} == await channels.send({"n": 1}, timeout_seconds=20)


async def test_whether_the_master_listens_is_asked_once(opts: Opts, master: FakeMaster) -> None:
    """However many want to know, one connection a second is made to find out."""
    async with pool(opts) as channels:
        answers = await asyncio.gather(*(channels.master_listens() for _ in range(100)))
        assert [True] * 100 == answers
        await async_eventually(lambda: master.asked)
        assert 1 == master.asked


async def test_closing_ends_what_is_under_way(opts: Opts) -> None:
    """After `close` nobody waits, nothing is sent any more, and no channel is open."""
    async with FakeMaster(opts) as master:
        master.hold.clear()
        channels = Channels(opts, limit=3, queue_requests=9)
        waiting = [
            asyncio.create_task(channels.send({"n": number}, timeout_seconds=NEVER))
            for number in range(9)
        ]
        await async_eventually(lambda: len(master.connections) == 3)
        given_up = waiting.pop(0)
        given_up.cancel()
        await asyncio.sleep(0)
        async with asyncio.timeout(scaled(20)):
            await channels.close()
            await async_eventually(lambda: master.ended == len(master.connections))
            results = await asyncio.gather(*waiting, return_exceptions=True)
        assert given_up.cancelled()
        assert [MasterUnavailable] * 8 == [type(result) for result in results]
        with pytest.raises(MasterUnavailable, match="stopping"):
            await channels.send({"n": 9}, timeout_seconds=20)


async def test_close_twice(opts: Opts, master: FakeMaster) -> None:
    """Closing is idempotent and ends the idle connections."""
    channels = Channels(opts, limit=2, queue_requests=2)
    await channels.send({"n": 1}, timeout_seconds=20)
    await channels.close()
    await channels.close()
    await async_eventually(lambda: master.ended == len(master.connections) == 1)
