"""Tokens: made, checked, shared by commands, revoked; and what their users may do."""

import asyncio
import copy
import time
from typing import Any

import pytest

from saltapi.bridge.requests import turns
from saltapi.engine.sessions import sessions
from saltapi.engine.sessions.forms import is_token
from saltapi.engine.sessions.sessions import Sessions, permissions
from saltapi.errors import (
    AuthenticationFailed,
    MalformedAnswer,
    MasterUnavailable,
    TokenStoreUnavailable,
)
from saltapi.types import Credentials, Session
from tests.waiting import async_eventually, scaled

PASSWORD = Credentials(eauth="pam", username="fred", password="x")
HOUR = 3600.0


class FakeStore:
    """A token store in memory."""

    def __init__(self) -> None:
        self.tokens: dict[str, dict[str, Any]] = {}
        self.readable = True
        self.reads: list[str] = []
        self.removed: list[str] = []
        self.broken = False

    async def get(self, token: str) -> dict[str, Any]:
        self.reads.append(token)
        await asyncio.sleep(0)
        return self.tokens.get(token, {})

    async def remove(self, token: str) -> None:
        await asyncio.sleep(0)
        if self.broken:
            raise RuntimeError("the store is gone")
        self.removed.append(token)
        self.tokens.pop(token, None)


class FakeMaster:
    """Makes tokens in the store, one after the other."""

    def __init__(self, store: FakeStore) -> None:
        self.store = store
        self.loads: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.expire_seconds = HOUR
        self.error: Exception | None = None
        self.hold = asyncio.Event()
        self.hold.set()

    async def mk_token(self, load: dict[str, Any]) -> dict[str, Any]:
        self.loads.append(load)
        await self.hold.wait()
        if self.error is not None:
            raise self.error
        token = f"{len(self.loads):064x}"
        now = time.time()
        data = {
            "token": token,
            "name": load["username"],
            "eauth": load["eauth"],
            "start": now,
            "expire": now + self.expire_seconds,
        }
        self.store.tokens[token] = data
        return data

    async def get_token(self, token: str) -> dict[str, Any]:
        self.asked.append(token)
        if token not in self.store.tokens:
            raise AuthenticationFailed("The token is unknown or has expired.")
        return self.store.tokens[token]


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
async def master(store: FakeStore) -> FakeMaster:
    return FakeMaster(store)


def make(master: FakeMaster, cache_seconds: float = 60.0) -> Sessions:
    return Sessions({}, master, master.store, cache_seconds=cache_seconds)  # type: ignore[arg-type]


async def log_in(sessions: Sessions) -> Session:
    return await sessions.login(PASSWORD.as_load())


# Tokens


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        b"5ec7e7" * 8,
        ["5ec7e7" * 8],
        "../../../../etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "5EC7E7" * 8,
        "5ec7e7" * 8 + "\n",
        "5ec7e7" * 8 + "\0",
        " " + "5ec7e7" * 8,
        "0x" + "5ec7e7" * 8,
        "-1",
        "1_2",
        "٣" * 64,
        "a" * 31,
        "a" * 129,
        "a" * 1_000_000,
        True,
        {},
    ],
    ids=lambda value: repr(value)[:20],
)
async def test_what_is_no_token_is_never_looked_up(master: FakeMaster, value: Any) -> None:
    """Only a hex digest goes to the store or the master (CVE-2018-15750)."""
    sessions = make(master)
    assert not is_token(value)
    with pytest.raises(AuthenticationFailed):
        await sessions.check(value)
    assert ([], []) == (master.store.reads, master.asked)
    if isinstance(value, str):
        assert await sessions.revoke(value) is False
        with pytest.raises(AuthenticationFailed):
            async with sessions.for_command(Credentials(token=value)):
                pytest.fail("the body must not run")


@pytest.mark.parametrize("length", [32, 40, 64, 96, 128])
def test_tokens_of_every_hash_type(length: int) -> None:
    """The digests of all hashes that `hash_type` may name are tokens."""
    assert is_token("a" * length)


