"""`local_batch`: a few minions at a time."""

import asyncio
from functools import partial
from typing import Any

import pytest

from saltapi.engine.commands.batch import batch_size, run_batch
from saltapi.errors import MasterUnavailable, NoMinionsMatched
from saltapi.lowstate import Command
from tests.fake_master import CREDENTIALS, FakeMaster, job_request, new_hub, new_jobs
from tests.waiting import async_eventually

NEVER = 3600.0
NAMES = [f"m{number}" for number in range(6)]


class Minions(FakeMaster):
    """Minions that answer `test.ping` at once, and the command when the test lets them."""

    def __init__(self, names: list[str] = NAMES, down: tuple[str, ...] = ()) -> None:
        super().__init__(new_hub(), names)
        self.down = down
        self.busy: dict[str, str] = {}
        """The jid that each minion is at."""
        self.most = 0
        """How many were at it at once."""
        self.before_answer = self._start

    def _start(self, load: dict[str, Any], minions: list[str]) -> None:
        for minion in minions:
            if minion in self.down:
                continue
            if load["fun"] == "test.ping":
                self.returned(load["jid"], minion)
            else:
                self.busy[minion] = load["jid"]
        self.most = max(self.most, len(self.busy))

    def finish(self, minion: str, value: Any = "done", **more: Any) -> None:
        """Let *minion* end what it is at."""
        self.returned(self.busy.pop(minion), minion, value, **more)

    async def finish_all(self) -> None:
        """Let minions end, one after the other, whenever there is one."""
        while True:
            if self.busy:
                self.finish(next(iter(self.busy)))
            await asyncio.sleep(0)


def command(**more: Any) -> Command:
    options: dict[str, Any] = {"batch": "2", **more}
    return Command(client="local_batch", fun="x.y", credentials=CREDENTIALS, tgt="*", **options)


async def run(master: Minions, request: Any = None, **more: Any) -> list[dict[str, Any]]:
    request = request or job_request(fun="x.y", timeout_seconds=NEVER)
    return [element async for element in run_batch(new_jobs(master), command(**more), request)]


def groups(master: Minions) -> list[list[str]]:
    """Return the minions of each publish of the command."""
    return [load["tgt"] for load in master.loads if load["fun"] == "x.y"]


async def idle(master: Minions) -> None:
    """Wait until nobody watches a job any more."""
    await async_eventually(lambda: master.hub.watched_jobs == 0)


@pytest.mark.parametrize(
    ("batch", "minions", "expected"),
    [
        ("1", 10, 1),
        ("3", 10, 3),
        ("30", 10, 30),
        ("25%", 10, 2),
        ("100%", 10, 10),
        ("10%", 3, 1),
        ("% 50", 10, 5),
        ("33.3%", 10, 3),
        ("50%", 0, 1),
        ("3", 0, 3),
    ],
)
def test_batch_sizes(batch: str, minions: int, expected: int) -> None:
    """A number is a number of minions, a part is rounded down, and one always runs."""
    assert expected == batch_size(batch, minions)


async def test_as_many_as_the_batch_holds() -> None:
    """No more than the batch run at once, each that ends makes room for one, all get their turn."""
    master = Minions()
    finishing = asyncio.create_task(master.finish_all())
    elements = await run(master)
    finishing.cancel()
    assert dict.fromkeys(NAMES, "done") == {k: v for part in elements for k, v in part.items()}
    assert [1] * 6 == [len(element) for element in elements]
    assert 2 == master.most
    assert 2 == len(groups(master)[0])
    assert sorted(NAMES) == sorted(name for group in groups(master) for name in group)
    await idle(master)


async def test_the_ping_comes_first_with_the_same_credentials() -> None:
    """A `test.ping` without the command's arguments, returners and jid finds who is there."""
    master = Minions()
    request = job_request(
        "web*",
        "x.y",
        arg=("secret",),
        ret="smtp",
        jid="20260101000000000001",
        extra=(("delimiter", "|"), ("metadata", {"a": 1})),
        timeout_seconds=NEVER,
    )
    finishing = asyncio.create_task(master.finish_all())
    await run(master, request)
    finishing.cancel()
    ping, *rest = master.loads
    assert ("test.ping", [], "", "web*", {"delimiter": "|"}, CREDENTIALS) == (
        ping["fun"],
        ping["arg"],
        ping["ret"],
        ping["tgt"],
        ping["extra"],
        ping["credentials"],
    )
    for load in rest:
        assert ("list", ["secret"], "smtp", {"a": 1}) == (
            load["tgt_type"],
            load["arg"],
            load["ret"],
            load["extra"]["metadata"],
        )
    assert len(master.loads) == len({load["jid"] for load in master.loads})


async def test_minions_that_are_down_are_left_out() -> None:
    """Who does not answer the ping does not run, and takes no room."""
    master = Minions(down=("m1", "m3"))
    finishing = asyncio.create_task(master.finish_all())
    request = job_request(fun="x.y", timeout_seconds=0.2)
    elements = await run(master, request)
    finishing.cancel()
    assert {"m0", "m2", "m4", "m5"} == {name for element in elements for name in element}


