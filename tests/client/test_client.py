"""The library, at `/v1`, at the classic URLs here, and at Salt's own salt-api."""

import asyncio
import inspect
import threading
import uuid
from typing import Any

import pytest

from saltapi_client import AsyncClient, Client, errors
from saltapi_client.records import Event, JobStarted, MinionReturn, Summary
from tests.apis import ApiServer
from tests.client.conftest import client_of
from tests.client.cutting import CuttingProxy
from tests.waiting import scaled

MINIONS = ["minion-1", "minion-2"]


def test_run(salt: Client) -> None:
    """`run` yields the job, a return of each minion, and a summary."""
    records = list(salt.run("minion-*", "test.echo", ["hello"]))

    assert isinstance(records[0], JobStarted)
    assert MINIONS == sorted(records[0].expected)
    returns = {r.minion: r.value for r in records if isinstance(r, MinionReturn)}
    assert dict.fromkeys(MINIONS, "hello") == returns
    (summary,) = [r for r in records if isinstance(r, Summary)]
    assert summary.complete
    assert summary is records[-1]


def test_failed_and_missing(salt: Client) -> None:
    """The summary says who has failed, and who is missing."""
    run = salt.run(["minion-1", "ghost"], "cmd.run", ["exit 3"], tgt_type="list")
    *_, summary = run

    assert isinstance(summary, Summary)
    assert ["minion-1"] == summary.failed
    assert {"ghost": "unknown_minion"} == summary.missing
    assert [summary.jid] == run.jids


def test_runner_and_wheel(salt: Client) -> None:
    """Functions of the master have a result."""
    for run in (salt.runner("test.arg", [1], {"x": "y"}), salt.wheel("key.list_all")):
        *_, summary = run
        assert isinstance(summary, Summary)
        assert summary.result
        assert not summary.failed


def test_errors(api: ApiServer, salt: Client) -> None:
    """What is refused has the same error at each server."""
    with pytest.raises(errors.NoMinionsMatched):
        list(salt.run("nobody", "test.ping"))
    with client_of(api, "low") as low, pytest.raises(errors.NotPermitted):
        list(low.run("*", "test.arg"))
    with pytest.raises(errors.AuthenticationFailed):
        Client(api.url, "saltdev", "wrong", "file").login()
    with pytest.raises(errors.AuthenticationFailed):
        list(Client(api.url, token="0" * 64).run("*", "test.ping"))
    with pytest.raises(errors.NotReachable):
        Client("http://127.0.0.1:1", "a", "b").login()


def test_jobs(salt: Client) -> None:
    """A job is listed, shown, and followed after it has ended."""
    run = salt.run("minion-1", "test.echo", ["kept"])
    list(run)
    (jid,) = run.jids

    assert jid in [job.jid for job in salt.jobs()]
    job = salt.job(jid)
    assert ("test.echo", ["minion-1"], True) == (job.fun, job.returned, job.complete)
    followed = [r.value for r in salt.follow(jid) if isinstance(r, MinionReturn)]
    assert ["kept"] == followed
    with pytest.raises(errors.NotFound):
        salt.job("20010101000000000000")


def test_fleet(salt: Client) -> None:
    """Minions and keys are there at each server."""
    assert set(MINIONS) <= {minion.id for minion in salt.minions()}
    keys = {key.id: key for key in salt.keys()}  # noqa: SIM118 - a request, and no mapping
    assert "accepted" == keys["minion-1"].state
    assert keys["minion-1"].fingerprint
    with pytest.raises(errors.NotFound):
        salt.change_key("ghost", "accept", "aa:bb")


def test_events_and_hooks(salt: Client) -> None:
    """An event that is fired is seen, once."""
    events = salt.events(["salt/minion/minion-1/*", "test/client/*"])
    found: list[Event] = []
    tag = f"test/client/{uuid.uuid4()}"

    def read() -> None:
        for event in events:
            if isinstance(event, Event) and event.tag == tag:
                found.append(event)
                return

    reader = threading.Thread(target=read)
    reader.start()
    assert events.listens.wait(scaled(20))
    list(salt.run("minion-1", "event.send", [tag, {"x": 1}]))
    reader.join(scaled(20))
    events.close()
    assert 1 == len(found)
    assert 1 == found[0].data["data"]["x"]