async def test_login_and_check(master: FakeMaster) -> None:
    """A new token is valid and says whose it is."""
    sessions = make(master)
    session = await log_in(sessions)
    assert ("fred", "pam") == (session.name, session.eauth)
    assert session == await sessions.check(session.token)


async def test_a_check_is_remembered(master: FakeMaster) -> None:
    """The store is asked once for a while, and again when the answer must be fresh."""
    sessions = make(master)
    token = (await log_in(sessions)).token
    for _ in range(3):
        await sessions.check(token)
    assert [token] == master.store.reads
    await sessions.check(token, fresh=True)
    assert [token] * 2 == master.store.reads


async def test_nothing_is_remembered_without_a_cache(master: FakeMaster) -> None:
    """With `api_session_cache_seconds: 0` each check asks the store."""
    sessions = make(master, cache_seconds=0)
    token = (await log_in(sessions)).token
    await sessions.check(token)
    await sessions.check(token)
    assert [token] * 2 == master.store.reads


async def test_unknown_tokens_are_not_remembered(master: FakeMaster) -> None:
    """A stranger's tokens take no memory, and a token that appears is valid at once."""
    sessions = make(master)
    token = f"{1:064x}"
    with pytest.raises(AuthenticationFailed):
        await sessions.check(token)
    await log_in(sessions)
    assert token == (await sessions.check(token)).token


