"""Questions to another master: answered in parts, for who has the secret, once."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from saltapi.bridge.nats import answering, exchanges
from saltapi.bridge.nats.answering import Answer, Answerer, Answering, AskerGone
from saltapi.bridge.nats.asking import Asked
from saltapi.bridge.nats.connection import Connection
from saltapi.bridge.nats.exchanges import QUESTION, Line, Subjects
from saltapi.config.shared_store import StoreSection
from saltapi.errors import BodyTooLarge, MasterUnavailable, ServiceBusy
from tests.engine.events.log.test_rights import rights
from tests.nats_servers import NatsServers
from tests.waiting import scaled

SECRET, OTHER_SECRET = b"5ec7e7" * 8, b"0therr" * 8
SUBJECTS = Subjects("exchanges", "rest_asgi")
LARGE = os.urandom(3 * exchanges.PART_BYTES + 17)


class Masters:
    """One that asks and `b`, which answers."""

    def __init__(self, section: StoreSection, bucket: str = "exchanges") -> None:
        self.subjects = Subjects(bucket, "rest_asgi")
        self.asking = Connection(section, "asks")
        self.answering = Connection(section, "answers")
        self.questions: list[Any] = []

    async def ask(self, question: Any, *, secret: bytes = SECRET, master: str = "b") -> Asked:
        """Ask as somebody who has *secret*."""
        return await Asked.ask(self.asking, secret, self.subjects, master, question)

    async def whole(self, question: Any) -> tuple[dict[str, Any], bytes]:
        """Return the whole answer."""
        asked = await self.ask(question)
        try:
            return await asked.head(), b"".join([part async for part in asked.parts()])
        finally:
            await asked.close()

    async def answer(self, question: Any, told: Answer) -> None:
        """Answer with what the question names."""
        self.questions.append(question)
        told.begin({"status": 200})
        await told.write(LARGE[:question])
        told.end()


@asynccontextmanager
async def masters(
    servers: NatsServers | Masters, answer: Answerer | None = None
) -> AsyncIterator[Masters]:
    """Yield the two; the one answers with *answer*."""
    both = servers if isinstance(servers, Masters) else Masters(StoreSection(url=servers.url))
    b = Answering(both.answering, SECRET, both.subjects, "b", answer or both.answer)
    b.start()
    try:
        await eventually(lambda: b._subscribed is not None)
        yield both
    finally:
        await b.close()
        await both.asking.close()
        await both.answering.close()


async def eventually(holds: Callable[[], bool]) -> None:
    """Return when *holds* does."""
    async with asyncio.timeout(scaled(10)):
        while not holds():  # noqa: ASYNC110 - nobody says so
            await asyncio.sleep(0.01)


async def heard(servers: NatsServers, both: Masters, subject: str) -> list[Msg]:
    """Return what goes to *subject* while a question is answered."""
    client, found = Client(), list[Msg]()

    async def keep(message: Msg) -> None:
        found.append(message)

    await client.connect(servers.url)
    await client.subscribe(subject, cb=keep)
    await client.flush()
    await both.whole(1)
    await eventually(lambda: bool(found))
    await client.close()
    return found


@pytest.mark.parametrize("size", [0, 1, exchanges.PART_BYTES, len(LARGE)])
async def test_answer_in_parts(nats_servers: NatsServers, size: int) -> None:
    """An answer of any size comes whole, in its order."""
    async with masters(nats_servers) as both:
        assert ({"status": 200}, LARGE[:size]) == await both.whole(size)
        assert [size] == both.questions


async def test_nobody(nats_servers: NatsServers) -> None:
    """Who asks a master of which no process lives is told so at once."""
    async with masters(nats_servers) as both:
        began = time.monotonic()
        with pytest.raises(MasterUnavailable):
            await both.ask(1, master="c")
        assert time.monotonic() - began < exchanges.HANDSHAKE_SECONDS


async def test_without_the_secret(
    nats_servers: NatsServers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever lacks the secret gets no answer, and nothing is done; the log says so."""
    monkeypatch.setattr("saltapi.bridge.nats.asking.HANDSHAKE_SECONDS", 0.5)
    monkeypatch.setattr("saltapi.seldom._said", {})
    async with masters(nats_servers) as both:
        with pytest.raises(MasterUnavailable):
            await both.ask(1, secret=OTHER_SECRET)
        assert [] == both.questions
    assert "was not sealed with the secret" in caplog.text


@pytest.mark.parametrize(
    "said", [{"at": -60.0}, {"at": 60.0}, {"master": "c"}], ids=["old", "early", "other"]
)
async def test_not_meant(nats_servers: NatsServers, said: dict[str, Any]) -> None:
    """A question that is old, made by a wrong clock, or for another master, is refused."""
    async with masters(nats_servers) as both:
        client = await both.asking.client()
        line = Line(client, SECRET, os.urandom(16).hex(), says=QUESTION)
        at = time.time() + float(said.get("at", 0.0))
        load = {"master": "b", "question": 1, **said, "at": at}
        await line.say(SUBJECTS.of_master("b"), load, reply=SUBJECTS.of_answer(line.exchange))
        await both.whole(2)
        assert [2] == both.questions


