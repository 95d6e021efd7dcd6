"""Following a job over the hub."""

import asyncio
from typing import Any

import pytest

from saltapi.bridge.jobs.jobs import Job, Return
from saltapi.bridge.jobs.states import MinionState
from saltapi.errors import (
    AuthorizationFailed,
    Conflict,
    InvalidChunk,
    MasterUnavailable,
    NoMinionsMatched,
)
from tests.fake_master import (
    CREDENTIALS,
    FakeMaster,
    FakePresence,
    job_request,
    new_hub,
    new_jobs,
)
from tests.waiting import async_eventually, scaled

NEVER = 3600.0
JID = "20260101000000000001"


@pytest.fixture
def master() -> FakeMaster:
    return FakeMaster(new_hub(), ["a", "b", "c"])


async def collect(job: Job) -> list[Return]:
    """Return everything that the job yields, and close it."""
    async with asyncio.timeout(scaled(30)), job:
        return [found async for found in job]


def states(returns: list[Return]) -> dict[str, MinionState]:
    assert len(returns) == len({found.minion for found in returns}), "a minion came twice"
    return {found.minion: found.state for found in returns}


def values(returns: list[Return]) -> dict[str, Any]:
    return {found.minion: found.data.get("return") for found in returns}


# Returns


async def test_every_minion_returns(master: FakeMaster) -> None:
    """The job ends when all have returned, without waiting and without a question."""
    job = await new_jobs(master).start(job_request(timeout_seconds=NEVER))
    assert {"a", "b", "c"} == job.pending
    for minion, value in {"a": True, "b": None, "c": {"x": [1]}}.items():
        master.returned(job.jid, minion, value)
    assert {"a": True, "b": None, "c": {"x": [1]}} == values(await collect(job))
    assert ([], 0) == (master.questions, master.hub.watched_jobs)


async def test_returns_come_as_they_come(master: FakeMaster) -> None:
    """Each return can be read before the next one is there."""
    job = await new_jobs(master).start(job_request(timeout_seconds=NEVER))
    async with job:
        returns = aiter(job)
        for minion in ("b", "c", "a"):
            reading = asyncio.ensure_future(anext(returns))
            await asyncio.sleep(0)
            assert not reading.done()
            master.returned(job.jid, minion)
            assert minion == (await reading).minion
        with pytest.raises(StopAsyncIteration):
            await anext(returns)


async def test_returns_before_the_publish_is_answered(master: FakeMaster) -> None:
    """A minion that is faster than the master's answer is not missed."""

    def answer_at_once(load: dict[str, Any], minions: list[str]) -> None:
        for minion in minions:
            master.returned(load["jid"], minion)

    master.before_answer = answer_at_once
    job = await new_jobs(master).start(job_request(timeout_seconds=NEVER))
    assert set() == job.pending
    assert {"a": True, "b": True, "c": True} == values(await collect(job))


@pytest.mark.parametrize(
    "more", [{"retcode": 1}, {"success": False}, {"retcode": [0, 2]}, {"retcode": {"x": 1}}]
)
async def test_failures(master: FakeMaster, more: dict[str, Any]) -> None:
    """A return with an error code is a return that failed."""
    job = await new_jobs(master).start(job_request(["a"], tgt_type="list", timeout_seconds=NEVER))
    master.returned(job.jid, "a", "no", **more)
    assert {"a": MinionState.FAILED} == states(await collect(job))


async def test_a_second_return_changes_nothing(master: FakeMaster) -> None:
    """Only the first return of a minion counts, before and after it was read."""
    job = await new_jobs(master).start(job_request(timeout_seconds=NEVER))
    master.returned(job.jid, "a", 1)
    master.returned(job.jid, "a", 2)
    async with job:
        returns = aiter(job)
        first = await anext(returns)
        master.returned(job.jid, "a", 3)
        for minion in ("b", "c"):
            master.returned(job.jid, minion)
        rest = [found async for found in returns]
    assert (1, {"b": True, "c": True}) == (first.data["return"], values(rest))


