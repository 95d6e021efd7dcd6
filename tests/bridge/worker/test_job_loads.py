"""Lists of jobs: the same as Salt's, without reading every file for each of them."""

import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import salt.config
import salt.loader
import salt.payload
import salt.returners.local_cache

from bench.jobs import MINION
from bench.jobs import main as fill
from saltapi.bridge.worker import job_loads, job_scan
from saltapi.bridge.worker.job_index import JobIndex, Search
from saltapi.bridge.worker.job_loads import JobLoads
from saltapi.bridge.worker.job_scan import JobScan

JOBS = 5


@pytest.fixture
def opts(tmp_path: Path) -> dict[str, Any]:
    """The options of a master whose job cache has a few jobs."""
    (tmp_path / "config").mkdir()
    config = tmp_path / "config" / "master"
    config.write_text(f"root_dir: {tmp_path}\ncachedir: {tmp_path}/cache\n")
    opts: dict[str, Any] = salt.config.master_config(str(config))
    fill(str(config.parent), JOBS, f"{opts['cachedir']}/jobs")
    return {"grains": {}, **opts}


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What is decoded from now on, but for the lists of minions beside the loads."""
    seen: list[bytes] = []
    loads: Callable[..., Any] = salt.payload.loads
    minions = salt.payload.dumps([MINION])

    def noted(data: bytes, **more: Any) -> Any:
        if data != minions:
            seen.append(data)
        return loads(data, **more)

    monkeypatch.setattr(salt.payload, "loads", noted)
    return seen


def walk_of(opts: dict[str, Any]) -> JobLoads:
    return JobLoads(opts, salt.returners.local_cache._walk_through)


def load_files(opts: dict[str, Any]) -> list[Path]:
    return sorted(Path(opts["cachedir"], "jobs").glob(f"*/*/{job_scan.LOAD_FILE}"))


def rewrite(path: Path, load: Any) -> None:
    """Put a load in place of another as Salt does."""
    path.with_suffix(".new").write_bytes(salt.payload.dumps(load))
    path.with_suffix(".new").rename(path)


def settle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let directories count as unchanged that changed just now, and loads be looked at anew."""
    monkeypatch.setattr(job_scan, "SETTLED_SECONDS", -1.0)
    monkeypatch.setattr(job_scan, "LOOK_AGAIN_SECONDS", 0.0)


@pytest.mark.parametrize(
    ("name", "args"), [("get_jids", ()), ("get_jids_filter", (3,)), ("get_jids_filter", (9, False))]
)
def test_as_salt(opts: dict[str, Any], name: str, args: tuple[Any, ...]) -> None:
    """Every list is the one that Salt makes, the first time and later."""
    salts, ours = salt.loader.returners(opts, {}), salt.loader.returners(opts, {})
    job_loads.remember(ours, opts)
    expected = salts[f"local_cache.{name}"](*args)

    assert expected
    for _ in range(2):
        assert expected == ours[f"local_cache.{name}"](*args)