async def test_the_cache_is_bounded(master: FakeMaster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many sessions do not make the process grow: the oldest are asked for again."""
    monkeypatch.setattr(sessions, "CACHED_SESSIONS", 2)
    found = make(master)
    tokens = [(await log_in(found)).token for _ in range(3)]
    for token in [*tokens, tokens[2], tokens[0]]:
        await found.check(token)
    assert [*tokens, tokens[0]] == master.store.reads


async def test_a_token_expires_by_our_clock(master: FakeMaster) -> None:
    """A remembered token ends on time, without a question to the store (CVE-2021-3144)."""
    sessions = make(master)
    master.expire_seconds = scaled(0.2)
    token = (await log_in(sessions)).token
    await sessions.check(token)
    expire = master.store.tokens[token]["expire"]
    await async_eventually(lambda: time.time() >= expire)
    for _ in range(2):
        with pytest.raises(AuthenticationFailed):
            await sessions.check(token)


async def test_an_expired_token_in_the_store_is_refused(master: FakeMaster) -> None:
    """A store that has not been swept lets nobody in."""
    sessions = make(master)
    token = (await log_in(sessions)).token
    master.store.tokens[token]["expire"] = time.time() - 1
    with pytest.raises(AuthenticationFailed):
        await sessions.check(token)


async def test_a_revoked_token_is_refused_at_once(master: FakeMaster) -> None:
    """Revoking forgets what was remembered and removes the token from the store."""
    sessions = make(master)
    token = (await log_in(sessions)).token
    await sessions.check(token)
    assert await sessions.revoke(token) is True
    assert [token] == master.store.removed
    with pytest.raises(AuthenticationFailed):
        await sessions.check(token)


async def test_without_the_store_the_master_is_asked(master: FakeMaster) -> None:
    """A process that may not read the store asks the master, and cannot revoke."""
    master.store.readable = False
    sessions = make(master)
    token = (await log_in(sessions)).token
    assert "fred" == (await sessions.check(token)).name
    assert ([token], []) == (master.asked, master.store.reads)
    assert await sessions.revoke(token) is False
    with pytest.raises(AuthenticationFailed):
        await sessions.check("f" * 64)


@pytest.mark.parametrize(
    "data", [{"name": "fred"}, {"expire": 1e12}, {"name": "fred", "expire": "soon"}]
)
async def test_a_damaged_token_is_an_error_with_a_name(
    master: FakeMaster, data: dict[str, Any]
) -> None:
    """What the store holds under a token may be damaged; that is no crash."""
    master.store.tokens["a" * 64] = data
    with pytest.raises(MalformedAnswer):
        await make(master).check("a" * 64)


async def test_a_stream_ends_when_its_token_expires(master: FakeMaster) -> None:
    """`ended` returns by the clock, also when nothing happens."""
    sessions = make(master)
    master.expire_seconds = scaled(0.2)
    session = await log_in(sessions)
    async with asyncio.timeout(scaled(10)):
        assert "The token has expired." == await sessions.ended(session)
    assert session.expire <= time.time()


async def test_a_stream_ends_when_its_token_is_revoked(
    master: FakeMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`ended` sees that another process revoked the token; a master away for a while is no end."""
    monkeypatch.setattr(sessions, "REVOCATION_CHECK_SECONDS", 0.02)
    found = make(master, cache_seconds=0)
    session = await log_in(found)
    ended = asyncio.create_task(found.ended(session))
    await async_eventually(lambda: len(master.store.reads) > 1)

    async def away(token: str) -> dict[str, Any]:
        away_calls.append(token)
        raise MasterUnavailable("away")

    away_calls: list[str] = []
    monkeypatch.setattr(master.store, "get", away)
    await async_eventually(lambda: len(away_calls) > 1)
    assert not ended.done()
    monkeypatch.undo()
    monkeypatch.setattr(sessions, "REVOCATION_CHECK_SECONDS", 0.02)
    del master.store.tokens[session.token]
    async with asyncio.timeout(scaled(10)):
        assert "The token was revoked." == await ended


# Passwords that come with commands


async def test_a_token_goes_with_its_command(master: FakeMaster) -> None:
    """A command that brings a token is sent with it; nothing is made or revoked."""
    sessions = make(master)
    token = (await log_in(sessions)).token
    async with sessions.for_command(Credentials(token=token)) as credentials:
        assert {"token": token} == credentials.as_load()
    await sessions.close()
    assert (1, []) == (len(master.loads), master.store.removed)


async def test_a_command_is_its_users_turn(master: FakeMaster) -> None:
    """Whoever was identified in another context has their command in their own turn here."""
    sessions = make(master)
    session = await log_in(sessions)
    turns.caller.set("")
    async with sessions.for_command(Credentials(token=session.token, session=session)):
        assert "fred pam" == turns.caller.get()


@pytest.mark.parametrize(
    ("eauth", "is_known", "error"),
    [
        ("pam", True, TokenStoreUnavailable),
        ("pam", False, AuthenticationFailed),
        ("ldap", True, AuthenticationFailed),  # the master takes no tokens of that system now
    ],
)
async def test_a_good_token_that_the_master_refuses(
    master: FakeMaster, eauth: str, is_known: bool, error: type[Exception]
) -> None:
    """A master whose store fails calls a good token unknown; nobody is told to log in again."""
    opts: Any = {"external_auth": {eauth: {}}}
    sessions = Sessions(opts, master, master.store, cache_seconds=60.0)  # type: ignore[arg-type]
    token = (await log_in(sessions)).token

    async def command() -> None:
        async with sessions.for_command(Credentials(token=token)):
            if not is_known:
                del master.store.tokens[token]
            raise AuthenticationFailed.of_command("as the master says it")

    with pytest.raises(error):
        await command()


async def test_another_credential_that_is_refused(master: FakeMaster) -> None:
    """Beside a good token a wrong password is a wrong password, and no fault of the store."""
    opts: Any = {"external_auth": {"pam": {}}}
    sessions = Sessions(opts, master, master.store, cache_seconds=60.0)  # type: ignore[arg-type]
    token = (await log_in(sessions)).token
    with pytest.raises(AuthenticationFailed, match="another"):
        async with sessions.for_command(Credentials(token=token)):
            raise AuthenticationFailed("another")


async def test_a_password_is_exchanged_for_a_token(master: FakeMaster) -> None:
    """The command travels with a token that is revoked when the command has ended."""
    sessions = make(master)
    async with sessions.for_command(PASSWORD) as credentials:
        assert credentials.password is None
        assert credentials.token in master.store.tokens
    await sessions.close()
    assert [credentials.token] == master.store.removed


async def test_commands_at_the_same_time_share_a_login(master: FakeMaster) -> None:
    """A hundred commands make one login, revoked once and after the last of them."""
    sessions = make(master)
    inside = 0
    leave = asyncio.Event()

    async def command() -> str:
        nonlocal inside
        async with sessions.for_command(PASSWORD) as credentials:
            inside += 1
            await leave.wait()
            assert [] == master.store.removed
            inside -= 1
        return str(credentials.token)

    master.hold.clear()
    tasks = [asyncio.create_task(command()) for _ in range(100)]
    await async_eventually(lambda: master.loads)
    master.hold.set()
    await async_eventually(lambda: inside == 100)
    leave.set()
    tokens = set(await asyncio.gather(*tasks))
    await sessions.close()
    assert (1, 1) == (len(tokens), len(master.loads))
    assert list(tokens) == master.store.removed


async def test_other_credentials_are_another_login(master: FakeMaster) -> None:
    """Only the very same credentials share a token; names that look alike do not."""
    sessions = make(master)
    others = [
        Credentials(eauth="pam", username="fred", password="y"),
        Credentials(eauth="ldap", username="fred", password="x"),
        Credentials(eauth="pam", username="fre", password="dx"),
        Credentials(eauth="pa", username="mfred", password="x"),
        Credentials(eauth="pam", username="fred\0x", password="x"),
        Credentials(eauth="pam", username="fred", password="\0x"),
    ]
    async with sessions.for_command(PASSWORD) as first:
        for other in others:
            async with sessions.for_command(other) as credentials:
                assert credentials.token != first.token
    await sessions.close()
    assert len(others) + 1 == len(master.loads) == len(set(master.store.removed))


async def test_a_failed_command_revokes_too(master: FakeMaster) -> None:
    """The token is revoked when the command fails."""
    sessions = make(master)
    with pytest.raises(ZeroDivisionError):
        async with sessions.for_command(PASSWORD):
            raise ZeroDivisionError
    await sessions.close()
    assert [f"{1:064x}"] == master.store.removed


async def test_a_cancelled_command_revokes_too(master: FakeMaster) -> None:
    """The token is revoked when the command is cancelled, whenever that happens."""
    sessions = make(master)

    async def command() -> None:
        async with sessions.for_command(PASSWORD):
            await asyncio.Event().wait()

    running = asyncio.create_task(command())
    await async_eventually(lambda: master.store.tokens)
    running.cancel()
    await asyncio.wait({running})
    await sessions.close()
    assert [f"{1:064x}"] == master.store.removed

    master.hold.clear()
    early = asyncio.create_task(command())
    await async_eventually(lambda: len(master.loads) == 2)
    early.cancel()
    await asyncio.wait({early})
    master.hold.set()
    await sessions.close()
    assert [f"{1:064x}", f"{2:064x}"] == master.store.removed


async def test_one_cancelled_command_leaves_the_others_their_login(master: FakeMaster) -> None:
    """Who gives up during a shared login spoils nothing for the others."""
    sessions = make(master)
    master.hold.clear()

    async def command() -> str | None:
        async with sessions.for_command(PASSWORD) as credentials:
            return credentials.token

    first, second = asyncio.create_task(command()), asyncio.create_task(command())
    await async_eventually(lambda: master.loads)
    first.cancel()
    await asyncio.wait({first})
    master.hold.set()
    assert f"{1:064x}" == await second
    await sessions.close()
    assert [f"{1:064x}"] == master.store.removed


async def test_a_refused_login_is_told_to_all_who_share_it(master: FakeMaster) -> None:
    """A wrong password fails each command, is tried once for all, and is tried anew later."""
    sessions = make(master)
    master.error = AuthenticationFailed("Could not authenticate using provided credentials")

    async def command() -> None:
        async with sessions.for_command(PASSWORD):
            pytest.fail("the body must not run")

    results = await asyncio.gather(*(command() for _ in range(5)), return_exceptions=True)
    assert [AuthenticationFailed] * 5 == [type(result) for result in results]
    await sessions.close()
    assert (1, []) == (len(master.loads), master.store.removed)
    master.error = None
    async with sessions.for_command(PASSWORD) as credentials:
        assert f"{2:064x}" == credentials.token
    await sessions.close()


async def test_a_login_is_not_shared_for_ever(
    master: FakeMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands that overlap without end get a new login now and then, and each is revoked."""
    monkeypatch.setattr(sessions, "SHARED_LOGIN_SECONDS", 0.0)
    found = make(master)
    async with found.for_command(PASSWORD) as first:
        started = time.monotonic()
        await async_eventually(lambda: time.monotonic() > started)
        async with found.for_command(PASSWORD) as second:
            assert first.token != second.token
    await found.close()
    assert {first.token, second.token} == set(master.store.removed)


async def test_without_the_store_passwords_are_sent(master: FakeMaster) -> None:
    """A process that cannot revoke tokens makes none."""
    master.store.readable = False
    async with make(master).for_command(PASSWORD) as credentials:
        assert PASSWORD == credentials
    assert [] == master.loads


async def test_a_store_that_fails_is_logged(
    master: FakeMaster, caplog: pytest.LogCaptureFixture
) -> None:
    """A token that cannot be revoked is told to the log, not to the user, and without it."""
    sessions = make(master)
    master.store.broken = True
    async with sessions.for_command(PASSWORD) as credentials:
        pass
    await sessions.close()
    assert "could not be revoked" in caplog.text
    assert str(credentials.token) not in caplog.text


# Permissions

ACL = {
    "external_auth": {
        "pam": {
            "fred": ["test.*", {"web*": ["state.*"]}, "@runner"],
            "*": ["grains.*", "test.*"],
            "admins%": ["@wheel", {"db*": ["cmd.run"]}],
            "others%": [".*"],
            "nobody": None,
        },
        "ldap": {"fred": ["ldap.only"]},
    }
}


def session(name: str = "fred", **more: Any) -> Session:
    return Session(token="a" * 64, name=name, eauth="pam", start=0, expire=1e12, **more)


def test_permissions_are_own_everybodys_and_the_groups() -> None:
    """Texts come first, sorted and without duplicates, then mappings."""
    assert ["@runner", "grains.*", "test.*", {"web*": ["state.*"]}] == permissions(ACL, session())
    assert [
        "@runner",
        "@wheel",
        "grains.*",
        "test.*",
        {"db*": ["cmd.run"]},
        {"web*": ["state.*"]},
    ] == permissions(ACL, session(groups=("admins",)))


def test_permissions_leave_the_config_alone() -> None:
    """Asking a hundred times changes neither the config nor the answer."""
    opts = copy.deepcopy(ACL)
    answers = [permissions(opts, session(groups=("admins",))) for _ in range(100)]
    permissions(opts, session(groups=("admins",))).append("more")
    assert ACL == opts
    assert [answers[0]] * 100 == answers


def test_permissions_of_a_group_end_with_it() -> None:
    """Who has left a group has lost what it may do."""
    assert "@wheel" in permissions(ACL, session(groups=("admins",)))
    assert "@wheel" not in permissions(ACL, session())


def test_permissions_of_strangers() -> None:
    """Somebody unlisted has what everybody has; without a config there is nothing."""
    assert ["grains.*", "test.*"] == permissions(ACL, session("jane"))
    assert ["grains.*", "test.*"] == permissions(ACL, session("nobody"))
    assert [] == permissions({}, session())
    assert [] == permissions({"external_auth": {"pam": None}}, session())


def test_permissions_in_the_token() -> None:
    """With `keep_acl_in_token` the token says what its user may do."""
    assert ["a", "b", {"x": ["y"]}] == permissions(
        ACL, session(auth_list=("b", {"x": ["y"]}, "a", "b", {"x": ["y"]}))
    )
