"""Runner and wheel functions by way of the master."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from saltapi.bridge.bus.hub import Hub
from saltapi.bridge.requests.calls import MasterCalls
from saltapi.errors import AuthorizationFailed, CommandTimeout
from tests.fake_master import CREDENTIALS, frame_body, new_hub
from tests.waiting import async_eventually

NEVER = 3600.0


class FakeMaster:
    """Starts runner and wheel functions; a test says what happens meanwhile."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.started: list[str] = []
        self.error: Exception | None = None
        self.meanwhile: Callable[[str], None] = lambda _: None
        """Called with the jid before the master answers."""
        self.ends = asyncio.Event()
        """When wheel functions end."""
        self.ends.set()

    def fire(self, tag: str, **data: Any) -> None:
        self.hub.dispatch(frame_body(tag, data))

    async def runner(self, fun: str, *_: Any) -> str:
        jid = self._start(fun)
        await asyncio.sleep(0)
        self.meanwhile(jid)
        return jid

    async def wheel(self, fun: str, *_: Any) -> dict[str, Any]:
        jid = self._start(fun)
        await asyncio.sleep(0)
        self.meanwhile(jid)
        await self.ends.wait()
        return {"tag": f"salt/wheel/{jid}", "data": {"jid": jid, "return": fun}}

    def _start(self, fun: str) -> str:
        if self.error is not None:
            raise self.error
        self.started.append(fun)
        return f"{len(self.started):020}"


@pytest.fixture
def hub() -> Hub:
    return new_hub()


@pytest.fixture
async def master(hub: Hub) -> FakeMaster:
    return FakeMaster(hub)


@pytest.fixture
def calls(hub: Hub, master: FakeMaster) -> MasterCalls:
    return MasterCalls(hub, master)  # type: ignore[arg-type]


async def run(calls: MasterCalls, timeout_seconds: float = NEVER) -> Any:
    data = await calls.runner("test.arg", [], {}, CREDENTIALS, timeout_seconds=timeout_seconds)
    return data["return"]


async def start(calls: MasterCalls, fun: str = "key.accept", user: str = "fred") -> str:
    return await calls.start_wheel(fun, {}, CREDENTIALS, user)


def nothing_left(hub: Hub) -> bool:
    return (0, 0) == (hub.listeners, hub.watched_jobs)


async def test_a_runner_returns(hub: Hub, master: FakeMaster, calls: MasterCalls) -> None:
    """The data of the `ret` event of the runner's own jid is returned, and of no other."""
    running = asyncio.create_task(run(calls))
    await async_eventually(lambda: hub.watched_jobs == 1)
    master.fire(f"salt/run/{2:020}/ret", **{"return": "another"})
    master.fire(f"salt/run/{1:020}/new", **{"return": "new"})
    master.fire(f"salt/job/{1:020}/ret/m", **{"return": "job"})
    master.fire(f"salt/run/{1:020}/ret", **{"return": "mine"})
    master.fire(f"salt/run/{1:020}/ret", **{"return": "again"})
    assert "mine" == await running
    assert nothing_left(hub)


async def test_a_runner_that_is_faster_than_the_masters_answer(
    hub: Hub, master: FakeMaster, calls: MasterCalls
) -> None:
    """A return that comes before anybody knows the jid is not missed."""
    master.meanwhile = lambda jid: master.fire(f"salt/run/{jid}/ret", **{"return": jid})
    assert [f"{number:020}" for number in range(1, 51)] == await asyncio.gather(
        *(run(calls) for _ in range(50))
    )
    assert nothing_left(hub)


async def test_a_runner_that_takes_too_long(hub: Hub, calls: MasterCalls) -> None:
    """After its time a runner is left to itself; the error names its jid."""
    with pytest.raises(CommandTimeout, match=f"'{1:020}' timed out"):
        await run(calls, timeout_seconds=0.05)
    assert nothing_left(hub)


async def test_a_runner_that_is_refused(hub: Hub, master: FakeMaster, calls: MasterCalls) -> None:
    """The master's error is the caller's, and nobody waits any more."""
    master.error = AuthorizationFailed("no")
    with pytest.raises(AuthorizationFailed):
        await run(calls)
    assert nothing_left(hub)


async def test_a_runner_that_is_given_up(hub: Hub, calls: MasterCalls) -> None:
    """Who is cancelled leaves no watcher behind."""
    running = asyncio.create_task(run(calls))
    await async_eventually(lambda: hub.watched_jobs == 1)
    running.cancel()
    await asyncio.wait({running})
    assert nothing_left(hub)


async def test_a_wheel_function_is_started(
    hub: Hub, master: FakeMaster, calls: MasterCalls
) -> None:
    """The jid of the function's own `new` event is returned while it still runs."""
    master.ends.clear()

    def begin(jid: str) -> None:
        master.fire(f"salt/wheel/{7:020}/new", fun="wheel.key.accept", user="jane")
        master.fire(f"salt/wheel/{8:020}/new", fun="wheel.key.delete", user="fred")
        master.fire(f"salt/wheel/{jid}/new", fun="wheel.key.accept", user="fred")

    master.meanwhile = begin
    assert f"{1:020}" == await start(calls)
    assert nothing_left(hub)
    calls.close()
    await async_eventually(lambda: len(asyncio.all_tasks()) == 1)


async def test_a_wheel_function_without_a_new_event(
    hub: Hub, master: FakeMaster, calls: MasterCalls
) -> None:
    """Without a `new` event the answer has the jid, also when the hub closes meanwhile."""
    assert f"{1:020}" == await start(calls)
    master.ends.clear()
    starting = asyncio.create_task(start(calls))
    await async_eventually(lambda: hub.listeners == 1)
    hub.close("The service is stopping.")
    assert not starting.done()
    master.ends.set()
    assert f"{2:020}" == await starting
    assert nothing_left(hub)


async def test_a_wheel_function_that_is_refused(
    hub: Hub, master: FakeMaster, calls: MasterCalls
) -> None:
    """Wrong credentials are an error and not a jid."""
    master.error = AuthorizationFailed("no")
    with pytest.raises(AuthorizationFailed):
        await start(calls)
    assert nothing_left(hub)


async def test_starts_of_one_user_do_not_mix(
    hub: Hub, master: FakeMaster, calls: MasterCalls
) -> None:
    """Each start gets its own jid, in whatever order they come; nothing is kept of them."""
    master.ends.clear()
    users = iter(["fred"] * 20)
    master.meanwhile = lambda jid: master.fire(
        f"salt/wheel/{jid}/new", fun="wheel.key.accept", user=next(users)
    )
    jids = await asyncio.gather(*(start(calls) for _ in range(20)))
    assert [f"{number:020}" for number in range(1, 21)] == jids
    assert 0 == len(calls._wheel_starts)
    master.ends.set()
    await async_eventually(lambda: len(asyncio.all_tasks()) == 1)


async def test_too_many_events_while_a_wheel_function_starts(master: FakeMaster) -> None:
    """If the `new` events cannot be followed the answer decides."""
    calls = MasterCalls(new_hub(queue_bytes=1), master)  # type: ignore[arg-type]
    master.hub = calls._hub

    def fire_many(_: str) -> None:
        for number in range(10):
            master.fire(f"salt/wheel/{number}/new", x="x" * 1000)

    master.meanwhile = fire_many
    assert f"{1:020}" == await start(calls)
