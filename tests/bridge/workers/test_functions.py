"""The function lane: what it answers, and whom."""

import asyncio
import os
from pathlib import Path

import pytest
import salt.auth
import salt.utils.event

from saltapi.errors import AuthenticationFailed, AuthorizationFailed, InvalidChunk
from saltapi.types import Credentials, Opts
from tests.bridge.workers.lane import LIMITED, MakeLane, result, run


class TestResults:
    """What comes back, and what else happens."""

    async def test_runner(self, make_lane: MakeLane) -> None:
        """A runner function gives the data of its `ret` event, under the jid that was asked for."""
        jid = "20300101000000000001"

        data = await run(make_lane(), "runner", "test.arg", 1, "b", kwargs={"c": 2}, jid=jid)

        assert data.pop("_stamp")
        assert {
            "fun": "runner.test.arg",
            "jid": jid,
            "user": "full",
            "fun_args": [1, "b", {"c": 2}],
            "return": {"args": [1, "b"], "kwargs": {"c": 2}},
            "success": True,
        } == data

    async def test_wheel(self, make_lane: MakeLane) -> None:
        """A wheel function gives the data of its `ret` event."""
        data = await run(make_lane(), "wheel", "key.list_all")

        assert ("wheel.key.list_all", True) == (data["fun"], data["success"])
        assert ["minion-1", "minion-2"] == sorted(data["return"]["minions"])

    @pytest.mark.parametrize(
        ("kind", "fun", "prefix"),
        [("runner", "test.arg", "salt/run/"), ("wheel", "key.list_all", "salt/wheel/")],
    )
    async def test_events(
        self, make_lane: MakeLane, opts: Opts, kind: str, fun: str, prefix: str
    ) -> None:
        """A function fires `new` and `ret` on the master's bus, as through the master."""
        lane = make_lane()
        await run(lane, "runner", "test.arg")  # a worker is ready
        bus = await asyncio.to_thread(salt.utils.event.get_event, "master", opts=opts, listen=True)
        try:
            # Until the subscription is through, events pass by.
            jid, seen = "", set[str]()
            while not seen >= {f"{prefix}{jid}/new", f"{prefix}{jid}/ret"}:
                jid = (await run(lane, kind, fun))["jid"]
                for _ in range(20):
                    event = await asyncio.to_thread(
                        bus.get_event, tag=f"{prefix}{jid}/", wait=1, full=True
                    )
                    if event is None:
                        break
                    seen.add(event["tag"])
                    if len(seen) == 2:
                        break
        finally:
            await asyncio.to_thread(bus.destroy)

        assert {f"{prefix}{jid}/new", f"{prefix}{jid}/ret"} <= seen

    async def test_job_cache(self, make_lane: MakeLane) -> None:
        """A function's job is in the job cache, with its result."""
        lane = make_lane()
        jid = (await run(lane, "runner", "test.arg", "kept"))["jid"]

        job = await result(lane, "jobs.list_job", jid)

        assert ("runner.test.arg", "full") == (job["Function"], job["User"])
        (stored,) = job["Result"].values()
        assert {"args": ["kept"], "kwargs": {}} == stored["return"]["return"]

    async def test_jobs_since(self, make_lane: MakeLane) -> None:
        """A list of jobs has those that came after the one before it."""
        lane = make_lane()
        first = await result(lane, "jobs.list_jobs")
        jid = (await run(lane, "runner", "test.arg"))["jid"]
        second = await result(lane, "jobs.list_jobs")

        assert jid not in first
        assert "runner.test.arg" == second[jid]["Function"]

    async def test_runner_arguments_that_do_not_exist(self, make_lane: MakeLane) -> None:
        """Named arguments that a runner function does not take are dropped."""
        data = await run(
            make_lane(), "runner", "test.metasyntactic", kwargs={"locality": "uk", "nope": 1}
        )

        assert (True, "wibble") == (data["success"], data["return"][0])

    async def test_wheel_arguments_that_do_not_exist(self, make_lane: MakeLane) -> None:
        """A wheel function with a wrong argument fails as it does through the master."""
        data = await run(make_lane(), "wheel", "key.finger", kwargs={"match": "*", "nope": 1})

        assert data["success"] is False
        assert "'nope' is an invalid keyword argument" in data["return"]

    async def test_exception(self, make_lane: MakeLane) -> None:
        """A function that raises gives its traceback and `success` False."""
        data = await run(make_lane(), "runner", "lane.leave")

        assert data["success"] is False
        assert "SystemExit: 3" in data["return"]

    async def test_prints(self, make_lane: MakeLane) -> None:
        """A function that prints or reads disturbs nobody."""
        lane = make_lane()

        assert "" == await result(lane, "lane.chatter")
        assert {"args": [1], "kwargs": {}} == await result(lane, "test.arg", 1)

    async def test_fork(self, make_lane: MakeLane) -> None:
        """A child that falls back into the worker's loop does not answer."""
        lane = make_lane()

        assert "parent" == await result(lane, "lane.fork")
        assert {"args": [1], "kwargs": {}} == await result(lane, "test.arg", 1)

    async def test_what_cannot_be_sent(self, make_lane: MakeLane) -> None:
        """A result that no event can hold is a failure of this call only."""
        lane = make_lane()

        data = await run(lane, "runner", "lane.unsendable")

        assert data["success"] is False
        assert "can not serialize" in data["return"]
        assert {"args": [1], "kwargs": {}} == await result(lane, "test.arg", 1)