async def test_returns_of_other_jobs(master: FakeMaster) -> None:
    """A return for a jid that nobody waits for, or somebody else does, is harmless."""
    jobs = new_jobs(master)
    one = await jobs.start(job_request(timeout_seconds=NEVER))
    other = await jobs.start(job_request(timeout_seconds=NEVER))
    master.returned(JID, "a", "unknown")
    for minion in ("a", "b", "c"):
        master.returned(other.jid, minion, "other")
        master.returned(one.jid, minion, "one")
    assert {"one"} == set(values(await collect(one)).values())
    assert {"other"} == set(values(await collect(other)).values())


@pytest.mark.parametrize(
    "data",
    [
        {"id": "a", "return": "forged"},
        {"return": "forged"},
        {"id": None, "return": "forged"},
        {"id": ["evil"], "return": "forged"},
        {"id": "evil"},
        {"id": "evil", "resource_id": "a", "return": "forged"},
        {"id": "a", "resource_id": "evil", "return": "forged"},
        {b"id": "evil"},
        ["evil"],
        None,
    ],
)
async def test_a_minion_cannot_answer_for_another(master: FakeMaster, data: Any) -> None:
    """A return counts only for the minion that its tag and its id agree on."""
    job = await new_jobs(master).start(job_request(timeout_seconds=NEVER))
    for minion in ("b", "c"):
        master.returned(job.jid, minion)
    master.fire(f"salt/job/{job.jid}/ret/evil", data)
    assert {"a"} == job.pending
    master.returned(job.jid, "a", "true")
    assert {"a": "true", "b": True, "c": True} == {
        minion: value for minion, value in values(await collect(job)).items() if minion != "evil"
    }


@pytest.mark.parametrize(
    ("tag", "data"),
    [
        ("salt/job/{jid}/ret/a", {"id": "a"}),
        ("salt/job/{jid}/ret/a", "text"),
        ("salt/job/{jid}/ret", {"id": "a", "return": 1}),
        ("salt/job/{jid}/ret/a/b", {"id": "a", "return": 1}),
        ("salt/job/{jid}/prog/a/1", {"id": "a", "return": 1}),
        ("salt/job/{jid}/error", {"id": "a", "return": 1}),
        ("salt/job/{jid}/new", {"minions": "abc", "missing": 5}),
        ("salt/job/{jid}/new", {"minions": [1, None, ["x"]]}),
        ("salt/job/{jid}/new", None),
        ("syndic/x/{jid}", {"minions": {"a": 1}}),
        ("salt/run/{jid}/ret/a", {"id": "a", "return": 1}),
    ],
)
async def test_odd_events_are_harmless(master: FakeMaster, tag: str, data: Any) -> None:
    """Events of the job that are no returns change nothing that is waited for."""
    job = await new_jobs(master).start(job_request(timeout_seconds=NEVER))
    master.fire(tag.format(jid=job.jid), data)
    assert {"a", "b", "c"} == job.pending
    job.close()


async def test_undecodable_returns_are_harmless(master: FakeMaster) -> None:
    """A return whose data is damaged is as good as none."""
    job = await new_jobs(master).start(job_request(timeout_seconds=NEVER))
    master.hub.dispatch(f"salt/job/{job.jid}/ret/a\n\n".encode() + b"\xc1")
    assert {"a", "b", "c"} == job.pending
    job.close()


async def test_minion_ids_are_data(master: FakeMaster) -> None:
    """A minion id may hold slashes and anything else."""
    master.minions = ["x/y/z", "a\nb", "ü", "salt/job/1/ret/a"]
    job = await new_jobs(master).start(job_request(timeout_seconds=NEVER))
    for minion in master.minions:
        master.returned(job.jid, minion)
    assert set(master.minions) == set(values(await collect(job)))


async def test_minions_that_nobody_expected(master: FakeMaster) -> None:
    """What a minion returns that the master did not list is shown (it sits behind a syndic)."""
    job = await new_jobs(master).start(job_request(timeout_seconds=NEVER))
    for minion in ("a", "x", "b", "c"):
        master.returned(job.jid, minion)
    assert {"a", "b", "c", "x"} == set(values(await collect(job)))


