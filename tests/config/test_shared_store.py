"""The option `saltapi_store`."""

from typing import Any

import pytest

from saltapi.config.shared_store import StoreSection, store_of
from saltapi.errors import CannotStart


def test_servers() -> None:
    """A URL names servers, with the usual port; three or more keep each value three times."""
    section = store_of({"saltapi_store": "nats://a,b:7, [::1]:8"})
    assert section is not None
    assert ["nats://a:4222", "nats://b:7", "nats://[::1]:8"] == section.servers
    assert 3 == section.copies
    assert 1 == StoreSection(url="nats://a,b").copies
    assert 2 == StoreSection(url="nats://a,b", replicas=2).copies
    assert store_of({}) is None


@pytest.mark.parametrize(
    ("options", "host", "encrypted"),
    [
        ({"url": "nats://a"}, "a", True),
        ({"url": "nats://a"}, "127.0.0.1", False),
        ({"url": "nats://a"}, None, True),
        ({"url": "tls://localhost"}, "localhost", True),
        ({"url": "nats://localhost", "ca_file": "/ca"}, "localhost", True),
        ({"url": "nats://localhost", "tls": True}, "localhost", True),
        ({"url": "nats://a", "tls": False}, "a", False),
    ],
)
def test_what_must_be_encrypted(options: dict[str, Any], host: str | None, encrypted: bool) -> None:
    """To other machines nothing is said in the clear, unless the config says so."""
    assert encrypted == StoreSection(**options).must_be_encrypted(host)


@pytest.mark.parametrize(
    "written",
    [
        7,
        ["nats://a"],
        {},
        {"servers": "nats://a"},
        "a",
        "http://a",
        "nats://",
        "nats://a,,b",
        "nats://user:password@a",
        "nats://a/path",
        "nats://a:70000",
        "nats://" + ",".join("abcdefghijklmnopqrstuvwxyz"),
        {"url": "nats://a", "bukcet": "b"},
        {"url": "nats://a", "bucket": "a.b"},
        {"url": "nats://a", "replicas": 6},
        {"url": "nats://a", "key_file": "/k"},
        {"url": "nats://a", "credentials_file": "relative"},
        {"url": "tls://a", "tls": False},
        {"url": "nats://a", "tls": False, "ca_file": "/ca"},
    ],
    ids=str,
)
def test_what_is_wrong(written: Any) -> None:
    """A wrong option stops the start, and says no password."""
    if written == {}:
        assert store_of({"saltapi_store": written}) is None
        return
    with pytest.raises(CannotStart) as caught:
        store_of({"saltapi_store": written})
    assert "saltapi_store" in str(caught.value)
    assert "user:password@" not in str(caught.value)
