"""What the token store says is what it holds, also where it fails meanwhile."""

from typing import Any

import pytest

from saltapi.bridge.permissions.tokens import _found

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