async def test_a_job_cache_with_jids_of_its_own(master: FakeMaster) -> None:
    """Where the master makes the jid, its jid is followed."""
    master.answer_jid = JID
    job = await new_jobs(master).start(job_request(timeout_seconds=NEVER))
    assert JID == job.jid
    for minion in ("a", "b", "c"):
        master.returned(JID, minion)
    assert {"a": True, "b": True, "c": True} == values(await collect(job))
    assert 0 == master.hub.watched_jobs


# The silent


async def test_the_silent_are_asked_and_given_up(master: FakeMaster) -> None:
    """Who does not return in `timeout` is asked once, and given up after the second time."""
    job = await new_jobs(master).start(job_request())
    master.returned(job.jid, "a")
    returns = await collect(job)
    assert {
        "a": MinionState.RETURNED,
        "b": MinionState.NO_RESPONSE,
        "c": MinionState.NO_RESPONSE,
    } == states(returns)
    assert ["a", "b", "c"] == [found.minion for found in returns]
    assert [True, False, False] == [not found.silent for found in returns]
    (question,) = master.questions
    assert (["b", "c"], "list", "saltutil.find_job", [job.jid], CREDENTIALS) == (
        question["tgt"],
        question["tgt_type"],
        question["fun"],
        question["arg"],
        question["credentials"],
    )
    assert 0 == master.hub.watched_jobs


async def test_who_says_that_it_runs_is_waited_for(master: FakeMaster) -> None:
    """A minion that is at it is asked again and again, and its return comes in the end."""
    master.running = {"b"}
    job = await new_jobs(master).start(job_request())
    for minion in ("a", "c"):
        master.returned(job.jid, minion)
    collecting = asyncio.create_task(collect(job))
    await async_eventually(lambda: len(master.questions) >= 3)
    assert MinionState.RUNNING == job.state("b")
    assert [["b"]] * 3 == [question["tgt"] for question in master.questions[:3]]
    master.returned(job.jid, "b", "at last")
    assert "at last" == values(await collecting)["b"]
    assert 0 == master.hub.watched_jobs


async def test_who_stops_running_without_a_return_is_given_up(master: FakeMaster) -> None:
    """A minion that was at it and no longer is does not hold the job for ever."""
    master.running = {"b"}
    job = await new_jobs(master).start(job_request())
    collecting = asyncio.create_task(collect(job))
    await async_eventually(lambda: len(master.questions) >= 2)
    master.running, master.idle = set(), {"a", "b", "c"}
    assert {MinionState.NO_RESPONSE} == set(states(await collecting).values())


async def test_one_that_runs_holds_the_job_for_all(master: FakeMaster) -> None:
    """As long as one minion is at it, late returns of the silent ones count too."""
    master.running = {"b"}
    job = await new_jobs(master).start(job_request())
    collecting = asyncio.create_task(collect(job))
    await async_eventually(lambda: len(master.questions) >= 2)
    for minion in ("a", "b", "c"):
        master.returned(job.jid, minion)
    assert {MinionState.RETURNED} == set(states(await collecting).values())


@pytest.mark.parametrize(
    "answer",
    [
        {"id": "b", "return": {}, "retcode": 0},
        {"id": "b", "return": {"jid": JID}, "retcode": 1},
        {"id": "b", "return": "Exception occurred", "retcode": 0},
        {"id": "b", "return": {"return": {}}, "retcode": 0},
        {"id": "a", "return": {"jid": JID}, "retcode": 0},
        {"id": "b", "retcode": 0},
        "text",
    ],
)
async def test_answers_that_do_not_say_running(master: FakeMaster, answer: Any) -> None:
    """Only a minion's own answer that names the job keeps the job waiting."""
    job = await new_jobs(master).start(job_request())
    collecting = asyncio.create_task(collect(job))
    await async_eventually(lambda: master.questions)
    master.fire(f"salt/job/{master.questions[0]['jid']}/ret/b", answer)
    await collecting
    assert 1 == len(master.questions)


