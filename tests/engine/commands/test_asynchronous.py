"""The client interfaces against a real master: every row of what Salt's own netapi does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from saltapi import config, trace
from saltapi.bridge.bus.events import Event, tag_prefix
from saltapi.demo import PrivateMaster
from saltapi.engine.commands.asynchronous import AsyncAPIClient
from saltapi.errors import (
    AuthenticationFailed,
    AuthorizationFailed,
    ClientDisabled,
    CommandTimeout,
    InvalidChunk,
    NoMinionsMatched,
)
from saltapi.lowstate import check
from tests.engine.commands.clients import ONE, RESERVED_BY_SALT, SOON, TWO, WHEEL_MODULE, collect
from tests.waiting import scaled


class TestChecks:
    """What `run` refuses before anything is sent to the master, in Salt's order."""

    async def test_unknown_client(self, client: AsyncAPIClient) -> None:
        """A client that does not exist is refused by name, before credentials are looked at."""
        with pytest.raises(InvalidChunk, match="Invalid client specified: 'destroy'"):
            await client.run({"client": "destroy"})

    async def test_disabled_client(self, client: AsyncAPIClient) -> None:
        """A client that is not enabled is refused with the option to change."""
        with pytest.raises(ClientDisabled, match="netapi_enable_clients"):
            await client.run({"client": "ssh", "tgt": "*", "fun": "test.ping"})

    async def test_no_credentials(self, client: AsyncAPIClient) -> None:
        """A chunk without credentials gets an authentication error."""
        with pytest.raises(AuthenticationFailed, match="No authentication credentials given"):
            await client.run({"client": "local", "tgt": "*", "fun": "test.ping"})

    async def test_raw_shell(self, client: AsyncAPIClient, token: dict[str, str]) -> None:
        """raw_shell is refused unless `netapi_allow_raw_shell` permits it."""
        with pytest.raises(AuthorizationFailed, match="Raw shell option not allowed"):
            await client.local("*", "test.ping", raw_shell=True, **token)