def test_whoami(api: ApiServer, salt: Client) -> None:
    """It is known whose session it is, and it is ended at the end."""
    assert api.master.username == salt.whoami().user
    token = salt.api.session().token
    salt.close()
    with pytest.raises(errors.AuthenticationFailed):
        Client(api.url, token=token).api.ask("GET", "/minions/minion-1")


def test_cut_run(asgi: ApiServer) -> None:
    """A run whose connection is cut again and again yields every record once, of one job."""
    with (
        CuttingProxy(asgi.port, [100000, 700, 900, 300, 1]) as proxy,
        client_of(asgi, url=proxy.url) as client,
    ):
        assert client.has_v1
        client.api.connections.close()
        run = client.run("*", "test.echo", ["x" * 200])
        records = list(run)

    assert MINIONS == sorted(r.minion for r in records if isinstance(r, MinionReturn))
    assert 1 == sum(isinstance(r, JobStarted) for r in records)
    assert isinstance(records[-1], Summary)
    assert 1 == len(run.jids)
    assert proxy.connections > 2


def test_cut_runs(asgi: ApiServer) -> None:
    """The same holds for several commands in one request: it is repeated by its key."""
    chunks = [{"tgt": "minion-1", "fun": "test.echo", "arg": [str(n) * 300]} for n in range(3)]
    with (
        CuttingProxy(asgi.port, [100000, 600, 900, 1500]) as proxy,
        client_of(asgi, url=proxy.url) as client,
    ):
        assert client.has_v1
        client.api.connections.close()
        run = client.run_lowstate(chunks)
        records = list(run)

    assert [0, 1, 2] == [r.chunk for r in records if isinstance(r, MinionReturn)]
    assert 3 == len(run.jids)


def test_same_key(asgi: ApiServer) -> None:
    """With the same idempotency key a command does not run again."""
    with client_of(asgi) as client:
        first, second = (client.run("minion-1", "test.echo", ["x"], key="test-1") for _ in "ab")
        list(first)
        list(second)
        assert first.jids == second.jids


def test_session_is_renewed(asgi: ApiServer) -> None:
    """A session that has ended on the server is renewed, and the command runs."""
    with client_of(asgi) as client:
        client.login()
        client.api.ask("POST", "/logout")
        assert isinstance(list(client.run("minion-1", "test.ping"))[-1], Summary)


def test_check_and_rerun(asgi: ApiServer) -> None:
    """What needs `/v1` is there, and says so where it is not."""
    with client_of(asgi) as client:
        (check,) = client.check({"tgt": "*", "fun": "test.ping"})
        assert check.allowed
        run = client.run("minion-1", "test.echo", ["again"])
        list(run)
        again = [r.value for r in client.rerun(run.jids[0]) if isinstance(r, MinionReturn)]
        assert ["again"] == again
        assert {} == client.stop(run.jids[0])


async def test_async_client(asgi: ApiServer) -> None:
    """`AsyncClient` does the same, many at once."""
    credentials = asgi.master.credentials()
    async with AsyncClient(asgi.url, **credentials) as client:

        async def values(text: str) -> list[str]:
            async with client.run("minion-1", "test.echo", [text]) as run:
                return [r.value async for r in run if isinstance(r, MinionReturn)]

        assert [["a"], ["b"], ["c"]] == await asyncio.gather(*map(values, "abc"))
        assert asgi.master.username == (await client.whoami()).user
        events = client.events()
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        await client.hook("x", {})
        await waiting
        await events.aclose()


def test_async_client_has_it_all() -> None:
    """What `Client` can do `AsyncClient` can, with the same arguments or any."""

    def methods(kind: type) -> dict[str, Any]:
        return {name: value for name, value in vars(kind).items() if not name.startswith("_")}

    ours, theirs = methods(AsyncClient), methods(Client)
    assert {"aclose"} == set(ours) - set(theirs)
    assert {"close"} == set(theirs) - set(ours)
    for name, function in theirs.items():
        if not callable(function) or name == "close":
            continue
        known = inspect.signature(ours[name]).parameters
        if not {"how", "which", "filters", "args"} & set(known):
            assert set(inspect.signature(function).parameters) == set(known), name
