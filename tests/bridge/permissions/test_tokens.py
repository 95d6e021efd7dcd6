"""What the token store says is what it holds, also where it fails meanwhile."""

import logging
from typing import Any

import pytest

from saltapi import config, seldom
from saltapi.bridge.permissions.tokens import TokenStore, _found
from saltapi.demo import PrivateMaster

TOKEN = "5ec7e7" * 8
DATA = {"name": "fred"}


class FakeAuth:
    """Salt's `LoadAuth`, whose first look into the store fails, which it calls an unknown token."""

    def __init__(self, comes_back: bool) -> None:
        self.opts = {"eauth_tokens.cache_driver": "redis"}
        self.cache = self
        self._comes_back = comes_back
        self._looks = 0

    def get_tok(self, _token: str) -> dict[str, Any]:
        self._looks += 1
        return {} if self._looks == 1 else DATA

    def fetch(self, _bank: str, _token: str) -> dict[str, Any]:
        if not self._comes_back:
            raise OSError("connection refused")
        return DATA


def test_store_that_comes_back() -> None:
    """A store that is there again before it could be told that it failed has the token."""
    assert DATA == _found(FakeAuth(comes_back=True), TOKEN)


def test_store_that_fails() -> None:
    """A store that fails is not one without the token."""
    with pytest.raises(OSError, match="refused"):
        _found(FakeAuth(comes_back=False), TOKEN)


async def test_strangers_make_no_noise(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many unknown tokens come, Salt's store writes one line of them at most."""
    monkeypatch.setattr(seldom, "_said", {})
    master = PrivateMaster(minions=0)
    try:
        store = TokenStore(config.load(master.config_dir))
        for number in range(5):
            assert not await store.get(f"{number:064x}")
    finally:
        master.stop()
    said = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(said) <= 1, [record.getMessage() for record in said]