class TestLocal:
    async def test_returns(self, client: AsyncAPIClient, token: dict[str, str]) -> None:
        """The result maps each minion to what it returned."""
        assert {ONE: True, TWO: True} == await client.local("*", "test.ping", **token)

    async def test_password(self, client: AsyncAPIClient, master: PrivateMaster) -> None:
        """A name and a password do as well as a token."""
        assert {ONE: True} == await client.local(ONE, "test.ping", **master.credentials())

    async def test_arguments(self, client: AsyncAPIClient, token: dict[str, str]) -> None:
        """Positional and keyword arguments reach the function with their types."""
        result = await client.local(
            ONE, "test.arg", ["one", 2, {"three": 3}], kwarg={"four": [4]}, **token
        )

        assert ["one", 2, {"three": 3}] == result[ONE]["args"]
        assert [4] == result[ONE]["kwargs"]["four"]

    async def test_scalar_argument(self, client: AsyncAPIClient, token: dict[str, str]) -> None:
        """One argument need not be wrapped in a list."""
        assert {ONE: "text"} == await client.local(ONE, "test.echo", "text", **token)

    async def test_compound_command(self, client: AsyncAPIClient, token: dict[str, str]) -> None:
        """Several functions in one publish give one mapping for each minion."""
        result = await client.local(ONE, ["test.ping", "test.echo"], [[], ["hi"]], **token)

        assert {ONE: {"test.ping": True, "test.echo": "hi"}} == result

    async def test_full_return(self, client: AsyncAPIClient, token: dict[str, str]) -> None:
        """full_return adds the return code and the jid."""
        result = await client.local(ONE, "test.ping", full_return=True, **token)

        assert {"ret": True, "retcode": 0} == {k: result[ONE][k] for k in ("ret", "retcode")}
        assert len(result[ONE]["jid"]) == 20

    @pytest.mark.parametrize(
        ("tgt", "tgt_type"),
        [
            ("minion-[1]", "glob"),
            ("minion-(1|9)", "pcre"),
            ([ONE], "list"),
            (f"{ONE},nobody", "list"),
            (f"id:{ONE}", "grain"),
            ("id:minion-1$", "grain_pcre"),
            (f"L@{ONE} and minion-*", "compound"),
            ("first", "nodegroup"),
            ("N@first", "compound"),
        ],
    )
    async def test_target_types(
        self, client: AsyncAPIClient, token: dict[str, str], tgt: Any, tgt_type: str
    ) -> None:
        """Every target type finds the minion that it describes."""
        result = await client.local(tgt, "test.ping", tgt_type=tgt_type, **SOON, **token)

        assert result[ONE] is True
        assert TWO not in result

    async def test_expr_form(self, client: AsyncAPIClient, token: dict[str, str]) -> None:
        """expr_form is taken as the old name of tgt_type."""
        assert {ONE: True} == await client.local([ONE], "test.ping", expr_form="list", **token)

    async def test_unknown_nodegroup(self, client: AsyncAPIClient, token: dict[str, str]) -> None:
        """A nodegroup that does not exist is an error and not an empty result."""
        with pytest.raises(InvalidChunk, match="no nodegroup 'nobody'"):
            await client.local("nobody", "test.ping", tgt_type="nodegroup", **token)

    async def test_no_match(self, client: AsyncAPIClient, token: dict[str, str]) -> None:
        """A target that matches nothing gives an empty mapping, as Salt does."""
        assert {} == await client.local("nobody*", "test.ping", **token)

    async def test_no_match_is_told_apart(
        self, client: AsyncAPIClient, token: dict[str, str]
    ) -> None:
        """Below the legacy shape, a target that matches nothing is an error of its own."""
        chunk = {"client": "local", "tgt": "nobody*", "fun": "test.ping", **token}
        with pytest.raises(NoMinionsMatched):
            await anext(client.returns(check(chunk, client.config)))

    async def test_unknown_function(self, client: AsyncAPIClient, token: dict[str, str]) -> None:
        """A function that a minion does not have is the minion's answer."""
        result = await client.local(ONE, "no.such", **token)

        assert {ONE: "'no.such' is not available."} == result

    async def test_missing_name(self, client: AsyncAPIClient, token: dict[str, str]) -> None:
        """A name in a list target that the master does not know is reported."""
        result = await client.local([ONE, "ghost"], "test.ping", tgt_type="list", **token)

        assert result[ONE] is True
        assert result["ghost"].startswith("Minion did not return. [No response]")

    async def test_longer_than_timeout(self, client: AsyncAPIClient, token: dict[str, str]) -> None:
        """A minion that says it still runs the job is waited for beyond the timeout."""
        result = await client.local(
            ONE, "test.sleep", [4], timeout="1", gather_job_timeout=scaled(2), **token
        )

        assert {ONE: True} == result

    async def test_metadata(self, client: AsyncAPIClient, token: dict[str, str]) -> None:
        """What the master takes beside function and target (metadata) reaches the job."""
        async with client.hub.listen([tag_prefix("salt/job/")]) as events:
            await client.local(ONE, "test.ping", metadata={"ticket": "42"}, **token)
            returned = [e for e in events.drain() if isinstance(e, Event) and "/ret/" in e.tag]

        assert [{"ticket": "42"}] == [event.data.get("metadata") for event in returned]

    async def test_own_jid(self, client: AsyncAPIClient, token: dict[str, str]) -> None:
        """A jid in the chunk is the job's."""
        jid = client.jobs.new_jid()
        result = await client.local(ONE, "test.ping", jid=jid, full_return=True, **token)

        assert jid == result[ONE]["jid"]


class TestLocalAsync:
    async def test_job(self, client: AsyncAPIClient, token: dict[str, str]) -> None:
        """The answer is the jid and the minions that are expected to return."""
        job = await client.local_async("*", "test.ping", **token)

        assert [ONE, TWO] == sorted(job["minions"])
        assert len(job["jid"]) == 20

    async def test_no_match(self, client: AsyncAPIClient, token: dict[str, str]) -> None:
        """A target that matches nothing gives an empty mapping, as Salt does."""
        assert {} == await client.local_async("nobody", "test.ping", **token)


class TestLocalSubset:
    @pytest.mark.parametrize("key", ["subset", "sub"])
    async def test_size(self, client: AsyncAPIClient, token: dict[str, str], key: str) -> None:
        """So many minions run the function as `subset`, or its old name, says."""
        result = await client.local_subset("*", "test.ping", **{key: 1}, **token)

        assert [True] == list(result.values())

    async def test_only_able_minions(self, client: AsyncAPIClient, token: dict[str, str]) -> None:
        """Minions that do not have the function are not chosen."""
        assert {} == await client.local_subset("*", "no.such", **token)


class TestLocalBatch:
    async def test_elements(self, client: AsyncAPIClient, token: dict[str, str]) -> None:
        """Every minion gives one element."""
        batch = await collect(await client.local_batch("*", "test.ping", batch="1", **token))

        assert [{ONE: True}, {TWO: True}] == sorted(batch, key=str)

    async def test_raw(self, client: AsyncAPIClient, token: dict[str, str]) -> None:
        """With raw the elements are the return events."""
        batch = await collect(await client.local_batch(ONE, "test.ping", raw=True, **token))

        assert [ONE] == [element["data"]["id"] for element in batch]
        assert batch[0]["tag"].endswith(f"/ret/{ONE}")

    async def test_yields_while_running(
        self, client: AsyncAPIClient, token: dict[str, str]
    ) -> None:
        """The first element comes while the second minion has not begun."""
        batch: Any = await client.local_batch("*", "test.ping", batch=1, **token)
        async with client.hub.listen([tag_prefix("salt/job/")]) as events:
            await anext(batch)
            began = [e for e in events.drain() if isinstance(e, Event) and e.tag.endswith("/new")]
        await batch.aclose()

        assert ["test.ping", "test.ping"] == [event.data["fun"] for event in began]

    async def test_nothing_matched(self, client: AsyncAPIClient, token: dict[str, str]) -> None:
        """A target that matches nothing gives no elements."""
        assert [] == await collect(await client.local_batch("nobody", "test.ping", **token))