async def test_replayed(nats_servers: NatsServers) -> None:
    """Whoever repeats all that was said for a question has nothing done again."""
    async with masters(nats_servers) as both:
        (question,) = await heard(nats_servers, both, SUBJECTS.of_master("b"))
        (more, *_) = await heard(nats_servers, both, "exchanges.answers.*.more")
        exchange = question.data[: exchanges.ID_CHARACTERS].decode()
        client = await both.asking.client()
        both.questions.clear()
        waits = asyncio.Event()

        async def wake(_: Msg) -> None:
            waits.set()

        await client.subscribe(SUBJECTS.of_answer(exchange), cb=wake)
        await client.publish(SUBJECTS.of_master("b"), question.data)
        async with asyncio.timeout(scaled(10)):
            await waits.wait()
        await client.publish(SUBJECTS.of_more(exchange), more.data)
        await both.whole(3)
        assert [3] == both.questions


async def test_nothing_in_the_clear(nats_servers: NatsServers) -> None:
    """Whoever hears the servers reads nothing of a question."""
    said: list[bytes] = []
    async with masters(nats_servers, _echo) as both:
        client = Client()

        async def keep(message: Msg) -> None:
            said.append(message.data)

        await client.connect(nats_servers.url)
        await client.subscribe("exchanges.>", cb=keep)
        await client.flush()
        assert ({}, b"a-session-token") == await both.whole({"token": "a-session-token"})
        await eventually(lambda: len(said) >= 4)
        await client.close()
    assert not [data for data in said if b"session" in data]


async def _echo(question: Any, told: Answer) -> None:
    told.begin({})
    await told.write(question["token"].encode())
    told.end()


async def test_asker_leaves(nats_servers: NatsServers) -> None:
    """When whoever asks leaves, the answer ends."""
    ended = asyncio.Event()

    async def endless(_: Any, told: Answer) -> None:
        told.begin({})
        try:
            while True:
                await told.write(LARGE)
        except AskerGone:
            ended.set()
            raise

    async with masters(nats_servers, endless) as both:
        asked = await both.ask(1)
        await asked.head()
        await anext(aiter(asked.parts()))
        assert not ended.is_set()
        await asked.close()
        async with asyncio.timeout(scaled(10)):
            await ended.wait()


async def test_answer_that_breaks_off(nats_servers: NatsServers) -> None:
    """An answer that ends too soon is not taken for a whole one."""

    async def fails(_: Any, told: Answer) -> None:
        told.begin({})
        await told.write(b"half")
        raise RuntimeError

    async def stops(_: Any, told: Answer) -> None:
        told.begin({})
        await told.write(b"half")

    for answer in (fails, stops):
        async with masters(nats_servers, answer) as both:
            with pytest.raises(MasterUnavailable):
                await both.whole(1)


async def test_too_many(nats_servers: NatsServers, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that answers many questions already says so, and does nothing."""
    monkeypatch.setattr(answering, "ANSWERED_AT_ONCE", 1)
    begun, go = asyncio.Event(), asyncio.Event()

    async def slow(_: Any, told: Answer) -> None:
        begun.set()
        await go.wait()
        told.begin({})
        told.end()

    async with masters(nats_servers, slow) as both:
        first = asyncio.create_task(both.whole(1))
        await begun.wait()
        with pytest.raises(ServiceBusy):
            await both.ask(2)
        go.set()
        assert ({}, b"") == await first


async def test_silence(nats_servers: NatsServers, monkeypatch: pytest.MonkeyPatch) -> None:
    """While there is nothing to say the other side is known to live; when it dies, that is seen."""
    monkeypatch.setattr(answering, "KEEP_SECONDS", 0.05)
    monkeypatch.setattr("saltapi.bridge.nats.asking.SILENCE_SECONDS", scaled(0.2))

    async def waits(_: Any, told: Answer) -> None:
        await asyncio.sleep(scaled(0.3))
        told.begin({})
        with contextlib.suppress(AskerGone):
            await told.gone.wait()

    async with masters(nats_servers, waits) as both:
        asked = await both.ask(1)
        assert {} == await asked.head()
        await both.answering.close()
        with pytest.raises(MasterUnavailable):
            _ = [part async for part in asked.parts()]
        await asked.close()


async def test_too_large(nats_servers: NatsServers) -> None:
    """A question that is larger than the servers take is refused here."""
    async with masters(nats_servers) as both:
        with pytest.raises(BodyTooLarge):
            await both.ask(b"x" * 2**20)


async def test_rights(tmp_path: Path) -> None:
    """The rights that docs/high-availability.md names are enough."""
    user = {"user": "saltapi", "password": "a-pass-word", "permissions": rights()}
    good = tmp_path / "good"
    good.write_text("saltapi:a-pass-word\n")
    with NatsServers(tmp_path / "nats", authorization={"users": [user]}) as servers:
        await servers.listening()
        section = StoreSection(url=servers.url, credentials_file=str(good))
        both = Masters(section, "saltapi")
        async with masters(both):
            assert ({"status": 200}, LARGE) == await both.whole(len(LARGE))
