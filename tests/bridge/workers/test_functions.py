"""The fast lane against a real master: same checks, same events, same jobs, and its limits."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import salt.auth
import salt.utils.event

from saltapi import config
from saltapi.bridge.workers import functions
from saltapi.bridge.workers.functions import FunctionLane, LaneFull
from saltapi.config import EngineConfig
from saltapi.demo import PrivateMaster
from saltapi.errors import (
    AuthenticationFailed,
    AuthorizationFailed,
    CommandTimeout,
    InvalidChunk,
    WorkerFailed,
)
from saltapi.types import Credentials, Opts
from tests.waiting import async_eventually, eventually, scaled

# What a runner can do to its process.
RUNNER = """
import os, sys, time

def pid():
    return os.getpid()

def process():
    with open("/proc/self/cmdline") as line, open("/proc/self/environ") as environ:
        return line.read() + environ.read()

def running():
    return os.listdir(os.path.join(__opts__["cachedir"], "proc"))

def chatter():
    print("to standard output", flush=True)
    os.write(1, b"to its descriptor")
    return sys.stdin.read()

def fail():
    __context__["retcode"] = 1
    return "failed"

def meddle():
    __opts__["external_auth"]["sharedsecret"]["limited"].append("@runner")
    return os.getpid()

def wander():
    os.chdir("/")
    os.environ["LANE"] = "left behind"

def die():
    os.kill(os.getpid(), 9)

def leave():
    sys.exit(3)

def eat(mib):
    hoard = []
    for _ in range(mib):
        hoard.append(bytearray(b"x" * 1024 * 1024))
        time.sleep(0.005)
    return len(hoard)

def fork():
    if os.fork():
        os.wait()
        return "parent"
    return "child"

def unsendable():
    return object()

def slowly(seconds, path):
    time.sleep(seconds)
    with open(path, "w") as file:
        file.write("done")
"""

FULL = Credentials(eauth="sharedsecret", username="full", password="a secret")
LIMITED = Credentials(eauth="sharedsecret", username="limited", password="a secret")
SLEEP_SECONDS = scaled(30)


@pytest.fixture
def opts(master: PrivateMaster, tmp_path: Path) -> Opts:
    """The master's options, with users and a runner module of this test."""
    opts = config.load(master.config_dir)
    runners = tmp_path / "runners"
    runners.mkdir()
    (runners / "lane.py").write_text(RUNNER)
    limits = [
        {"@test": [{"arg": {"args": ["ok"], "kwargs": {"also": "ok"}}}]},
        {"@key": [{"finger": {"kwargs": {"match": "a.*"}}}]},
    ]
    opts["external_auth"] = {
        **opts["external_auth"],
        "sharedsecret": {"full": ["@runner", "@wheel"], "limited": limits},
    }
    return {**opts, "sharedsecret": "a secret", "runner_dirs": [str(runners)]}


MakeLane = Callable[..., FunctionLane]


@pytest.fixture
async def make_lane(opts: Opts) -> AsyncIterator[MakeLane]:
    """Make lanes with options of the engine; all are closed after the test."""
    lanes: list[FunctionLane] = []

    def make(changes: Opts | None = None, **options: Any) -> FunctionLane:
        options = {"function_workers": 1, "fast_functions": ["*"], **options}
        lane = FunctionLane({**opts, **(changes or {})}, EngineConfig.parse(options))
        lanes.append(lane)
        return lane

    yield make
    for lane in lanes:
        await lane.close()


async def run(lane: FunctionLane, kind: Any, fun: str, *args: Any, **options: Any) -> Any:
    """Call a function as *full* (or `who`), as soon as there is a worker."""
    kwargs, who = options.pop("kwargs", {}), options.pop("who", FULL)
    deadline = time.monotonic() + scaled(30)
    while True:
        try:
            return await lane.call(kind, fun, list(args), kwargs, who, **options)
        except LaneFull:
            assert time.monotonic() < deadline, "no worker became ready"
            await asyncio.sleep(0.1)


async def result(lane: FunctionLane, fun: str, *args: Any, **options: Any) -> Any:
    return (await run(lane, "runner", fun, *args, **options))["return"]


async def hang(lane: FunctionLane) -> asyncio.Task[Any]:
    """Keep the only worker that is ready busy for longer than a test takes."""
    task = asyncio.create_task(run(lane, "runner", "test.sleep", SLEEP_SECONDS))
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    await async_eventually(lambda: lane._idle.empty())
    return task


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


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