@pytest.mark.parametrize("kind", ["local_batch", "local_subset"])
async def test_left_out(client: AsyncAPIClient, token: dict[str, str], kind: str) -> None:
    """Minions that do not say in time that they are there are noted, so that answers tell."""
    trace.current.set(noted := trace.Trace())
    chunk = {"client": kind, "tgt": [ONE, "ghost"], "tgt_type": "list", "fun": "test.ping"}
    result = await client.run({**chunk, **SOON, **token})
    if kind == "local_batch":
        (result,) = await collect(result)

    assert {ONE: True} == result
    assert {"X-Salt-Missing": "ghost"} == noted.missing_headers()


class TestRunner:
    async def test_return(self, client: AsyncAPIClient, token: dict[str, str]) -> None:
        """The result is what the function returns."""
        assert [ONE, TWO] == sorted(await client.runner("manage.up", **token))

    @pytest.mark.parametrize(
        "low",
        [
            {"x": 1},
            {"kwarg": {"x": 1}},
            {"arg": ["x=1"]},
        ],
    )
    async def test_keyword_arguments(
        self, client: AsyncAPIClient, token: dict[str, str], low: dict[str, Any]
    ) -> None:
        """Keyword arguments come as keys of the chunk, in kwarg, or as name=value."""
        result = await client.runner("test.arg", **low, **token)

        assert {"args": [], "kwargs": {"x": 1}} == result

    @pytest.mark.parametrize("lane", [True, False])
    @pytest.mark.parametrize("name", RESERVED_BY_SALT)
    async def test_reserved_names(
        self,
        client: AsyncAPIClient,
        token: dict[str, str],
        monkeypatch: pytest.MonkeyPatch,
        name: str,
        lane: bool,
    ) -> None:
        """The function gets arguments whose names the master reads elsewhere, as from Salt."""
        if not lane:
            monkeypatch.setattr(client.functions, "takes", lambda _fun: False)
        for low in ({"kwarg": {name: "mine"}}, {"arg": [f"{name}=mine"]}):
            result = await client.runner("test.arg", **low, **token)

            assert {"args": [], "kwargs": {name: "mine"}} == result

    async def test_positional(self, client: AsyncAPIClient, token: dict[str, str]) -> None:
        """arg is a list of positional arguments."""
        result = await client.runner("test.arg", arg=["a", 2], **token)

        assert ["a", 2] == result["args"]

    async def test_surplus_keys(self, client: AsyncAPIClient, token: dict[str, str]) -> None:
        """Keys that the function does not take are left out, as Salt leaves them out."""
        assert [ONE, TWO] == sorted(await client.runner("manage.up", batch=None, **token))

    async def test_full_return(self, client: AsyncAPIClient, token: dict[str, str]) -> None:
        """full_return gives the whole event."""
        event = await client.runner("test.arg", full_return=True, **token)

        assert f"salt/run/{event['data']['jid']}/ret" == event["tag"]
        assert ("runner.test.arg", "saltdev", True) == tuple(
            event["data"][key] for key in ("fun", "user", "success")
        )

    async def test_exception(self, client: AsyncAPIClient, token: dict[str, str]) -> None:
        """An exception in the function is its result, as a text."""
        result = await client.runner("error.error", name="Exception", message="boom", **token)

        assert "Exception occurred in runner error.error" in result

    async def test_unknown(self, client: AsyncAPIClient, token: dict[str, str]) -> None:
        """A function that does not exist is refused by name and does not wait for a timeout."""
        with pytest.raises(InvalidChunk, match=r"'no\.such' is not available"):
            await client.runner("no.such", **token)

    async def test_timeout(self, client: AsyncAPIClient, token: dict[str, str]) -> None:
        """A function that takes longer than the timeout gives a timeout with its jid."""
        with pytest.raises(CommandTimeout, match=r"RunnerClient job '[0-9]{20}' timed out"):
            await client.runner("test.sleep", s_time=5, timeout=0.5, **token)

    async def test_async(self, client: AsyncAPIClient, token: dict[str, str]) -> None:
        """runner_async gives tag and jid, and the job ends under them."""
        async with client.hub.listen([tag_prefix("salt/run/")]) as events:
            job = await client.runner_async("test.arg", arg=["x"], **token)
            assert f"salt/run/{job['jid']}" == job["tag"]
            async for event in events:
                if isinstance(event, Event) and event.tag == f"{job['tag']}/ret":
                    assert ["x"] == event.data["return"]["args"]
                    break


