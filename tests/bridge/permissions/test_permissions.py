"""What the master would allow: the same as what it then does."""

import copy
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from saltapi import config
from saltapi.bridge.permissions import permissions as module
from saltapi.bridge.permissions.calls import takes_long
from saltapi.bridge.permissions.permissions import Permissions
from saltapi.bridge.permissions.verdict import Verdict
from saltapi.demo import PrivateMaster
from saltapi.engine.commands.asynchronous import AsyncAPIClient
from saltapi.errors import AuthorizationFailed, CommandTimeout, InvalidChunk
from saltapi.types import Opts, Session

ONE, TWO = "minion-1", "minion-2"
BOTH = (ONE, TWO)
KWARG = {"__kwarg__": True}


@pytest.fixture
async def client(master: PrivateMaster) -> AsyncIterator[AsyncAPIClient]:
    """A client of the session's master."""
    async with AsyncAPIClient(config.load(master.config_dir)) as client:
        yield client


@pytest.fixture
def opts(master: PrivateMaster) -> Opts:
    """Options of the session's master, ours to change."""
    return copy.deepcopy(config.load(master.config_dir))


def user(name: str, **more: Any) -> Session:
    return Session(token="0" * 64, name=name, eauth="file", start=0.0, expire=float("inf"), **more)


async def verdict(opts: Opts, rules: list[Any], *call: Any, **more: Any) -> Verdict:
    """Return what somebody with *rules* is told of `local(*call)`."""
    opts["external_auth"]["file"]["somebody"] = rules
    asked = Permissions(opts)
    try:
        return await asked.local(user("somebody"), *call, **more)
    finally:
        asked.close()


LOCAL = [
    ("saltdev", "test.arg", ["a"], "*", "glob", True, BOTH),
    ("low", "test.ping", [], "*", "glob", True, BOTH),
    ("low", "test.arg", [], "*", "glob", False, ()),
    ("low", "saltutil.find_job", ["20000101000000000000"], "*", "glob", True, BOTH),
    ("scoped", "test.arg", [], ONE, "glob", True, (ONE,)),
    ("scoped", "test.arg", [], [ONE], "list", True, (ONE,)),
    ("scoped", "test.arg", [], "*", "glob", False, (ONE,)),
    ("scoped", "test.arg", [], TWO, "glob", False, ()),
    ("scoped", "test.arg", [], "minion-[1]", "pcre", True, (ONE,)),
    ("scoped", "test.arg", [], "E@minion-.", "compound", False, (ONE,)),
    ("scoped", "test.arg", [], "first", "nodegroup", True, (ONE,)),
    ("scoped", "test.arg", [], "N@first", "compound", True, (ONE,)),
    ("scoped", "grains.items", [], ONE, "glob", False, ()),
    ("runners", "test.ping", [], ONE, "glob", False, ()),
]


@pytest.mark.parametrize(
    ("name", "fun", "arg", "tgt", "tgt_type", "allowed", "minions"),
    LOCAL,
    ids=lambda value: str(value),
)
async def test_local(
    client: AsyncAPIClient,
    master: PrivateMaster,
    name: str,
    fun: str,
    arg: list[Any],
    tgt: Any,
    tgt_type: str,
    allowed: bool,
    minions: tuple[str, ...],
) -> None:
    """The verdict on a function for minions is what the master does when it is asked to run it."""
    session = await client.sessions.login(master.credentials(name))
    found = await client.permissions.local(session, fun, arg, tgt, tgt_type)

    assert (allowed, minions) == (found.allowed, found.minions)
    chunk = {"client": "local_async", "fun": fun, "arg": arg, "tgt": tgt, "tgt_type": tgt_type}
    if allowed:
        started = await client.run({**chunk, "token": session.token})
        assert list(minions) == sorted(started["minions"])
    else:
        with pytest.raises(AuthorizationFailed):
            await client.run({**chunk, "token": session.token})


