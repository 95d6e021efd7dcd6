"""Lists of jobs: the same as Salt's, without reading every file for each of them."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import salt.config
import salt.loader
import salt.payload

from bench.jobs import main as fill
from saltapi.bridge.worker import job_loads
from saltapi.bridge.worker.job_loads import JobLoads

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
    """What is decoded from now on."""
    seen: list[bytes] = []
    loads: Callable[..., Any] = salt.payload.loads

    def noted(data: bytes, **more: Any) -> Any:
        seen.append(data)
        return loads(data, **more)

    monkeypatch.setattr(salt.payload, "loads", noted)
    return seen


def returners(opts: dict[str, Any]) -> Any:
    return salt.loader.returners(opts, {})


def load_files(opts: dict[str, Any]) -> list[Path]:
    return sorted(Path(opts["cachedir"], "jobs").glob(f"*/*/{job_loads.LOAD_FILE}"))


@pytest.mark.parametrize(
    ("name", "args"), [("get_jids", ()), ("get_jids_filter", (3,)), ("get_jids_filter", (9, False))]
)
def test_as_salt(opts: dict[str, Any], name: str, args: tuple[Any, ...]) -> None:
    """Every list is the one that Salt makes, the first time and later."""
    salts, ours = returners(opts), returners(opts)
    job_loads.remember(ours)
    expected = salts[f"local_cache.{name}"](*args)

    assert expected
    for _ in range(2):
        assert expected == ours[f"local_cache.{name}"](*args)


def test_once(opts: dict[str, Any], read: list[bytes]) -> None:
    """A load that has not changed is read once; new ones, changed ones and lost ones are seen."""
    walk, jobs = JobLoads(), f"{opts['cachedir']}/jobs"
    list(walk(jobs))
    assert JOBS == len(read)
    assert JOBS == len(list(walk(jobs)))
    assert JOBS == len(read)

    first, second, *_ = load_files(opts)
    load = salt.payload.loads(first.read_bytes())
    first.with_suffix(".new").write_bytes(salt.payload.dumps({**load, "user": "somebody"}))
    first.with_suffix(".new").rename(first)
    shutil.rmtree(second.parent)
    read.clear()
    found = {jid: load for jid, load, _, _ in walk(jobs)}

    assert "somebody" == found[load["jid"]]["user"]
    assert JOBS - 1 == len(found)
    assert 1 == len(read)


def test_nobody_changes_what_is_kept(opts: dict[str, Any]) -> None:
    """What a reader does to a load is not seen by the next one."""
    walk, jobs = JobLoads(), f"{opts['cachedir']}/jobs"
    for _, load, _, _ in walk(jobs):
        load["arg"].append("changed")
        load["user"] = "changed"

    assert all("root" == load["user"] and [] == load["arg"] for _, load, _, _ in walk(jobs))


def test_without_what_it_returned(opts: dict[str, Any]) -> None:
    """What a runner returned is in its load, and is not kept."""
    path = load_files(opts)[0]
    load = salt.payload.loads(path.read_bytes())
    path.write_bytes(salt.payload.dumps({**load, "return": "x" * 1_000_000}))
    walk = JobLoads()
    found = {jid: load for jid, load, _, _ in walk(f"{opts['cachedir']}/jobs")}

    assert load == found[load["jid"]]
    assert 10_000 > sum(len(kept) for _, kept in walk._kept.values())


def test_bound(opts: dict[str, Any]) -> None:
    """No more is kept than may be; nothing is missing for that."""
    walk = JobLoads(limit_bytes=500)
    for _ in range(2):
        assert JOBS == len(list(walk(f"{opts['cachedir']}/jobs")))
    assert 0 < sum(len(kept) for _, kept in walk._kept.values()) <= 500


@pytest.mark.parametrize("broken", [b"", b"\xc1", salt.payload.dumps(["no load"])])
def test_broken(opts: dict[str, Any], broken: bytes) -> None:
    """A file that is no load is left out, and so is a directory without one."""
    load_files(opts)[0].write_bytes(broken)
    Path(opts["cachedir"], "jobs", "ab", "cd").mkdir(parents=True)
    Path(opts["cachedir"], "jobs", "a-file").touch()

    assert JOBS - 1 == len(list(JobLoads()(f"{opts['cachedir']}/jobs")))


def test_no_job_cache(tmp_path: Path) -> None:
    """Without the directory there are no jobs."""
    assert [] == list(JobLoads()(str(tmp_path / "none")))