async def test_a_late_answer_counts(master: FakeMaster) -> None:
    """A minion may answer the question long after it was published."""
    request = job_request(gather_job_timeout_seconds=scaled(0.5))
    job = await new_jobs(master).start(request)
    collecting = asyncio.create_task(collect(job))
    await async_eventually(lambda: master.questions)
    master.returned(master.questions[0]["jid"], "c", {"jid": job.jid})
    assert MinionState.RUNNING == job.state("c")
    await async_eventually(lambda: len(master.questions) == 2)
    collecting.cancel()
    await asyncio.wait({collecting})
    assert 0 == master.hub.watched_jobs


async def test_who_tells_of_its_states_is_waited_for(master: FakeMaster) -> None:
    """A minion that tells of a state after it was asked is not given up, whenever it answers."""
    request = job_request(gather_job_timeout_seconds=scaled(0.5))
    job = await new_jobs(master).start(request)
    collecting = asyncio.create_task(collect(job))
    await async_eventually(lambda: master.questions)
    told = {"len": 3, "ret": {"result": True, "changes": {}, "comment": "", "__id__": "x"}}
    forged = {"id": "a", "jid": job.jid, "data": told}
    master.fire(f"salt/job/{job.jid}/prog/c/0", forged)
    assert MinionState.WAITING == job.state("c")
    master.fire(f"salt/job/{job.jid}/prog/b/0", {**forged, "id": "b"})
    assert MinionState.RUNNING == job.state("b")
    await async_eventually(lambda: len(master.questions) == 2)
    master.returned(job.jid, "b", "late")
    assert "late" == values(await collecting)["b"]


@pytest.mark.parametrize(
    "error", [MasterUnavailable("away"), AuthorizationFailed("no"), NoMinionsMatched("none")]
)
async def test_a_question_that_fails_is_no_failure(master: FakeMaster, error: Exception) -> None:
    """A job ends in its time also when nobody can be asked."""
    job = await new_jobs(master).start(job_request())
    master.error = error
    assert {MinionState.NO_RESPONSE} == set(states(await collect(job)).values())


async def test_the_gone_are_told_from_the_silent(master: FakeMaster) -> None:
    """A silent minion without a connection is called so."""
    presence = FakePresence()
    presence.gone = {"b"}
    job = await new_jobs(master, presence).start(job_request())
    assert {
        "a": MinionState.NO_RESPONSE,
        "b": MinionState.NOT_CONNECTED,
        "c": MinionState.NO_RESPONSE,
    } == states(await collect(job))


async def test_a_return_in_the_last_moment_counts(master: FakeMaster) -> None:
    """What comes while we look who is connected is a return, not a silence."""
    presence = FakePresence()
    job = await new_jobs(master, presence).start(job_request())
    presence.look = lambda: master.returned(job.jid, "b", "just in time")
    returns = await collect(job)
    assert ("just in time", 3) == (values(returns)["b"], len(returns))
    assert MinionState.RETURNED == states(returns)["b"]


async def test_a_return_after_the_end_is_harmless(master: FakeMaster) -> None:
    """Who was given up stays given up."""
    job = await new_jobs(master).start(job_request())
    async with job:
        returns = aiter(job)
        first = await anext(returns)
        for minion in ("a", "b", "c"):
            master.returned(job.jid, minion)
        rest = [found async for found in returns]
    assert {MinionState.NO_RESPONSE} == set(states([first, *rest]).values())
    master.returned(job.jid, "a")


async def test_syndics_are_never_silent(master: FakeMaster) -> None:
    """A syndic does not return by itself, and nobody complains."""
    presence = FakePresence()
    presence.syndics = {"b"}
    job = await new_jobs(master, presence).start(job_request())
    assert {"a", "c"} == set(states(await collect(job)))


async def test_names_that_the_master_does_not_know() -> None:
    """Unknown names of a list target come as missing, after the others."""
    master = FakeMaster(new_hub(), ["a"], missing=("ghost",))
    job = await new_jobs(master).start(job_request(["a", "ghost"], tgt_type="list"))
    master.returned(job.jid, "a")
    returns = await collect(job)
    assert [("a", False), ("ghost", True)] == [(found.minion, found.missing) for found in returns]
    assert [] == master.questions


