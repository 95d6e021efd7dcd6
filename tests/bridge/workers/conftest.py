"""Function lanes of a test."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from saltapi import config
from saltapi.bridge.workers.functions import FunctionLane
from saltapi.config import EngineConfig
from saltapi.demo import PrivateMaster
from saltapi.types import Opts
from tests.bridge.workers.lane import RUNNER, MakeLane


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