async def test_nobody_there() -> None:
    """A target that matches nobody, or nobody who is up, gives nothing."""
    assert [] == await run(Minions([]))
    assert [] == await run(Minions(down=tuple(NAMES)), job_request(fun="x.y"))


async def test_a_minion_that_is_lost_gives_an_empty_return() -> None:
    """Who answered the ping and then stays silent gives `{minion: {}}` and makes room."""
    master = Minions()
    collecting = asyncio.create_task(run(master, job_request(fun="x.y")))
    elements = await collecting
    assert [{name: {}} for name in NAMES] == sorted(elements, key=lambda part: next(iter(part)))
    await idle(master)


async def test_batch_wait_keeps_the_room_free() -> None:
    """With `batch_wait` the next minion starts that much later."""
    master = Minions()
    collecting = asyncio.create_task(run(master, batch_wait_seconds=0.2))
    await async_eventually(lambda: len(master.busy) == 2)
    loop = asyncio.get_running_loop()
    ended = loop.time()
    for minion in list(master.busy):
        master.finish(minion)
    await async_eventually(lambda: master.busy)
    assert loop.time() >= ended + 0.2
    finishing = asyncio.create_task(master.finish_all())
    assert 6 == len(await collecting)
    finishing.cancel()


@pytest.mark.parametrize("failure", [{"retcode": 1}, {"retcode": 2, "success": False}])
async def test_failhard_ends_with_the_first_failure(failure: dict[str, Any]) -> None:
    """With `failhard` nothing starts after a failure; what runs is no longer waited for."""
    master = Minions()
    collecting = asyncio.create_task(run(master, failhard=True))
    await async_eventually(lambda: len(master.busy) == 2)
    master.finish("m0", "broken", **failure)
    assert [{"m0": "broken"}] == await collecting
    assert [["m0", "m1"]] == groups(master)
    await idle(master)


async def test_failhard_ends_with_the_first_silence() -> None:
    """A minion that is lost counts as a failure."""
    elements = await run(Minions(), job_request(fun="x.y"), failhard=True)
    assert 1 == len(elements)


async def test_failures_do_not_end_the_batch_by_themselves() -> None:
    """Without `failhard` all minions get their turn."""
    master = Minions()
    collecting = asyncio.create_task(run(master))
    for name in NAMES:
        await async_eventually(partial(master.busy.__contains__, name))
        master.finish(name, "broken", retcode=1)
    assert [{name: "broken"} for name in NAMES] == await collecting


async def test_raw() -> None:
    """With `raw` each element is the return event, also for a minion that is lost."""
    master = Minions(["m0", "m1"])
    request = job_request(fun="x.y", timeout_seconds=0.2)
    collecting = asyncio.create_task(run(master, request, raw=True))
    await async_eventually(lambda: len(master.busy) == 2)
    jid = master.busy["m0"]
    master.finish("m0", 5)
    tags, data = zip(*((part["tag"], part["data"]) for part in await collecting), strict=True)
    assert (f"salt/job/{jid}/ret/m0", f"salt/job/{jid}/ret/m1") == tags
    assert (5, {"id": "m1", "return": {}, "retcode": 0}) == (data[0]["return"], data[1])


async def test_elements_come_as_they_come() -> None:
    """Each element can be read before the next minion has ended."""
    master = Minions()
    request = job_request(fun="x.y", timeout_seconds=NEVER)
    batch: Any = run_batch(new_jobs(master), command(), request)
    reading = asyncio.ensure_future(anext(batch))
    await async_eventually(lambda: len(master.busy) == 2)
    assert not reading.done()
    master.finish("m1")
    assert {"m1": "done"} == await reading
    await batch.aclose()
    await idle(master)


async def test_an_error_at_the_start_is_the_callers() -> None:
    """What publishing raises reaches who reads the batch; a target without minions does not."""
    master = Minions()
    master.error = MasterUnavailable("away")
    with pytest.raises(MasterUnavailable):
        await run(master)
    master.error = NoMinionsMatched("none")
    assert [] == await run(master)
    await idle(master)


async def test_an_error_of_a_group_ends_the_batch() -> None:
    """When a later publish fails the batch ends with its error and leaves nothing behind."""
    master = Minions()
    request = job_request(fun="x.y", timeout_seconds=NEVER)
    batch: Any = run_batch(new_jobs(master), command(), request)
    reading = asyncio.ensure_future(anext(batch))
    await async_eventually(lambda: len(master.busy) == 2)
    master.error = MasterUnavailable("away")
    master.finish("m0")
    assert {"m0": "done"} == await reading
    with pytest.raises(MasterUnavailable):
        await anext(batch)
    await idle(master)
    await async_eventually(lambda: len(asyncio.all_tasks()) == 1)


async def test_a_return_of_another_minion_is_no_turn() -> None:
    """A minion that was not asked makes no room and shows nothing."""
    master = Minions(["m0", "m1"])
    collecting = asyncio.create_task(run(master, batch="1"))
    await async_eventually(lambda: "m0" in master.busy)
    master.returned(master.busy["m0"], "m1", "too early")
    master.returned(master.busy["m0"], "stranger", "?")
    master.finish("m0")
    await async_eventually(lambda: "m1" in master.busy)
    master.finish("m1")
    assert [{"m0": "done"}, {"m1": "done"}] == await collecting