def test_once(opts: dict[str, Any], read: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """A load that has not changed is read once; new ones, changed ones and lost ones are seen."""
    settle(monkeypatch)
    walk, jobs = walk_of(opts), f"{opts['cachedir']}/jobs"
    list(walk(jobs))
    assert JOBS == len(read)
    assert JOBS == len(list(walk(jobs)))
    assert JOBS == len(list(walk_of(opts)(jobs)))  # in another process
    assert JOBS == len(read)

    first, second, *_ = load_files(opts)
    load = salt.payload.loads(first.read_bytes())
    rewrite(first, {**load, "user": "somebody"})
    time.sleep(0.02)  # the clock of a file system is a coarse one
    shutil.rmtree(second.parent)
    read.clear()
    found = {jid: load for jid, load, _, _ in walk(jobs)}

    assert "somebody" == found[load["jid"]]["user"]
    assert JOBS - 1 == len(found)
    assert 1 == len(read)


def test_load_comes_later(opts: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A job whose directory is there before its load is listed when that has come."""
    settle(monkeypatch)
    walk, jobs = walk_of(opts), f"{opts['cachedir']}/jobs"
    path = load_files(opts)[0]
    data = path.read_bytes()
    path.unlink()
    assert JOBS - 1 == len(list(walk(jobs)))
    path.write_bytes(data)
    assert JOBS == len(list(walk(jobs)))


def test_minions(opts: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The index knows whom a job is for, who has returned, also late, and who has not."""
    settle(monkeypatch)
    scan = JobScan(JobIndex(job_loads.index_path(opts)), opts)
    waits, *_ = load_files(opts)
    shutil.rmtree(waits.with_name(MINION))
    jid = salt.payload.loads(waits.read_bytes())["jid"]

    def jobs(**wanted: Any) -> set[str]:
        while not scan.step():
            pass
        return set(scan.index.search(Search(**wanted), None).jobs)

    assert {jid} == jobs(outstanding=True)
    assert JOBS == len(jobs(minion=MINION))
    assert set() == jobs(minion="late")
    time.sleep(0.02)  # the clock of a file system is a coarse one
    for minion in (MINION, "late"):
        waits.with_name(minion).mkdir()
    assert set() == jobs(outstanding=True)
    assert {jid} == jobs(minion="late")


@pytest.mark.parametrize(
    ("more", "minion", "found"),
    [({"order_masters": True}, "nothing", JOBS), ({"id": "here"}, "here", 1)],
)
def test_minions_of_masters(
    opts: dict[str, Any], more: dict[str, Any], minion: str, found: int
) -> None:
    """A job that masters below may add minions to fits any; one of the master's has the master."""
    first, *_ = load_files(opts)
    rewrite(first, {**salt.payload.loads(first.read_bytes()), "fun": "runner.jobs.list_jobs"})
    scan = JobScan(JobIndex(job_loads.index_path(opts)), {**opts, **more})
    while not scan.step():
        pass
    assert found == len(scan.index.search(Search(minion=minion), None).jobs)


def test_another_job_cache(opts: dict[str, Any]) -> None:
    """What is known of a job cache is not told of the one in its place."""
    walk, jobs = walk_of(opts), Path(opts["cachedir"], "jobs")
    assert JOBS == len(list(walk(str(jobs))))
    jobs.rename(jobs.with_name("old"))
    assert [] == list(walk(str(jobs)))
    jobs.with_name("old").rename(jobs)
    assert JOBS == len(list(walk(str(jobs))))


def test_steps_are_bounded(
    opts: dict[str, Any], read: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No step reads more than it may; the index is complete after the last one, not before."""
    monkeypatch.setattr(job_scan, "LOADS_PER_STEP", 2)
    scan = JobScan(JobIndex(job_loads.index_path(opts)), opts)
    steps, complete = 0, False
    while not complete:
        before = len(read)
        complete = scan.step()
        steps += 1
        assert len(read) - before <= 2
        assert complete == scan.index.complete
    assert steps >= JOBS // 2
    assert JOBS == len(scan.index.versions())


def test_nobody_changes_what_is_kept(opts: dict[str, Any]) -> None:
    """What a reader does to a load is not seen by the next one."""
    walk, jobs = walk_of(opts), f"{opts['cachedir']}/jobs"
    for _, load, _, _ in walk(jobs):
        load["arg"].append("changed")
        load["user"] = "changed"

    assert all("root" == load["user"] and [] == load["arg"] for _, load, _, _ in walk(jobs))


def test_without_what_it_returned(opts: dict[str, Any]) -> None:
    """What a runner returned is in its load, and is not kept; nor is what is long."""
    first, second, *_ = load_files(opts)
    load = salt.payload.loads(first.read_bytes())
    rewrite(first, {**load, "return": "x" * 1_000_000})
    long = {**salt.payload.loads(second.read_bytes()), "arg": ["y" * 100_000]}
    rewrite(second, long)
    walk = walk_of(opts)
    found = {jid: load for jid, load, _, _ in walk(f"{opts['cachedir']}/jobs")}

    assert load == found[load["jid"]]
    assert long == found[long["jid"]]
    assert job_loads.index_path(opts).stat().st_size < 100_000


@pytest.mark.parametrize("broken", [b"", b"\xc1", salt.payload.dumps(["no load"])])
def test_broken(
    opts: dict[str, Any], broken: bytes, read: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is no load is left out and not read again; so is a directory without one."""
    settle(monkeypatch)
    load_files(opts)[0].write_bytes(broken)
    Path(opts["cachedir"], "jobs", "ab", "c" * 62).mkdir(parents=True)
    Path(opts["cachedir"], "jobs", "a-file").touch()
    walk = walk_of(opts)

    for _ in range(2):
        assert JOBS - 1 == len(list(walk(f"{opts['cachedir']}/jobs")))
    assert JOBS == len(read)


def test_unusable_index(opts: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the index cannot be used, or does not have all jobs, Salt's own way is gone."""
    walk, jobs = walk_of(opts), f"{opts['cachedir']}/jobs"
    list(walk(jobs))
    with walk._scan.index.changing(walk._scan._source()):
        walk._scan.index.remove(walk._scan.index.keys(0, 2**60))
        walk._scan.index.note("omits", "1")
    assert JOBS == len(list(walk(jobs)))

    def fail(_self: Any) -> bool:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(JobScan, "step", fail)
    assert JOBS == len(list(walk(jobs)))


def test_no_job_cache(opts: dict[str, Any]) -> None:
    """Without the directory there are no jobs."""
    shutil.rmtree(f"{opts['cachedir']}/jobs")
    assert [] == list(walk_of(opts)(f"{opts['cachedir']}/jobs"))