@pytest.mark.parametrize("kind", ["runner", "wheel"])
@pytest.mark.parametrize("name", ["low", "runners", "wheels", "saltdev"])
async def test_functions(
    client: AsyncAPIClient, master: PrivateMaster, kind: str, name: str
) -> None:
    """The verdict on a runner or wheel function is what the master does when asked to run it."""
    session = await client.sessions.login(master.credentials(name))
    fun = {"runner": "test.arg", "wheel": "key.list_all"}[kind]
    found = await getattr(client.permissions, kind)(session, fun, {})

    expected = name in (f"{kind}s", "saltdev")
    assert (expected, f"@{kind}" if expected else None) == (found.allowed, found.rule)
    chunk = {"client": kind, "fun": fun, "token": session.token}
    if expected:
        await client.run(chunk)
    else:
        with pytest.raises(AuthorizationFailed):
            await client.run(chunk)


async def test_rule(opts: Opts) -> None:
    """The rule is the entry that allows it on its own, and the rest of the target is named."""
    rules = ["grains.*", {ONE: ["test.ping", "test.arg"]}, {"minion-*": ["state.*"]}]

    found = await verdict(opts, rules, "test.arg", [], ONE)
    assert (True, rules[1]) == (found.allowed, found.rule)
    found = await verdict(opts, rules, "test.arg", [], "*")
    assert (False, None, (ONE,), (TWO,)) == (
        found.allowed,
        found.rule,
        found.minions,
        found.refused,
    )
    assert "some minions" in found.reason


async def test_arguments(opts: Opts) -> None:
    """Rules about arguments are looked at as the master does."""
    rules = [{"*": [{"test.arg": {"args": ["^a$"], "kwargs": {"b": "^c$"}}}]}]

    good = await verdict(opts, rules, "test.arg", ["a", {**KWARG, "b": "c"}], "*")
    bad = await verdict(opts, rules, "test.arg", ["a", {**KWARG, "b": "d"}], "*")
    assert (True, False) == (good.allowed, bad.allowed)


async def test_runner_arguments(opts: Opts) -> None:
    """Rules about arguments of runner functions are looked at too."""
    rules = [{"@test": [{"arg": {"args": ["^a$"]}}]}, {"@runner": ["jobs.*"]}]
    opts["external_auth"]["file"]["somebody"] = rules
    asked = Permissions(opts)
    session = user("somebody")

    assert rules[0] == (await asked.runner(session, "test.arg", {}, ["a"])).rule
    assert not (await asked.runner(session, "test.arg", {}, ["b"])).allowed
    assert rules[1] == (await asked.runner(session, "jobs.active", {})).rule
    with pytest.raises(InvalidChunk, match="Check syntax"):
        await asked.runner(session, "jobs", {})
    asked.close()


async def test_nothing_matches(opts: Opts) -> None:
    """A target without minions is no matter of permissions, and the verdict says so."""
    found = await verdict(opts, ["test.*"], "test.ping", [], [ONE, "nobody"], "list")
    assert ((ONE,), ("nobody",)) == (found.minions, found.missing)

    found = await verdict(opts, ["test.*"], "test.ping", [], "nobody")
    assert (True, ()) == (found.allowed, found.minions)
    assert "No minion" in found.reason


async def test_groups(opts: Opts) -> None:
    """Permissions of a session's groups and of everybody count; the options stay as they were."""
    opts["external_auth"]["file"].update({"admins%": ["@wheel"], "*": ["test.ping"]})
    before = copy.deepcopy(opts)
    asked = Permissions(opts)

    for _ in range(3):
        assert ["@wheel", "test.ping"] == await asked.rules(user("new", groups=("admins",)))
    assert ["test.ping"] == await asked.rules(user("new"))
    assert [] == await asked.rules(Session("0" * 64, "new", "pam", 0.0, 1.0))
    assert before == opts
    asked.close()


async def test_permissions_in_the_token(opts: Opts) -> None:
    """With `keep_acl_in_token` the token decides, also when it says that there are none."""
    opts["keep_acl_in_token"] = True
    asked = Permissions(opts)

    assert ["test.arg"] == await asked.rules(user("saltdev", auth_list=("test.arg",)))
    assert "@wheel" in await asked.rules(user("saltdev"))
    assert [] == await asked.rules(user("saltdev", auth_list=()))
    asked.close()