class TestChecks:
    """Who may run what: exactly the master's checks."""

    async def test_wrong_password(self, make_lane: MakeLane) -> None:
        """A wrong password is refused with the master's sentence."""
        who = Credentials(eauth="sharedsecret", username="full", password="wrong")

        with pytest.raises(AuthenticationFailed) as refused:
            await run(make_lane(), "runner", "test.arg", who=who)

        sentence = 'Authentication failure of type "eauth" occurred for user full.'
        assert sentence == str(refused.value)

    async def test_tokens(self, make_lane: MakeLane, opts: Opts) -> None:
        """A token of the master's store works until it expires or is removed."""
        store = salt.auth.LoadAuth(opts)
        load = {"eauth": "sharedsecret", "username": "full", "password": "a secret"}
        token = await asyncio.to_thread(store.mk_token, load)
        brief = await asyncio.to_thread(store.mk_token, {**load, "token_expire": 0})
        lane, who = make_lane(), Credentials(token=token["token"])

        assert "full" == (await run(lane, "runner", "test.arg", who=who))["user"]
        with pytest.raises(AuthenticationFailed):
            await run(lane, "runner", "test.arg", who=Credentials(token=brief["token"]))
        await asyncio.to_thread(store.rm_token, token["token"])
        with pytest.raises(AuthenticationFailed):
            await run(lane, "runner", "test.arg", who=who)

    @pytest.mark.parametrize(
        "token",
        ["", "0", "../../../../etc/passwd", "a" * 100_000, "\0", "٣" * 64, "e3b0c442" * 8],
    )
    async def test_no_tokens(self, make_lane: MakeLane, token: str) -> None:
        """Something that is no token is refused."""
        with pytest.raises(AuthenticationFailed):
            await run(make_lane(), "runner", "test.arg", who=Credentials(token=token))

    async def test_runner_limits(self, make_lane: MakeLane) -> None:
        """Limits on a runner function's arguments hold for what is run."""
        lane = make_lane()
        allowed = {"who": LIMITED, "kwargs": {"also": "ok"}}

        assert {"args": ["ok"], "kwargs": {"also": "ok"}} == await result(
            lane, "test.arg", "ok", **allowed
        )
        for args, kwargs in ([["no"], {"also": "ok"}], [["ok"], {"also": "no"}], [["ok"], {}]):
            with pytest.raises(AuthorizationFailed):
                await result(lane, "test.arg", *args, who=LIMITED, kwargs=kwargs)

    async def test_wheel_limits(self, make_lane: MakeLane) -> None:
        """Limits on a wheel function's arguments hold for what is run; no decoy helps."""
        lane = make_lane()

        data = await run(lane, "wheel", "key.finger", who=LIMITED, kwargs={"match": "abc"})
        assert data["success"] is True
        decoy = {"match": "*", "kwarg": {"kwarg": {"match": "abc"}}, "arg": []}
        for kwargs in ({"match": "*"}, {}, decoy):
            with pytest.raises(AuthorizationFailed) as refused:
                await run(lane, "wheel", "key.finger", who=LIMITED, kwargs=kwargs)
        sentence = 'Authentication failure of type "eauth" occurred for user limited.'
        assert sentence == str(refused.value)

    @pytest.mark.parametrize(("kind", "fun"), [("runner", "test.nope"), ("wheel", "key.nope")])
    async def test_unknown_function(self, make_lane: MakeLane, kind: str, fun: str) -> None:
        """Only somebody who may run it learns that a function does not exist."""
        lane = make_lane()

        with pytest.raises(InvalidChunk, match=f"'{fun}' is not available"):
            await run(lane, kind, fun)
        with pytest.raises(AuthorizationFailed):
            await run(lane, kind, fun, who=LIMITED)

    async def test_no_function(self, make_lane: MakeLane) -> None:
        """A name without a dot is refused with the master's sentence."""
        with pytest.raises(InvalidChunk, match="Check syntax"):
            await run(make_lane(), "runner", "nodot")


class TestTakes:
    """Which functions are for the lane."""

    async def test_configured_functions(self, make_lane: MakeLane) -> None:
        """The lane takes what `fast_functions` names, with wildcards."""
        lane = make_lane(fast_functions=["jobs.*", "test.arg"])

        taken = [lane.takes(fun) for fun in ("jobs.active", "test.arg", "test.args", "Jobs.active")]

        assert [True, True, False, False] == taken

    async def test_switched_off(self, make_lane: MakeLane) -> None:
        """`function_workers: 0` sends everything through the master."""
        assert not make_lane(function_workers=0).takes("test.arg")

    async def test_master_elsewhere(
        self, make_lane: MakeLane, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Where the master's files are not, the lane takes nothing and says so once."""
        caplog.set_level("INFO")
        lane = make_lane({"cachedir": str(tmp_path / "nowhere")})
        await lane.start()

        assert not lane.takes("test.arg")
        assert 1 == caplog.text.count("go through the master")

    async def test_files_that_come_later(self, make_lane: MakeLane, tmp_path: Path) -> None:
        """A master that is set up later is found."""
        cache = tmp_path / "cache"
        lane = make_lane({"cachedir": str(cache), "token_dir": str(cache)})
        assert not lane.takes("test.arg")

        (cache / "proc").mkdir(parents=True)
        lane._check_files_at = 0.0

        assert lane.takes("test.arg")

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
    async def test_files_of_another_user(self, make_lane: MakeLane, tmp_path: Path) -> None:
        """A process that is not the master's user leaves the master's files alone."""
        cache = tmp_path / "cache"
        (cache / "proc").mkdir(parents=True)
        os.chown(cache, 65534, 65534)

        lane = make_lane({"cachedir": str(cache), "token_dir": str(cache)})

        assert not lane.takes("test.arg")