async def test_a_missing_name_that_returns_is_not_missing() -> None:
    """Who returns is there, whatever the master thought."""
    master = FakeMaster(new_hub(), ["a"], missing=("ghost",))
    job = await new_jobs(master).start(job_request(["a", "ghost"], tgt_type="list"))
    master.returned(job.jid, "ghost")
    master.returned(job.jid, "a")
    assert {"a": False, "ghost": False} == {
        found.minion: found.missing for found in await collect(job)
    }


async def test_times_of_the_config(master: FakeMaster) -> None:
    """Without times in the request those of the master's config count, and 0 is a time."""
    jobs = new_jobs(master, timeout=7, gather_job_timeout=9)
    own = job_request(timeout_seconds=None, gather_job_timeout_seconds=None)
    zero = job_request(timeout_seconds=0.0, gather_job_timeout_seconds=0.0)
    assert [7.0, 9.0, 0.0, 0.0] == [
        jobs.timeout_seconds(own),
        jobs.gather_job_timeout_seconds(own),
        jobs.timeout_seconds(zero),
        jobs.gather_job_timeout_seconds(zero),
    ]
    assert 3 == len(await collect(await jobs.start(zero)))


# Syndics


async def test_minions_behind_syndics(master: FakeMaster) -> None:
    """With `order_masters` the minions that syndics add are waited for as well."""
    jobs = new_jobs(master, order_masters=True, syndic_wait=0.3)
    job = await jobs.start(job_request(timeout_seconds=NEVER))
    for minion in ("a", "b", "c"):
        master.returned(job.jid, minion)
    collecting = asyncio.create_task(collect(job))
    await asyncio.sleep(0)
    master.fire(f"syndic/s/{job.jid}", {"minions": ["x", "y"]})
    assert {"x", "y"} == job.pending
    for minion in ("x", "y"):
        master.returned(job.jid, minion)
    assert {"a", "b", "c", "x", "y"} == set(values(await collecting))
    assert NEVER == master.loads[0]["to_seconds"]


# Publishing


@pytest.mark.parametrize(
    "error", [NoMinionsMatched("none"), MasterUnavailable("away"), ZeroDivisionError()]
)
async def test_a_failed_publish_leaves_nothing(master: FakeMaster, error: Exception) -> None:
    """The error is the caller's, and nobody waits any more."""
    master.error = error
    with pytest.raises(type(error)):
        await new_jobs(master).start(job_request())
    assert 0 == master.hub.watched_jobs


async def test_a_cancelled_publish_leaves_nothing(master: FakeMaster) -> None:
    """Who gives up during the publish leaves no watcher behind."""
    starting = asyncio.create_task(new_jobs(master).start(job_request()))
    await asyncio.sleep(0)
    assert (1, 1) == (len(master.loads), master.hub.watched_jobs)
    starting.cancel()
    await asyncio.wait({starting})
    assert (True, 0) == (starting.cancelled(), master.hub.watched_jobs)


@pytest.mark.parametrize("tag", ["salt/job/{jid}/new", "syndic/s/{jid}"])
async def test_forged_minions(master: FakeMaster, tag: str) -> None:
    """Whom the master expects is in its answer: no event adds minions that are waited for."""
    job = await new_jobs(master).start(job_request())
    expected = set(job.minions)
    master.fire(tag.format(jid=job.jid), {"minions": ["ghost"], "missing": ["spirit"]})
    assert (expected, set()) == (job.minions, job.missing)
    job.close()


async def test_a_jid_of_ones_own(master: FakeMaster) -> None:
    """A request may bring its jid; one that is being waited for is refused."""
    jobs = new_jobs(master)
    job = await jobs.start(job_request(jid=JID))
    assert (JID, JID) == (job.jid, master.loads[0]["jid"])
    for publish in (jobs.start, jobs.publish):
        with pytest.raises(Conflict, match="no other job"):
            await publish(job_request(jid=JID))
    job.close()
    assert JID == (await jobs.publish(job_request(jid=JID))).jid


