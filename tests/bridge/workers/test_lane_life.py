"""The function lane: what its workers leave behind, how they end, and who notices."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from saltapi.bridge.workers import functions
from saltapi.bridge.workers.functions import LaneFull
from saltapi.demo import PrivateMaster
from saltapi.errors import AuthorizationFailed, CommandTimeout, WorkerFailed
from tests.bridge.workers.lane import (
    FULL,
    LIMITED,
    PARENT,
    SLEEP_SECONDS,
    MakeLane,
    hang,
    is_running,
    result,
    run,
)
from tests.waiting import async_eventually, eventually, scaled


class TestNothingIsLeftBehind:
    """One call does not change the next."""

    async def test_retcode(self, make_lane: MakeLane) -> None:
        """A failed function does not make the next one fail."""
        lane = make_lane()

        assert (await run(lane, "runner", "lane.fail"))["success"] is False
        assert (await run(lane, "runner", "lane.pid"))["success"] is True

    @pytest.mark.long
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

    @pytest.mark.long
    async def test_replacement(self, make_lane: MakeLane, monkeypatch: pytest.MonkeyPatch) -> None:
        """A worker is replaced after so many calls."""
        monkeypatch.setattr(functions, "CALLS_PER_WORKER", 2)
        lane = make_lane()

        pids = [await result(lane, "lane.pid") for _ in range(4)]

        assert pids[0] == pids[1] != pids[2] == pids[3]
        await async_eventually(lambda: not is_running(pids[0]))


class TestLimits:
    """A worker that misbehaves is ended; the others and the next call notice nothing."""

    @pytest.mark.long
    async def test_hang(self, make_lane: MakeLane) -> None:
        """A function that hangs is ended after `function_timeout`, and its job with it."""
        lane = make_lane(function_timeout=scaled(1))
        pid = await result(lane, "lane.pid")

        with pytest.raises(CommandTimeout, match=f"within {scaled(1):g} s"):
            await run(lane, "runner", "test.sleep", SLEEP_SECONDS, jid="20300101000000000002")

        assert not is_running(pid)
        assert "20300101000000000002" not in await result(lane, "lane.running")
        assert pid != await result(lane, "lane.pid")

    @pytest.mark.long
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
