"""Salt's tokens in a bucket, made and read by Salt's own code at several masters."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import salt.config
import salt.exceptions
from nats.aio.client import Client

from saltapi.bridge.nats import token_bucket
from saltapi.bridge.nats.sealing import Seal
from saltapi.bridge.permissions.tokens import TokenStore
from saltapi.bridge.salt_line import SALT_LINE
from saltapi.errors import CannotStart, TokenStoreUnavailable
from saltapi.types import Credentials, Opts
from tests.nats_servers import NatsServers
from tests.waiting import scaled

SECRET = "5ec7e7" * 8
DRIVER = "eauth_tokens.cache_driver" if SALT_LINE >= 3008 else "eauth_tokens"


class Masters:
    """Masters that have nothing in common but the servers."""

    def __init__(self, directory: Path, url: str) -> None:
        self._directory = directory
        self.url = url
        self.bucket = f"tokens-{time.time_ns()}"
        self.stores: list[TokenStore] = []

    def opts(self, secret: str = SECRET, **store: Any) -> Opts:
        """Return the options of one master more."""
        directory = self._directory / str(time.time_ns())
        directory.mkdir()
        (directory / "secret").write_text(f"{secret}\n")
        section = {"url": self.url, "bucket": self.bucket, "max_bytes": 2**25, **store}
        opts: Opts = {
            **salt.config.DEFAULT_MASTER_OPTS,
            "cachedir": str(directory),
            "token_dir": str(directory / "tokens"),
            "extension_modules": str(directory / "extmods"),
            "saltapi_store": {"secret_file": str(directory / "secret"), **section},
            DRIVER: "saltapi_nats",
        }
        return opts

    def store(self, secret: str = SECRET, **store: Any) -> TokenStore:
        """Return the token store of one master more."""
        self.stores.append(TokenStore(self.opts(secret, **store)))
        return self.stores[-1]


@pytest.fixture
def masters(tmp_path: Path, nats_servers: NatsServers) -> Iterator[Masters]:
    made = Masters(tmp_path, nats_servers.url)
    yield made
    for store in made.stores:
        store.close()


async def login(store: TokenStore, seconds: float = 60.0) -> str:
    """Make a token as the master does, and return it."""
    data = {"name": "fred-the-user", "eauth": "pam", "start": time.time(), "groups": ["ops"]}
    data["expire"] = time.time() + seconds

    def make(auth: Any) -> str:
        if SALT_LINE < 3008:
            return str(auth.tokens["saltapi_nats.mk_token"](auth.opts, data)["token"])
        auth.cache.store("tokens", "ab" * 32, {**data, "token": "ab" * 32}, expires=seconds)
        return "ab" * 32

    return str(await store.calls.call(make))


async def test_a_session_of_another_master(masters: Masters) -> None:
    """A token of one master is one at another, until anybody takes it back."""
    first, second = masters.store(), masters.store()
    assert first.readable
    token = await login(first)
    found = await second.get(token)
    assert ("fred-the-user", "pam", ["ops"]) == (found["name"], found["eauth"], found["groups"])
    assert {} == await second.get("cd" * 32)
    async with second.lent(Credentials(token=token)) as lent:
        assert lent.token not in {None, token}
        assert "fred-the-user" == (await first.get(str(lent.token)))["name"]
    assert {} == await first.get(str(lent.token))
    await second.remove(token)
    assert {} == await first.get(token)


async def test_what_has_expired(masters: Masters) -> None:
    """A token ends when it has to, without anybody who cleans."""
    store = masters.store()
    token = await login(store, 3.0)
    assert await store.get(token)
    async with asyncio.timeout(scaled(10)):
        while await store.get(token) != {}:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    if SALT_LINE >= 3008:  # 3007 has no such method
        await store.calls.call(lambda auth: auth.clean_expired_tokens())
    assert [] == list(await store.calls.call(lambda auth: auth.list_tokens()))


async def test_what_the_servers_know(masters: Masters) -> None:
    """Whoever reads the bucket learns no token and no name."""
    token = await login(masters.store())
    client = Client()
    await client.connect(masters.url)
    js = client.jetstream()
    info = await js.stream_info(f"KV_{masters.bucket}", subjects_filter=">")
    subjects = list(info.state.subjects or {})
    values = [(await js.get_last_msg(f"KV_{masters.bucket}", one)).data or b"" for one in subjects]
    await client.close()
    seen = " ".join(subjects).encode() + b"".join(values)
    assert 2 == len(subjects)
    assert [] == [word for word in (token, "fred", "pam", "ops") if word.encode() in seen]


async def test_who_may_write_makes_no_token(masters: Masters) -> None:
    """A value that was made without the secret is no token."""
    stranger = masters.store(secret="another" * 8)
    token = await login(stranger)
    assert await stranger.get(token)
    assert {} == await masters.store().get(token)


def test_sealed_is_for_one_token(tmp_path: Path) -> None:
    """What was sealed for one token opens for no other one, and not when it was changed."""
    (tmp_path / "secret").write_text(SECRET)
    seal = Seal(str(tmp_path / "secret"))
    sealed = seal.seal("a", b"data")
    assert b"data" == seal.open("a", sealed)
    assert seal.name("a") != seal.name("b")
    for token, value in (("b", sealed), ("a", sealed[:-1]), ("a", b""), ("a", sealed + b"x")):
        assert seal.open(token, value) is None


async def test_servers_that_are_away(tmp_path: Path, masters: Masters) -> None:
    """While the servers are away nobody is told that a token is unknown."""
    with NatsServers(tmp_path / "nats") as servers:
        await servers.ready()
        store = masters.store(url=servers.url)
        token = await login(store)
        servers.servers[0].stop()
        with pytest.raises(TokenStoreUnavailable):
            await store.get(token)
        with pytest.raises(TokenStoreUnavailable):
            await store.remove(token)
        servers.servers[0].start()
        while True:
            try:
                assert "fred-the-user" == (await store.get(token))["name"]
                break
            except TokenStoreUnavailable:
                await asyncio.sleep(0.1)


@pytest.mark.skipif(SALT_LINE < 3008, reason="3007 has another interface")
def test_tokens_and_nothing_else(masters: Masters) -> None:
    """The driver keeps no other bank, and does not forget all at once."""
    cache = salt.cache.Cache(masters.opts(), driver="saltapi_nats")
    with pytest.raises(salt.exceptions.SaltCacheError):
        cache.store("minions/m", "data", {})
    with pytest.raises(salt.exceptions.SaltCacheError):
        cache.flush("tokens")
    assert not cache.contains("tokens", "ab" * 32)
    assert cache.updated("tokens", "ab" * 32) is None


@pytest.mark.parametrize("store", [{"secret_file": ""}, {"secret_file": "/no"}], ids=str)
def test_without_a_secret(masters: Masters, store: dict[str, Any]) -> None:
    """Tokens are kept with a secret, or not at all."""
    with pytest.raises(CannotStart, match="secret"):
        token_bucket.bucket_of(masters.opts(**store))
    with pytest.raises(CannotStart, match="32 bytes"):
        token_bucket.bucket_of(masters.opts(secret="short"))
    with pytest.raises(CannotStart, match="saltapi_store"):
        token_bucket.bucket_of({})
