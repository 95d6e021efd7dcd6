"""The view behind `format_events`: what listeners are told, and what is kept."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from saltapi import config
from saltapi.bridge.bus.hub import ListenerClosed
from saltapi.bridge.jobs import grains, live_view, recent
from saltapi.bridge.jobs.live_view import LiveView, LiveViewListener
from saltapi.demo import PrivateMaster
from saltapi.engine.commands.asynchronous import AsyncAPIClient
from saltapi.errors import AuthorizationFailed, ClientDisabled, MasterUnavailable
from tests.fake_master import frame_body, new_hub
from tests.waiting import async_eventually, scaled

TOKEN = "a" * 64
OTHER = "b" * 64
MESSAGE_SECONDS = 20.0
MINIONS = {"m1": {"os": "Debian"}, "m2": {"os": "Arch"}}


class Minions:
    """The minions that a view sees; `grains` is what they answer."""

    def __init__(self) -> None:
        self.connected: list[str] = list(MINIONS)
        self.grains: dict[str, Any] = dict(MINIONS)
        self.asked: list[tuple[str, list[str]]] = []
        self.errors: list[Exception | None] = []
        """What the next questions end with."""
        self.refused: set[str] = set()
        """The tokens that may not ask."""

    async def who_is_connected(self) -> list[str]:
        return self.connected

    async def ask(self, token: str, wanted: list[str]) -> dict[str, Any]:
        self.asked.append((token, wanted))
        await asyncio.sleep(0)
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error
        if token in self.refused:
            raise AuthorizationFailed("Not permitted.")
        return {m: value for m, value in self.grains.items() if m in wanted or not wanted}


class Bench:
    """A view on a hub that is fed by hand."""

    def __init__(self) -> None:
        self.hub = new_hub()
        self.minions = Minions()
        self.view = LiveView(
            self.hub, connected=self.minions.who_is_connected, ask_grains=self.minions.ask
        )
        self.listeners: list[LiveViewListener] = []

    async def listen(
        self, token: str = TOKEN, shape: live_view.MinionsShape = "list"
    ) -> LiveViewListener:
        """Return a listener that has been told the minions with all grains that it may see."""
        listener = self.view.listen(token, minions=shape)
        self.listeners.append(listener)
        await minions_of(listener)
        await async_eventually(lambda: listener.reader.task is None and not self.view._quiet)
        listener._messages()
        return listener

    def text_of(self, jid: str) -> bytes:
        """Return the text of a job as the view has it now; empty if it has none."""
        job = self.view.jobs.get(jid)
        return b"" if job is None else job.text()

    def fire(self, tag: str, **data: Any) -> None:
        """Put an event on the bus."""
        self.hub.dispatch(frame_body(tag, data))

    def start_job(self, jid: str, minions: list[str], **more: Any) -> None:
        """Let the master publish a job."""
        data = {"jid": jid, "fun": "test.ping", "tgt": "*", "tgt_type": "glob", "_stamp": "now"}
        self.fire(f"salt/job/{jid}/new", **{**data, **more, "minions": minions})

    def returned(self, jid: str, minion: str, value: Any = True, **more: Any) -> None:
        """Let *minion* return *value*."""
        data = {"id": minion, "jid": jid, "return": value, "retcode": 0, "success": True}
        self.fire(f"salt/job/{jid}/ret/{minion}", **{"fun": "test.ping", **data, **more})


async def take(listener: LiveViewListener) -> list[dict[str, Any]]:
    """Return the next messages, decoded."""
    async with asyncio.timeout(scaled(MESSAGE_SECONDS)):
        return [json.loads(text) for text in await listener.take()]


async def minions_of(listener: LiveViewListener) -> Any:
    """Return the minions of the next message that has them."""
    while True:
        for message in await take(listener):
            if "minions" in message:
                return message["minions"]


async def minions_until(listener: LiveViewListener, wanted: Any) -> None:
    """Wait until the minions are told as *wanted*."""
    async with asyncio.timeout(scaled(MESSAGE_SECONDS)):
        while await minions_of(listener) != wanted:
            pass


async def job_of(listener: LiveViewListener, jid: str) -> dict[str, Any]:
    """Return the job *jid* of the next message that has one; it must be that one."""
    while True:
        for message in await take(listener):
            if "jobs" in message:
                assert [jid] == list(message["jobs"])
                job: dict[str, Any] = message["jobs"][jid]
                return job


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setattr(live_view, "MINIONS_INTERVAL_SECONDS", 0.05)
    monkeypatch.setattr(grains, "PAUSE_SECONDS", 0.05)
    bench = Bench()
    yield bench
    for listener in bench.listeners:
        listener.close()
    assert 0 == bench.view.listeners
    await async_eventually(lambda: bench.hub.listeners == 0)


def shown(minions: dict[str, Any]) -> list[dict[str, Any]]:
    """Return minions as the list shape has them."""
    return [{"id": minion, "grains": values} for minion, values in minions.items()]


class TestJobs:
    """What is told of jobs."""

    async def test_life_of_a_job(self, bench: Bench) -> None:
        """A job is told when it starts and with each return, complete with the last one."""
        listener = await bench.listen()
        bench.start_job("1", ["m1", "m2"])
        expected = {
            "jid": "1",
            "start_time": "now",
            "minions": {"m1": {"success": False}, "m2": {"success": False}},
            "fun": "test.ping",
            "tgt": "*",
            "tgt_type": "glob",
            "state": "running",
        }
        assert expected == await job_of(listener, "1")
        bench.returned("1", "m1", "é")
        expected["minions"]["m1"] = {"return": "é", "retcode": 0, "success": True}  # type: ignore[index]
        assert expected == await job_of(listener, "1")
        bench.returned("1", "m2", False, retcode=1, success=False)
        expected["minions"]["m2"] = {"return": False, "retcode": 1, "success": False}  # type: ignore[index]
        assert {**expected, "state": "complete"} == await job_of(listener, "1")

    @pytest.mark.parametrize(
        ("tgt", "tgt_type"),
        [("m*", "glob"), (["m1", "m2"], "list"), ("os:Debian or m2", "compound"), ("m.", "pcre")],
    )
    async def test_target_types(self, bench: Bench, tgt: Any, tgt_type: str) -> None:
        """Whatever the target, the minions are those that the master names."""
        listener = await bench.listen()
        bench.start_job("1", ["m1"], tgt=tgt, tgt_type=tgt_type)
        job = await job_of(listener, "1")
        assert (tgt, tgt_type, ["m1"]) == (job["tgt"], job["tgt_type"], list(job["minions"]))

    async def test_bytes(self, bench: Bench) -> None:
        """The text is as Salt's `json.dumps` would write it."""
        listener = await bench.listen()
        bench.start_job("1", ["m1"])
        bench.returned("1", "m1", {"a": [1, None]})
        (text,) = await listener.take()
        assert json.dumps(json.loads(text), ensure_ascii=False).encode() == text

    async def test_only_changes(self, bench: Bench) -> None:
        """A job's message holds that job; jobs from before the first look are not told."""
        early = bench.view.listen(TOKEN, minions="list")
        bench.listeners.append(early)
        listener = await bench.listen()
        bench.start_job("1", ["m1"])
        await job_of(listener, "1")
        assert shown(MINIONS) == await minions_of(early)
        bench.start_job("2", ["m1"])
        await job_of(listener, "2")
        await job_of(early, "2")

    async def test_slow_listener(self, bench: Bench) -> None:
        """Who looks seldom gets the latest state of each job, once."""
        listener = await bench.listen()
        for jid in map(str, range(5)):
            bench.start_job(jid, ["m1"])
            bench.returned(jid, "m1")
        await async_eventually(lambda: len(bench.view.jobs) == 5)
        messages = await take(listener)
        states = {jid: job["state"] for message in messages for jid, job in message["jobs"].items()}
        assert dict.fromkeys(map(str, range(5)), "complete") == states
        assert 5 == len(messages)

    async def test_one_text_for_all(self, bench: Bench) -> None:
        """Two listeners get the very same bytes object."""
        first, second = await bench.listen(), await bench.listen(OTHER)
        bench.start_job("1", ["m1"])
        assert (await first.take())[-1] is (await second.take())[-1]

    async def test_second_start(self, bench: Bench) -> None:
        """A further `new` event of a job changes nothing: it may be forged."""
        await bench.listen()
        bench.start_job("1", ["m1"])
        bench.start_job("1", ["m1", "m2"], fun="cmd.run")
        bench.returned("1", "m1")
        await async_eventually(lambda: b'"complete"' in bench.text_of("1"))
        assert b'"m2"' not in bench.text_of("1")
        assert b'"fun": "test.ping"' in bench.text_of("1")

    async def test_nonsense(self, bench: Bench) -> None:
        """Events that are no job events, or forged, change nothing and end nothing."""
        listener = await bench.listen()
        bench.start_job("1", ["m1"])
        await job_of(listener, "1")
        bench.fire("salt/job/")
        bench.fire("salt/job/1")
        bench.fire("salt/job/1/new", jid="2", minions=["m1"])
        bench.fire("salt/job/2/new", jid="2", minions="m1")
        bench.fire("salt/job/3/new", jid="3", minions=[["m1"]])
        bench.fire("salt/job/1/ret")
        bench.fire("salt/job/1/ret/m1/more", id="m1", jid="1")
        bench.fire("salt/job/1/ret/m1", id="m2", jid="1", fun="grains.items", **{"return": {}})
        bench.fire("salt/job/9/ret/m1", id="m1", jid="9")
        bench.fire("salt/job/1/error", error="no")
        bench.fire("salt/key", id=7, act="accept")
        bench.fire("salt/presence/change", new="m9", lost=None)
        bench.fire("salt/minion/m9/start", id="m8")
        bench.hub.dispatch(b"salt/key\n\n\xc1")
        bench.start_job("4", ["m1"])
        await job_of(listener, "4")
        assert ["1", "4"] == [jid for jid in "123456789" if bench.view.jobs.get(jid)]
        bench.fire("salt/key", id="m3", act="accept", result=True)
        assert ["m1", "m2", "m3"] == [minion["id"] for minion in await minions_of(listener)]


