"""What permissions allow, answered at once; compared with Salt's own answers."""

import json
from typing import Any

import pytest
import salt.utils.minions

from saltapi import config
from saltapi.bridge.permissions.members import Members, Target
from saltapi.bridge.permissions.scopes import Scopes

MINIONS = frozenset({"web-1", "web-2", "db-1"})
FOUND = {"G@role:web": frozenset({"web-1", "web-2"}), "web* and not web-2": frozenset({"web-1"})}


class Lookups:
    """Stands for the master's files; counts how often they are read."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.everybody = MINIONS

    def read(self, expressions: list[str]) -> dict[str, frozenset[str]]:
        """Answer as `Members` does by default."""
        self.asked.append(expressions)
        return {"*": self.everybody, **{text: FOUND.get(text, frozenset()) for text in expressions}}


def scopes_of(*permissions: Any) -> Scopes:
    return Scopes(permissions, Target)


def on(scopes: Scopes, fun: str, *minions: str, args: list[Any] | None = None) -> bool | None:
    """Return whether *fun* may be run on *minions*, on all if there are none."""
    where = frozenset(minions) or None
    return scopes.on_minions([fun], where, lambda: None if args is None else [args])


NAMED = {"__kwarg__": True, "name": "nginx"}
RULES: list[Any] = [
    "test.ping",
    "test.*",
    ".*",
    "(",
    {"*": "test.ping"},
    {"*": ["test.ping", "grains.*"]},
    {"web-*": ["test.*"]},
    {"web-1": [{"test.echo": {"args": ["hello"]}}]},
    {"web*": [{"pkg.install": {"kwargs": {"name": "ng.*"}}}]},
    {"web*": [{"pkg.install": [{"args": ["a"]}, {"args": [None, "b"]}]}]},
    {"*": [{"test.echo": {"args": ["h"], "kwargs": {"name": None}}}]},
    {"*": [{"test.echo": "odd"}, {"a": 1, "b": 2}, 7]},
    {"web-1": ["test.ping"], "web-2": ["test.ping"]},
    {"@runner": ["test.ping"]},
    "@runner",
    7,
]
CALLS: list[tuple[str, list[Any]]] = [
    ("test.ping", []),
    ("test.pingpong", []),
    ("atest.ping", []),
    ("grains.items", []),
    ("test.echo", ["hello"]),
    ("test.echo", ["x"]),
    ("test.echo", ["hello", NAMED]),
    ("test.echo", [{"name": "nginx"}]),
    ("pkg.install", ["a"]),
    ("pkg.install", ["x", "bb"]),
    ("pkg.install", [NAMED]),
    ("pkg.install", [{"name": "nginx"}]),
]
TARGETS = [["web-1"], ["web-1", "web-2"], ["web-1", "db-1"], ["db-1"]]


@pytest.fixture(scope="module")
def salts(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Salt's own check, on a master with our minions."""
    directory = tmp_path_factory.mktemp("master")
    keys = directory / "pki" / "minions"
    keys.mkdir(parents=True)
    for minion in MINIONS:
        (keys / minion).write_text("a key")
    options = {
        "root_dir": str(directory),
        "pki_dir": str(keys.parent),
        "cachedir": str(directory / "cache"),
        "sock_dir": str(directory),
        "log_file": str(directory / "log"),
    }
    (directory / "master").write_text(json.dumps(options))
    opts = config.load(directory)
    return salt.utils.minions.CkMinions(opts)


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_the_answers_are_salts(rule: Any, salts: Any) -> None:
    """For globs, functions and conditions the answer is that of the master."""
    scopes = scopes_of(rule)
    for fun, args in CALLS:
        for minions in TARGETS:
            theirs = salts.auth_check([rule], fun, list(args), minions, "list", minions=minions)
            ours = on(scopes, fun, *minions, args=list(args))
            assert (fun, args, minions, bool(theirs)) == (fun, args, minions, ours)


MASTER_RULES: list[Any] = [
    "@runner",
    "@runners",
    "@wheel",
    "@jobs",
    "@key",
    {"@runner": "jobs.*"},
    {"@runner": [{"test.arg": {"args": ["a"]}}]},
    {"@wheel": ["key.list_all"]},
    {"@wheels": ["key.list_all"]},
    {"@jobs": ["list_jobs"]},
    {"@jobs": ["jobs.list_jobs"]},
    {"@test": [{"arg": {"kwargs": {"name": "ng"}}}]},
    ".*",
    {"*": ["jobs.list_jobs"]},
]