async def test_blacklist(opts: Opts) -> None:
    """What the master's blacklist forbids is forbidden to everybody."""
    opts["publisher_acl_blacklist"] = {"modules": ["cmd.*"]}

    found = await verdict(opts, [".*"], "cmd.run", ["id"], "*")
    assert (False, ()) == (found.allowed, found.minions)
    assert "blacklist" in found.reason


async def test_unknown_nodegroup(opts: Opts) -> None:
    """A nodegroup that the config does not have is refused by name."""
    with pytest.raises(InvalidChunk, match="nodegroup"):
        await verdict(opts, [".*"], "test.ping", [], "nowhere", "nodegroup")


async def test_target_that_cannot_be_matched(opts: Opts, caplog: pytest.LogCaptureFixture) -> None:
    """A target that Salt cannot make sense of is no traceback in the log, and no second line."""
    caplog.set_level("INFO")
    found = await verdict(opts, ["test.*"], "test.ping", [], "a\nb 100%", "range")

    assert ((), False) == (found.minions, found.unknown)
    (line,) = [text for text in caplog.text.splitlines() if "100%" in text]
    assert "INFO" in line
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([".*", "@runner", "@wheel"], True),
        ([{"*": [".*"]}, {"@runner": [".*"]}, {"@wheel": ".*"}], True),
        ([".*", "@runner"], False),
        ([{ONE: [".*"]}, "@runner", "@wheel"], False),
        (["test.*", "@runner", "@wheel"], False),
        ([], False),
    ],
    ids=str,
)
async def test_administrator(opts: Opts, rules: list[Any], expected: bool) -> None:
    """An administrator may run everything: on all minions, runners and wheel functions."""
    opts["external_auth"]["file"]["somebody"] = rules
    asked = Permissions(opts)

    assert expected == await asked.is_administrator(user("somebody"))
    asked.close()


async def test_files_that_cannot_be_read(opts: Opts, tmp_path: Path) -> None:
    """Without the master's files nothing is guessed: only what holds for all minions is told."""
    opts["pki_dir"] = str(tmp_path / "nowhere")

    found = await verdict(opts, ["test.ping", {ONE: ["test.arg"]}], "test.ping", [], "*")
    assert (True, True, ()) == (found.allowed, found.unknown, found.minions)
    found = await verdict(opts, [{"*": ["test.*"]}], "test.ping", [], "*")
    assert (True, True) == (found.allowed, found.unknown)
    found = await verdict(opts, [{ONE: ["test.arg"]}], "test.arg", [], ONE)
    assert (False, True) == (found.allowed, found.unknown)
    assert "master's files" in found.reason
    assert [] == os.listdir(tmp_path)


@pytest.mark.parametrize(
    ("word", "tgt_type"), [("", "pcre"), ("E@", "compound"), ("P|@id|", "compound")]
)
async def test_endless_pattern(
    opts: Opts, monkeypatch: pytest.MonkeyPatch, word: str, tgt_type: str
) -> None:
    """A target that never ends is given up, and keeps nobody else waiting."""
    monkeypatch.setattr(module, "EXPANSION_SECONDS", 0.5)
    endless = word + "(" * 30 + "[a-z]" + "+)" * 30 + "!"

    with pytest.raises(CommandTimeout):
        await verdict(opts, [".*"], "test.ping", [], endless, tgt_type)


async def test_a_target_of_many_parts(opts: Opts) -> None:
    """What has all data read again and again is matched apart, with the same answer."""
    target = " or ".join(f"G@nothing:{n}" for n in range(50)) + f" or {ONE}"
    assert takes_long(target, "compound")
    assert not takes_long("G@os:Debian and web-* and not L@a,b", "compound")
    found = await verdict(opts, [".*"], "test.ping", [], target, "compound")
    assert (True, (ONE,)) == (found.allowed, found.minions)