class TestWheel:
    async def test_wrapped(self, client: AsyncAPIClient, token: dict[str, str]) -> None:
        """The result is the function's event, with the return inside."""
        event = await client.wheel("key.list_all", **token)

        assert [ONE, TWO] == sorted(event["data"]["return"]["minions"])
        assert f"salt/wheel/{event['data']['jid']}" == event["tag"] == event["data"]["tag"]
        assert ("wheel.key.list_all", "saltdev", True) == tuple(
            event["data"][key] for key in ("fun", "user", "success")
        )

    @pytest.mark.parametrize("low", [{"match": ONE}, {"kwarg": {"match": ONE}}, {"arg": [ONE]}])
    async def test_arguments(
        self, client: AsyncAPIClient, token: dict[str, str], low: dict[str, Any]
    ) -> None:
        """Arguments come as keys of the chunk, in kwarg, or by position."""
        event = await client.wheel("key.name_match", **low, **token)

        assert {"minions": [ONE]} == event["data"]["return"]

    async def test_empty_arg(self, client: AsyncAPIClient, token: dict[str, str]) -> None:
        """An empty arg without kwarg, as salt-api-cli sends it, does no harm."""
        event = await client.wheel("key.list_all", arg=[], **token)

        assert event["data"]["success"] is True

    async def test_exception(self, client: AsyncAPIClient, token: dict[str, str]) -> None:
        """A failure is told by success and return."""
        event = await client.wheel("file_roots.read", path="../../etc/passwd", **token)

        assert "root:" not in str(event["data"]["return"])

    async def test_unknown(self, client: AsyncAPIClient, token: dict[str, str]) -> None:
        """A function that does not exist is a failure with its name in the return."""
        event = await client.wheel("no.such", **token)

        assert event["data"]["success"] is False
        assert "no.such" in event["data"]["return"]

    @pytest.mark.parametrize("fun", ["key.list_all", "file_roots.list_env"])
    async def test_async(self, client: AsyncAPIClient, token: dict[str, str], fun: str) -> None:
        """wheel_async gives the jid under which the function's return is fired."""
        async with client.hub.listen([tag_prefix("salt/wheel/")]) as events:
            job = await client.wheel_async(fun, **token)
            assert f"salt/wheel/{job['jid']}" == job["tag"]
            async for event in events:
                if isinstance(event, Event) and event.tag == f"{job['tag']}/ret":
                    assert f"wheel.{fun}" == event.data["fun"]
                    break

    @pytest.mark.parametrize("key", ["arg", "kwarg", "__jid__"])
    async def test_reserved_names(
        self, client: AsyncAPIClient, token: dict[str, str], key: str
    ) -> None:
        """Arguments cannot take the place of what the master reads beside them."""
        with pytest.raises(InvalidChunk):
            await client.wheel("mine.echo", kwarg={key: "x"}, **token)


@pytest.mark.long
@pytest.mark.parametrize("fast", [["mine.echo"], []])
async def test_names_of_wheel_arguments(
    private_master: Callable[..., PrivateMaster], fast: list[str], tmp_path: Path
) -> None:
    """A wheel function gets arguments of any name; a rule about arguments is about those."""
    (tmp_path / "wheel").mkdir()
    (tmp_path / "wheel" / "mine.py").write_text(WHEEL_MODULE)
    rule = {"@wheel": [{"mine.echo": {"kwargs": {"user": "bob"}}}]}
    options = {"module_dirs": [str(tmp_path)], "fast_functions": fast}
    master = private_master(minions=0, users={"few": [rule]}, options=options)
    async with AsyncAPIClient(config.load(master.config_dir)) as client:
        all_ = master.credentials()
        few = master.credentials("few")
        for name in RESERVED_BY_SALT:
            event = await client.wheel("mine.echo", kwarg={name: "mine"}, **all_)
            assert {name: "mine"} == event["data"]["return"]
        for key in ("arg", "kwarg"):
            with pytest.raises(InvalidChunk, match="cannot be named"):
                await client.wheel("mine.echo", kwarg={key: {"user": "bob"}, "token": "x"}, **few)
        event = await client.wheel("mine.echo", kwarg={"user": "bob"}, **few)
        assert {"user": "bob"} == event["data"]["return"]
        for wrong in ({"user": "eve"}, {"token": "bob"}):
            with pytest.raises(AuthorizationFailed):
                await client.wheel("mine.echo", kwarg=wrong, **few)
