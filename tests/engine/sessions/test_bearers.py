"""Tokens of an identity provider as sessions, while the provider changes, sleeps and lies."""

import asyncio
import contextlib
import dataclasses
import json
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import RSAKey

from saltapi.bridge.oidc import fetching, keys
from saltapi.bridge.oidc.verifier import Verifier
from saltapi.config.oidc import issuers_of
from saltapi.engine.sessions import bearers as module
from saltapi.engine.sessions.bearers import SESSION_KIND, Bearers
from saltapi.engine.store.sqlite import SqliteStore
from saltapi.errors import AuthenticationFailed, ProviderUnavailable
from saltapi.types import Session
from tests.issuer import CLIENT, Issuer, running
from tests.waiting import scaled

LOGOUT = "http://schemas.openid.net/event/backchannel-logout"


class Salts:
    """Sessions of a master's that takes every user."""

    def __init__(self) -> None:
        self.made: dict[str, Session] = {}
        self.owner: Any = None

    async def login(self, load: dict[str, Any], *, expire: float) -> Session:
        """Return a new session."""
        session = Session(secrets.token_hex(32), load["username"], "oidc", 0.0, expire)
        self.made[session.token] = session
        await self.owner.made(session, load)
        return session

    async def check(self, token: str) -> Session:
        """Return the session of a token."""
        if token not in self.made:
            raise AuthenticationFailed("It is unknown.")
        return self.made[token]

    async def revoke(self, token: str) -> bool:
        """End it."""
        return self.made.pop(token, None) is not None


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    """An issuer of the test's own."""
    with running() as issuer:
        yield issuer


@pytest.fixture
async def known(issuer: Issuer, tmp_path: Path) -> AsyncIterator[Bearers]:
    """Sessions of its tokens."""
    verifier = Verifier(issuers_of({"saltapi_oidc": [issuer.options(client_id=CLIENT)]}))
    salts, store = Salts(), SqliteStore(tmp_path / "tokens.sqlite")
    made = Bearers(verifier, salts, store)  # type: ignore[arg-type]
    salts.owner = made
    yield made
    await made.close()
    await store.close()


async def refusal(known: Bearers, token: str) -> str:
    """Wait until a token is not taken any more, and return why."""
    async with asyncio.timeout(scaled(10)):
        while True:
            try:
                await known.session(token)
            except AuthenticationFailed as error:
                return str(error)
            await asyncio.sleep(0.01)