@pytest.mark.parametrize("rule", MASTER_RULES, ids=str)
def test_the_answers_for_the_master_are_salts(rule: Any, salts: Any) -> None:
    """For runner and wheel functions too."""
    scopes = scopes_of(rule)
    names = ("jobs.list_jobs", "key.list_all", "test.arg")
    for fun in names:
        for args, kwargs in (([], {}), (["a"], {}), ([], {"name": "nginx"})):
            load = {"arg": args, "kwarg": kwargs}
            assert bool(salts.runner_check([rule], fun, load)) == scopes.on_master(
                "runner", fun, [*args, kwargs]
            )
            assert bool(salts.wheel_check([rule], fun, load)) == scopes.on_master(
                "wheel", fun, [*args, kwargs]
            )
    assert not scopes.on_master("runner", "nothing")
    assert not scopes.on_master("runner", "a.b.c")


def test_one_entry_must_cover_all_minions() -> None:
    """Two entries do not add up: the master would refuse the job."""
    scopes = scopes_of({"web-1": ["test.ping"]}, {"web-2": ["test.ping"]})
    assert on(scopes, "test.ping", "web-1")
    assert not on(scopes, "test.ping", "web-1", "web-2")


def test_all_minions_there_may_be() -> None:
    """Without minions only what is allowed everywhere is allowed."""
    assert on(scopes_of("test.ping"), "test.ping")
    assert not on(scopes_of({"web-*": ["test.ping"]}), "test.ping")


def test_find_job_is_for_nobody() -> None:
    """What the master lets everybody run shows what others run."""
    assert not on(scopes_of("test.ping"), "saltutil.find_job", "web-1")


def test_unknown_arguments_fulfil_no_condition() -> None:
    """Where the arguments are not known, a condition on them is not met."""
    scopes = scopes_of({"web-1": [{"test.echo": {"args": ["hello"]}}]})
    assert not on(scopes, "test.echo", "web-1")


def test_several_functions_are_all_needed() -> None:
    """A job with several functions is allowed if each of them is."""
    scopes = scopes_of("test.ping")
    assert scopes.on_minions(["test.ping", "test.ping"], None, lambda: None)
    assert not scopes.on_minions(["test.ping", "cmd.run"], None, lambda: None)
    assert not scopes.on_minions([], None, lambda: None)


def test_who_touches_a_minion() -> None:
    """Somebody who may run anything on a minion is somebody to it."""
    assert scopes_of("test.ping").touches({"any"})
    assert scopes_of({"web*": ["test.ping"]}).touches({"web-9"})
    assert not scopes_of({"web*": ["test.ping"]}, "@runner").touches({"db-1"})
    assert not scopes_of({"web*": []}).touches({"web-1"})


async def test_targets_are_looked_up() -> None:
    """Grains and compounds are unknown until they are looked up, once for all who ask."""
    lookups = Lookups()
    members = Members({}, read=lookups.read)
    rules = [{"G@role:web": ["test.ping"]}, {"web* and not web-2": ["cmd.run"]}, {"db-*": ["x.y"]}]
    first, second = Scopes(rules, members.target), Scopes(rules, members.target)
    assert on(first, "test.ping", "web-1") is None
    assert on(first, "cmd.run", "web-1") is None
    assert on(first, "x.y", "db-1") is True
    await members.look(first.targets)
    await members.look(second.targets)
    for scopes in (first, second):
        assert on(scopes, "test.ping", "web-1", "web-2") is True
        assert on(scopes, "test.ping", "web-1", "db-1") is False
        assert on(scopes, "cmd.run", "web-2") is False
        assert on(scopes, "cmd.run", "web-1") is True
    assert [sorted(FOUND)] == [sorted(asked) for asked in lookups.asked]
    members.close()


async def test_a_minion_that_is_new_is_looked_up() -> None:
    """A minion that was not there the last time makes the target be looked up again, once."""
    lookups = Lookups()
    members = Members({}, read=lookups.read)
    scopes = Scopes([{"G@role:web": ["test.ping"]}], members.target)
    await members.look(scopes.targets)
    assert on(scopes, "test.ping", "new") is None
    await members.look(scopes.targets)
    assert on(scopes, "test.ping", "new") is False
    assert 2 == len(lookups.asked)
    members.close()


async def test_what_cannot_be_looked_up_allows_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """When the master's files cannot be read, the target matches no minion, and the log says so."""

    def fail(_: list[str]) -> dict[str, frozenset[str]]:
        raise OSError("gone")

    members = Members({}, read=fail)
    scopes = Scopes([{"G@role:web": ["test.ping"]}, {"web-1": ["test.ping"]}], members.target)
    assert on(scopes, "test.ping", "web-2") is None
    await members.look(scopes.targets)
    assert on(scopes, "test.ping", "web-2") is False
    assert on(scopes, "test.ping", "web-1") is True
    assert "cannot be looked up" in caplog.text
    members.close()


def test_answers_are_quick_enough_to_be_remembered() -> None:
    """What is asked again is not worked out again."""
    scopes = scopes_of({"web-*": ["test.*"]})
    assert on(scopes, "test.ping", "web-1")
    assert {(("test.ping",), frozenset({"web-1"})): True} == scopes._answers