class TestLimits:
    """What is kept is bounded."""

    async def test_jobs(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        """The oldest jobs are forgotten, also for a listener that has not looked yet."""
        monkeypatch.setattr(recent, "JOBS_LIMIT", 10)
        listener = await bench.listen()
        for number in range(100):
            bench.start_job(str(number), ["m1"])
        await async_eventually(lambda: bench.view.jobs.get("99"))
        assert 10 == len(bench.view.jobs)
        messages = await take(listener)
        assert [str(n) for n in range(90, 100)] == [next(iter(m["jobs"])) for m in messages]

    async def test_bytes(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        """Jobs with much in them push out older ones sooner."""
        monkeypatch.setattr(recent, "JOBS_LIMIT_BYTES", 10_000)
        await bench.listen()
        for number in range(10):
            bench.start_job(str(number), ["m1"])
            bench.returned(str(number), "m1", "x" * 2000)
        await async_eventually(lambda: bench.view.jobs.get("9"))
        assert 4 == len(bench.view.jobs)

    async def test_returns(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        """Returns of one job that are too large are left out, and it is said; states are kept."""
        monkeypatch.setattr(recent, "RETURNS_LIMIT_BYTES", 1000)
        listener = await bench.listen()
        bench.start_job("1", ["m1", "m2", "m3"])
        bench.returned("1", "m1", "x" * 900)
        bench.returned("1", "m2", "x" * 900, retcode=3)
        bench.returned("1", "m3", "short")
        await async_eventually(lambda: b'"complete"' in bench.text_of("1"))
        job = await job_of(listener, "1")
        assert {"return": recent.OMITTED, "retcode": 3, "success": True} == job["minions"]["m2"]
        assert "short" == job["minions"]["m3"]["return"]

    async def test_big_jobs(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        """A big job that runs is told now and then; that it is complete, at once."""
        monkeypatch.setattr(live_view, "BIG_JOB_BYTES", 100)
        monkeypatch.setattr(live_view, "BIG_JOB_INTERVAL_SECONDS", 0.2)
        listener = await bench.listen()
        names = [f"m{number}" for number in range(50)]
        bench.start_job("1", names)
        told = 0
        for name in names:
            bench.returned("1", name)
        while True:
            job = await job_of(listener, "1")
            told += 1
            if job["state"] == "complete":
                break
            await asyncio.sleep(0)
        assert told < 5
        bench.start_job("2", names)
        await job_of(listener, "2")
        bench.returned("2", "m1")
        assert "return" in (await job_of(listener, "2"))["minions"]["m1"]

    async def test_minions(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        """No more minions are kept than the limit allows."""
        monkeypatch.setattr(live_view, "MINIONS_LIMIT", 3)
        listener = await bench.listen()
        bench.fire("salt/presence/change", new=["m3", "m4", "m5"], lost=[])
        assert ["m1", "m2", "m3"] == [minion["id"] for minion in await minions_of(listener)]


class TestMinions:
    """What is told of minions."""

    async def test_at_first(self, bench: Bench) -> None:
        """The first message holds the minions that are connected; then come their grains."""
        listener = bench.view.listen(TOKEN, minions="list")
        bench.listeners.append(listener)
        assert shown({"m1": {}, "m2": {}}) == await minions_of(listener)
        assert shown(MINIONS) == await minions_of(listener)

    async def test_as_a_mapping(self, bench: Bench) -> None:
        """They come as a mapping for whoever wants that."""
        listener = await bench.listen(shape="dict")
        bench.fire("salt/key", id="m2", act="delete", result=True)
        assert {"m1": {"id": "m1", "grains": {"os": "Debian"}}} == await minions_of(listener)

    async def test_keys(self, bench: Bench) -> None:
        """Accepted keys add a minion, deleted and rejected ones take it away."""
        listener = await bench.listen()
        bench.minions.grains["m3"] = {"os": "Alpine"}
        bench.fire("salt/key", id="m3", act="accept", result=True)
        await minions_until(listener, shown({**MINIONS, "m3": {"os": "Alpine"}}))
        for minion, act in (("m3", "delete"), ("m2", "reject"), ("m1", "pend")):
            bench.fire("salt/key", id=minion, act=act, result=True)
        await minions_until(listener, shown({"m1": MINIONS["m1"]}))

    async def test_presence(self, bench: Bench) -> None:
        """Minions that come and go are told."""
        listener = await bench.listen()
        bench.minions.grains["m3"] = {"os": "Alpine"}
        bench.fire("salt/presence/change", new=["m3"], lost=["m1"])
        await minions_until(listener, shown({"m2": MINIONS["m2"], "m3": {"os": "Alpine"}}))
        bench.fire("salt/presence/present", present=["m1", "m2", "m3"])
        await minions_until(
            listener,
            shown({"m2": MINIONS["m2"], "m3": {"os": "Alpine"}, "m1": MINIONS["m1"]}),
        )

    async def test_start(self, bench: Bench) -> None:
        """A minion that starts is asked for its grains again."""
        listener = await bench.listen()
        bench.minions.grains["m1"] = {"os": "Gentoo"}
        bench.fire("salt/minion/m1/start", id="m1")
        await minions_until(listener, shown({**MINIONS, "m1": {"os": "Gentoo"}}))
        assert (TOKEN, ["m1"]) == bench.minions.asked[-1]

    async def test_grains_on_the_bus(self, bench: Bench) -> None:
        """Grains that somebody else asks for are taken over."""
        listener = await bench.listen()
        bench.returned("1", "m1", {"os": "Gentoo"}, fun="grains.items")
        await minions_until(listener, shown({**MINIONS, "m1": {"os": "Gentoo"}}))

    async def test_nobody_is_seen(self, bench: Bench) -> None:
        """Where connections cannot be seen, all minions are asked, and those that answer shown."""
        bench.minions.connected = []
        listener = bench.view.listen(TOKEN, minions="list")
        bench.listeners.append(listener)
        await minions_until(listener, shown(MINIONS))
        assert [(TOKEN, [])] == bench.minions.asked


class TestGrains:
    """Who sees them, and how often minions are asked."""

    async def test_not_permitted(self, bench: Bench) -> None:
        """A token that may not read grains gets minions without, and is not asked for again."""
        bench.minions.refused = {OTHER}
        permitted, refused = await bench.listen(), await bench.listen(OTHER)
        bench.fire("salt/key", id="m2", act="delete", result=True)
        assert shown({"m1": MINIONS["m1"]}) == await minions_of(permitted)
        assert shown({"m1": {}}) == await minions_of(refused)
        bench.fire("salt/key", id="m2", act="accept", result=True)
        await minions_until(permitted, shown(MINIONS))
        assert [OTHER] == [token for token, _ in bench.minions.asked if token == OTHER]

    async def test_client_disabled(self, bench: Bench) -> None:
        """Where the client `local` is not enabled there are no grains."""
        bench.minions.errors = [ClientDisabled("no")]
        listener = await bench.listen()
        bench.fire("salt/key", id="m2", act="delete", result=True)
        assert shown({"m1": {}}) == await minions_of(listener)

    async def test_master_is_busy(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        """When the master does not answer, it is asked again later."""
        monkeypatch.setattr(grains, "RETRY_SECONDS", 0.05)
        bench.minions.errors = [MasterUnavailable("no"), MasterUnavailable("no")]
        listener = bench.view.listen(TOKEN, minions="list")
        bench.listeners.append(listener)
        await minions_until(listener, shown(MINIONS))

    async def test_nothing_new(self, bench: Bench) -> None:
        """What one listener is shown does not have others told the same again."""
        listener = await bench.listen()
        await bench.listen(OTHER)
        bench.start_job("1", ["m1"])
        assert ["jobs"] == [next(iter(message)) for message in await take(listener)]

    async def test_asked_once(self, bench: Bench) -> None:
        """Listeners with the same token, and those that come back soon, share one question."""
        listeners = [await bench.listen() for _ in range(5)]
        for listener in listeners:
            listener.close()
        again = await bench.listen()
        bench.fire("salt/key", id="m2", act="delete", result=True)
        assert shown({"m1": MINIONS["m1"]}) == await minions_of(again)
        assert [(TOKEN, ["m1", "m2"])] == bench.minions.asked

    async def test_asked_again(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        """After a while a new listener's permission is looked at anew."""
        (await bench.listen()).close()
        monkeypatch.setattr(grains, "CACHE_SECONDS", -1.0)
        await bench.listen()
        assert 2 == len(bench.minions.asked)

    async def test_silent_minion(self, bench: Bench) -> None:
        """A minion that does not answer is shown without grains."""
        bench.minions.grains["m2"] = False
        listener = bench.view.listen(TOKEN, minions="list")
        bench.listeners.append(listener)
        await minions_until(listener, shown({"m1": MINIONS["m1"], "m2": {}}))

    async def test_size(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        """Grains beyond the limit are not kept."""
        monkeypatch.setattr(grains, "GRAINS_LIMIT_BYTES", 20)
        listener = bench.view.listen(TOKEN, minions="list")
        bench.listeners.append(listener)
        await minions_until(listener, shown({"m1": MINIONS["m1"], "m2": {}}))


class TestLife:
    """When the view runs."""

    async def test_first_and_last(self, bench: Bench) -> None:
        """It listens to the bus while somebody listens to it, and forgets afterwards."""
        assert 0 == bench.hub.listeners
        first, second = await bench.listen(), await bench.listen()
        assert 1 == bench.hub.listeners
        bench.start_job("1", ["m1"])
        await job_of(first, "1")
        first.close()
        first.close()
        assert 1 == bench.hub.listeners
        second.close()
        await async_eventually(lambda: bench.hub.listeners == 0)
        assert 0 == len(bench.view.jobs)
        again = await bench.listen()
        bench.start_job("2", ["m1"])
        await job_of(again, "2")

    async def test_stop(self, bench: Bench) -> None:
        """When the service stops, listeners are told so."""
        listener = await bench.listen()
        bench.hub.close("The service is stopping.")
        with pytest.raises(ListenerClosed, match=r"^The service is stopping\.$"):
            await take(listener)

    async def test_missed_events(self, bench: Bench) -> None:
        """A view that was too slow itself begins again with the minions that are there."""
        bench.hub = new_hub(queue_bytes=100_000)
        bench.view = LiveView(
            bench.hub, connected=bench.minions.who_is_connected, ask_grains=bench.minions.ask
        )
        listener = await bench.listen()
        bench.minions.connected = ["m1", "m2", "m3"]
        for number in range(100):
            bench.fire("salt/job/x", text="x" * 10_000, number=number)
        await minions_until(listener, shown({**MINIONS, "m3": {}}))


class TestMaster:
    """On a real master with real minions."""

    async def test_permitted(self, master: PrivateMaster) -> None:
        """Minions come with their grains, jobs run through to complete."""
        async with AsyncAPIClient(config.load(master.config_dir)) as client:
            token = (await client.sessions.login(master.credentials())).token
            listener = client.view.listen(token, minions="dict")
            minions: dict[str, Any] = {}
            while set(minions) != {"minion-1", "minion-2"} or not all(
                minion["grains"] for minion in minions.values()
            ):
                minions = await minions_of(listener)
            assert "Linux" == minions["minion-1"]["grains"]["kernel"]
            result = await client.local("minion-2", "test.echo", ["é"], token=token)
            assert {"minion-2": "é"} == result
            while True:
                jobs = [m["jobs"] for m in await take(listener) if "jobs" in m]
                done = [
                    job
                    for by_jid in jobs
                    for job in by_jid.values()
                    if job["fun"] == "test.echo" and job["state"] == "complete"
                ]
                if done:
                    break
            assert ("minion-2", "glob") == (done[0]["tgt"], done[0]["tgt_type"])
            returned = {"return": "é", "retcode": 0, "success": True}
            assert {"minion-2": returned} == done[0]["minions"]
            listener.close()

    async def test_not_permitted(self, master: PrivateMaster) -> None:
        """Somebody who may not run `grains.items` sees the minions, without their grains."""
        async with AsyncAPIClient(config.load(master.config_dir)) as client:
            token = (await client.sessions.login(master.credentials("low"))).token
            listener = client.view.listen(token, minions="list")
            await async_eventually(lambda: listener.reader.refused)
            minions = await minions_of(listener)
            assert {"minion-1", "minion-2"} == {minion["id"] for minion in minions}
            assert [{}, {}] == [minion["grains"] for minion in minions]
            listener.close()