class TestNothingIsLeftBehind:
    """One call does not change the next."""

    async def test_retcode(self, make_lane: MakeLane) -> None:
        """A failed function does not make the next one fail."""
        lane = make_lane()

        assert (await run(lane, "runner", "lane.fail"))["success"] is False
        assert (await run(lane, "runner", "lane.pid"))["success"] is True

    async def test_options(self, make_lane: MakeLane) -> None:
        """A worker whose options were changed serves nobody else."""
        lane = make_lane()

        meddled = await result(lane, "lane.meddle")

        with pytest.raises(AuthorizationFailed):
            await run(lane, "runner", "lane.pid", who=LIMITED)
        assert meddled != await result(lane, "lane.pid")

    async def test_process(self, make_lane: MakeLane) -> None:
        """A worker whose environment or directory was changed serves nobody else."""
        lane = make_lane()
        first = await result(lane, "lane.pid")

        await result(lane, "lane.wander")

        assert first != await result(lane, "lane.pid")

    async def test_replacement(self, make_lane: MakeLane, monkeypatch: pytest.MonkeyPatch) -> None:
        """A worker is replaced after so many calls."""
        monkeypatch.setattr(functions, "CALLS_PER_WORKER", 2)
        lane = make_lane()

        pids = [await result(lane, "lane.pid") for _ in range(4)]

        assert pids[0] == pids[1] != pids[2] == pids[3]
        await async_eventually(lambda: not is_running(pids[0]))