async def test_key_that_is_gone(
    known: Bearers, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When an issuer has withdrawn a key, the sessions of what it has signed are over."""
    token = issuer.token()
    assert "alice" == (await known.session(token)).name
    issuer.key = RSAKey.generate_key(2048, {"kid": "key-2"})
    issuer.keys = [issuer.key.as_dict(private=False)]
    for place, name in ((module, "REFRESH_SECONDS"), (keys, "FRESH_SECONDS")):
        monkeypatch.setattr(place, name, 0.0)

    assert "withdrawn" in await refusal(known, token)
    assert "alice" == (await known.session(issuer.token())).name


async def test_away_while_sessions_go_on(
    known: Bearers, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An issuer that is away ends no session, and lets no new one begin by an unknown key."""
    token = issuer.token()
    await known.session(token)
    issuer.is_away = True
    for place, name in ((module, "REFRESH_SECONDS"), (keys, "FRESH_SECONDS")):
        monkeypatch.setattr(place, name, 0.0)
    monkeypatch.setattr(keys, "RETRY_SECONDS", 0.0)

    for _ in range(10):
        assert "alice" == (await known.session(token)).name
        await asyncio.sleep(0.01)
    with pytest.raises(AuthenticationFailed):
        await known.session(issuer.token(header={"kid": "unknown"}))


async def test_slow(known: Bearers, issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many ask while an issuer does not answer, all are told so, and sessions go on."""
    token = issuer.token()
    issuer.delay_seconds = scaled(3600)
    monkeypatch.setattr(fetching, "FETCH_SECONDS", 0.5)
    monkeypatch.setattr(module, "WAIT_SECONDS", 1.0)
    monkeypatch.setattr(module, "CHECKS_WAITING", 20)
    asked = [asyncio.ensure_future(known.session(issuer.token(jti=str(n)))) for n in range(50)]
    async with asyncio.timeout(scaled(30)):
        found = await asyncio.gather(*asked, return_exceptions=True)

    assert {ProviderUnavailable} == {type(one) for one in found}
    issuer.delay_seconds = 0.0
    monkeypatch.setattr(keys, "RETRY_SECONDS", 0.0)
    async with asyncio.timeout(scaled(30)):
        while True:
            with contextlib.suppress(ProviderUnavailable):
                assert "alice" == (await known.session(token)).name
                break


async def test_groups_and_users_of_now(known: Bearers, issuer: Issuer) -> None:
    """Each token is its own session: what the provider says of somebody now counts, not before."""
    one, other = issuer.token(groups=["ops"]), issuer.token(groups=[])

    assert (await known.session(one)).token != (await known.session(other)).token
    assert ("ops",) == known.verifier.identify(one).groups
    assert () == known.verifier.identify(other).groups


async def test_exchanged_once(known: Bearers, issuer: Issuer) -> None:
    """However many requests come with a token at once, it is exchanged once."""
    token = issuer.token()
    found = await asyncio.gather(*(known.session(token) for _ in range(50)))

    assert 1 == len({session.token for session in found})


async def test_many_sessions_end(known: Bearers, issuer: Issuer) -> None:
    """Of ten thousand sessions those that the provider means are ended, and no other ones."""
    store, expire = known._store, time.time() + 600
    meant = await known.session(issuer.token(sid="s-1"))
    for number in range(10_000):
        value = json.dumps([issuer.url, "bob", f"s-{number + 2}", f"{number:064x}"]).encode()
        await store.put(SESSION_KIND, str(number), value, expire=expire)
    claims: dict[str, Any] = {
        "aud": CLIENT,
        "jti": "1",
        "events": {LOGOUT: {}},
        "sub": None,
        "sid": "s-1",
    }

    assert 1 == await known.end(issuer.token(header={"typ": "logout+jwt"}, **claims))
    with pytest.raises(AuthenticationFailed):
        await known._sessions.check(meant.token)
    assert 0 == await known.end(issuer.token(header={"typ": "logout+jwt"}, **claims))


async def test_token_that_expires(known: Bearers, issuer: Issuer) -> None:
    """A session is over to the second when its token is."""
    token = issuer.token(exp=int(time.time()) + 2)
    session = await known.session(token)

    assert session.expire <= time.time() + 2
    assert "expired" in await refusal(known, token)


async def test_token_expire(issuer: Issuer, tmp_path: Path) -> None:
    """A session lasts as long as the config says, if its token lasts longer."""
    options = issuer.options(token_expire=60)
    verifier = Verifier(issuers_of({"saltapi_oidc": [options]}))
    salts, store = Salts(), SqliteStore(tmp_path / "tokens.sqlite")
    salts.owner = short = Bearers(verifier, salts, store)  # type: ignore[arg-type]
    try:
        now = time.time()
        session = await short.session(issuer.token(exp=int(now) + 3600))
        assert 0 < session.expire - now <= 60 + scaled(5)
        session = await short.session(issuer.token(exp=int(now) + 30))
        assert session.expire <= now + 30
    finally:
        await short.close()
        await store.close()


async def test_machine_tokens(issuer: Issuer, known: Bearers) -> None:
    """Users of an issuer make tokens for machines unless its `machine_tokens` says otherwise."""
    session = await known.session(issuer.token())
    assert known.lets_make_tokens(session)
    options = [
        issuer.options(machine_tokens=False),
        {"issuer": "https://ci.example.com", "audience": "x", "user_prefix": "ci:"},
    ]
    verifier = Verifier(issuers_of({"saltapi_oidc": options}))
    strict = Bearers(verifier, known._sessions, known._store)
    try:
        assert not strict.lets_make_tokens(session)
        assert strict.lets_make_tokens(dataclasses.replace(session, name="ci:job"))
        assert strict.lets_make_tokens(dataclasses.replace(session, eauth="pam"))
    finally:
        await strict.close()