async def test_jids_are_salts_and_unique(master: FakeMaster) -> None:
    """Jids have 20 digits and never repeat."""
    jobs = new_jobs(master)
    jids = [jobs.new_jid() for _ in range(1000)]
    assert (1000, {20}) == (len(set(jids)), {len(jid) for jid in jids})


async def test_the_external_job_cache_gets_the_returns(master: FakeMaster) -> None:
    """`ext_job_cache` is added to the returners of the request."""
    jobs = new_jobs(master, ext_job_cache="redis")
    await jobs.publish(job_request(ret="smtp"))
    await jobs.publish(job_request())
    assert ["smtp,redis", "redis"] == [load["ret"] for load in master.loads]


async def test_nodegroups_are_resolved_here(master: FakeMaster) -> None:
    """The master gets a compound target; an unknown group is an error with its name."""
    jobs = new_jobs(master, nodegroups={"web": "L@a,b or N@db", "db": ["c"]})
    await jobs.publish(job_request("web", tgt_type="nodegroup"))
    await jobs.publish(job_request("N@db and a", tgt_type="compound"))
    await jobs.publish(job_request(["a", "or", "b"], tgt_type="compound"))
    assert ["compound"] * 3 == [load["tgt_type"] for load in master.loads]
    assert "a or b" == master.loads[2]["tgt"]
    assert "N@" not in "".join(load["tgt"] for load in master.loads)
    with pytest.raises(InvalidChunk, match="no nodegroup 'x'"):
        await jobs.publish(job_request("x", tgt_type="nodegroup"))


async def test_publish_waits_for_nothing(master: FakeMaster) -> None:
    """An asynchronous job is not followed."""
    published = await new_jobs(master).publish(job_request())
    assert (("a", "b", "c"), 0) == (published.minions, master.hub.watched_jobs)


# Many


async def test_two_thousand_jobs_wait_at_once() -> None:
    """Two thousand jobs wait in one process, and each gets its own returns."""
    master = FakeMaster(new_hub(), [f"m{number}" for number in range(5)])
    jobs = new_jobs(master)

    async def run(number: int) -> dict[str, Any]:
        job = await jobs.start(job_request(timeout_seconds=NEVER))
        started[number] = job.jid
        return values(await collect(job))

    started: dict[int, str] = {}
    tasks = [asyncio.create_task(run(number)) for number in range(2000)]
    await async_eventually(lambda: len(started) == 2000)
    assert (2000, set()) == (master.hub.watched_jobs, {task for task in tasks if task.done()})
    for minion in master.minions:
        for number, jid in started.items():
            master.returned(jid, minion, number)
            master.returned(jid, minion, "again")
    for number, result in enumerate(await asyncio.gather(*tasks)):
        assert dict.fromkeys(master.minions, number) == result
    assert 0 == master.hub.watched_jobs


async def test_a_job_for_many_minions() -> None:
    """Twenty thousand minions that return one by one are all collected, in good time."""
    master = FakeMaster(new_hub(history_bytes=0), [f"m{number}" for number in range(20_000)])
    job = await new_jobs(master).start(job_request(timeout_seconds=NEVER))
    collecting = asyncio.create_task(collect(job))
    for minion in master.minions:
        master.returned(job.jid, minion)
        await asyncio.sleep(0)
    assert 20_000 == len(await collecting)


async def test_who_stops_reading_leaves_nothing(master: FakeMaster) -> None:
    """Closing a job, also in the middle of a question, leaves no watcher and no task."""
    master.running = {"a"}
    job = await new_jobs(master).start(job_request())
    async with job:
        reading = asyncio.ensure_future(anext(aiter(job)))
        await async_eventually(lambda: master.questions)
        reading.cancel()
        await asyncio.wait({reading})
    job.close()
    await async_eventually(lambda: len(asyncio.all_tasks()) == 1)
    assert 0 == master.hub.watched_jobs


def test_requests_show_no_credentials() -> None:
    """The text form of a request holds no token."""
    assert str(CREDENTIALS.token) not in repr(job_request())