class TestLimits:
    """A worker that misbehaves is ended; the others and the next call notice nothing."""

    async def test_hang(self, make_lane: MakeLane) -> None:
        """A function that hangs is ended after `function_timeout`, and its job with it."""
        lane = make_lane(function_timeout=scaled(1))
        pid = await result(lane, "lane.pid")

        with pytest.raises(CommandTimeout, match=f"within {scaled(1):g} s"):
            await run(lane, "runner", "test.sleep", SLEEP_SECONDS, jid="20300101000000000002")

        assert not is_running(pid)
        assert "20300101000000000002" not in await result(lane, "lane.running")
        assert pid != await result(lane, "lane.pid")

    async def test_others_do_not_notice(self, make_lane: MakeLane) -> None:
        """A function answers while another one hangs."""
        lane = make_lane(function_workers=2)
        first = await result(lane, "lane.pid")
        hanging = await hang(lane)

        assert first != await result(lane, "lane.pid")
        assert not hanging.done()

    async def test_impatient_caller(self, make_lane: MakeLane, tmp_path: Path) -> None:
        """A caller who waits no longer gets a timeout, the function goes on to its end."""
        lane, path = make_lane(), tmp_path / "done"
        pid = await result(lane, "lane.pid")

        with pytest.raises(CommandTimeout):
            await run(lane, "runner", "lane.slowly", 1, str(path), timeout_seconds=0.1)

        assert not path.exists()
        await async_eventually(path.exists)
        assert pid == await result(lane, "lane.pid")

    async def test_caller_who_leaves(self, make_lane: MakeLane, tmp_path: Path) -> None:
        """A cancelled caller does not stop the function, and its worker comes back."""
        lane, path = make_lane(), tmp_path / "done"
        pid = await result(lane, "lane.pid")
        caller = asyncio.create_task(run(lane, "runner", "lane.slowly", 1, str(path)))
        await async_eventually(lambda: lane._idle.empty())
        caller.cancel()

        await async_eventually(path.exists)
        assert pid == await result(lane, "lane.pid")

    async def test_crash(self, make_lane: MakeLane) -> None:
        """A function that kills its worker fails alone."""
        lane = make_lane()
        pid = await result(lane, "lane.pid")

        with pytest.raises(WorkerFailed, match="died"):
            await result(lane, "lane.die")

        assert pid != await result(lane, "lane.pid")

    async def test_killed_while_idle(self, make_lane: MakeLane) -> None:
        """A worker that died while nobody used it is replaced."""
        lane = make_lane()
        pid = await result(lane, "lane.pid")
        os.kill(pid, signal.SIGKILL)
        await async_eventually(lambda: not is_running(pid))

        assert pid != await result(lane, "lane.pid")

    async def test_memory(self, make_lane: MakeLane) -> None:
        """A function that needs too much memory is ended."""
        lane = make_lane(function_worker_memory_mib=300)
        pid = await result(lane, "lane.pid")

        with pytest.raises(WorkerFailed, match="more than 300 MiB"):
            await result(lane, "lane.eat", 2000)

        assert not is_running(pid)
        assert pid != await result(lane, "lane.pid")

    async def test_full(self, make_lane: MakeLane) -> None:
        """A call for which no worker becomes free is sent elsewhere."""
        lane = make_lane()
        await result(lane, "lane.pid")
        hanging = await hang(lane)

        with pytest.raises(LaneFull):
            await lane.call("runner", "test.arg", [], {}, FULL)
        assert not hanging.done()

    async def test_no_worker_starts(
        self,
        make_lane: MakeLane,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """Workers that cannot start are not tried again and again."""
        monkeypatch.setattr(sys, "executable", "/bin/false")
        lane = make_lane()
        with pytest.raises(LaneFull):
            await lane.call("runner", "test.arg", [], {}, FULL)
        await async_eventually(lambda: "The next try is in 2 s" in caplog.text)

        for _ in range(10):
            with pytest.raises(LaneFull):
                await lane.call("runner", "test.arg", [], {}, FULL)
        assert set() == lane._starting

    async def test_no_master(self, make_lane: MakeLane, tmp_path: Path) -> None:
        """Without a master nothing runs here: the error comes from the way through the master."""
        lane = make_lane({"sock_dir": str(tmp_path)})

        with pytest.raises(LaneFull):
            await lane.call("runner", "test.arg", [], {}, FULL)
        assert set() == lane._starting


class TestLife:
    """When workers start and end, and what they may show."""

    async def test_starts_lazily(self, make_lane: MakeLane) -> None:
        """No worker starts before it is needed."""
        lane = make_lane(function_workers=4)
        await lane.start()
        assert set() == lane._workers | lane._starting

        for _ in range(3):
            await result(lane, "lane.pid")
        assert 1 == len(lane._workers)

    async def test_close(self, make_lane: MakeLane) -> None:
        """Closing ends idle workers and those at work, and can be repeated."""
        lane = make_lane(function_workers=2)
        pid = await result(lane, "lane.pid")
        hanging = await hang(lane)

        await lane.close()
        await lane.close()

        assert not is_running(pid)
        with pytest.raises(WorkerFailed, match="stops"):
            await hanging
        with pytest.raises(LaneFull):
            await lane.call("runner", "test.arg", [], {}, FULL)

    async def test_nothing_secret_is_visible(self, make_lane: MakeLane) -> None:
        """Neither options nor credentials stand on a command line or in an environment."""
        shown = await result(make_lane(), "lane.process")

        assert "saltapi.bridge.worker" in shown
        assert "a secret" not in shown

    def test_parent_dies(self, master: PrivateMaster, tmp_path: Path) -> None:
        """No worker survives its parent, not even one at work."""
        program = tmp_path / "program.py"
        program.write_text(PARENT)
        parent = subprocess.Popen(
            [sys.executable, str(program), str(master.config_dir), master.username],
            stdout=subprocess.PIPE,
            stdin=subprocess.PIPE,
            text=True,
        )
        with parent:
            assert parent.stdin is not None
            assert parent.stdout is not None
            parent.stdin.write(master.password + "\n")
            parent.stdin.flush()
            pid = int(parent.stdout.readline())
            parent.kill()

        eventually(lambda: not is_running(pid))


PARENT = f"""
import asyncio, sys
from saltapi import config
from saltapi.bridge.workers.functions import FunctionLane, LaneFull
from saltapi.types import Credentials

async def main():
    opts = config.load(sys.argv[1])
    lane = FunctionLane(opts, config.EngineConfig(function_workers=1))
    who = Credentials(eauth="file", username=sys.argv[2], password=sys.stdin.readline().strip())
    while not lane._workers:
        try:
            await lane.call("runner", "test.arg", [], {{}}, who)
        except LaneFull:
            await asyncio.sleep(0.1)
    work = asyncio.create_task(lane.call("runner", "test.sleep", [{SLEEP_SECONDS}], {{}}, who))
    while not lane._idle.empty():
        await asyncio.sleep(0.01)
    (worker,) = lane._workers
    print(worker.pid, flush=True)
    await work

asyncio.run(main())
"""


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
