"""Scenes: see `scene.py`."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import salt.cache

from saltapi.config import load
from saltapi.demo import PrivateMaster
from saltapi.types import Opts
from tests.engine.fleet.scene import USERS, Scene


@pytest.fixture(scope="module")
def files() -> Iterator[tuple[PrivateMaster, Opts]]:
    """The config of a master that is never started."""
    master = PrivateMaster(minions=0, users=USERS)
    opts = load(master.config_dir)
    for folder in ("cachedir", "pki_dir"):
        for name in ("proc", "minions"):
            Path(opts[folder], name).mkdir(parents=True, exist_ok=True)
    Path(opts["token_dir"]).mkdir(parents=True, exist_ok=True)
    yield master, opts
    master.stop()


@pytest.fixture
async def scene(files: tuple[PrivateMaster, Opts]) -> AsyncIterator[Scene]:
    master, opts = files
    found = Scene(opts, master.username)
    yield found
    await found.close()
    found.forget_keys()
    salt.cache.factory(dict(opts)).flush("grains")
