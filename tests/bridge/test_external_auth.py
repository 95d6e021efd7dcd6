"""`external_auth` with slips of the pen in it is read as far as it can be."""

from pathlib import Path
from typing import Any

import pytest
import salt.config

from saltapi.bridge.external_auth import problems, readable
from saltapi.bridge.permissions.permissions import Permissions
from saltapi.engine.sessions.sessions import permissions
from saltapi.types import Session

LOW = Session("7" * 64, "low", "file", 0.0, 2e9, groups=("staff",))
PING = ["test.ping"]


@pytest.mark.parametrize(
    ("users", "rules", "shown"),
    [
        ({"": ["a"], "low": PING}, PING, PING),
        ({None: ["a"], "low": PING}, PING, PING),
        ({5: ["a"], True: ["b"], "low": PING}, PING, PING),
        ({"staff%": ["a"], None: 3, "*": None, "low": PING}, ["a", *PING], ["a", *PING]),
        ({"low": "test.ping"}, [], []),
        ({"low": {"web*": ["test.*"]}}, ["web*"], []),  # as the master reads it
        ({"low": None}, [], []),
        ({"low": 5}, [], []),
        ({"low": [None, 5, "", ["a"], *PING]}, PING, None),
        ({"low": [{None: PING}, *PING]}, PING, None),
        ({"low": [{"*": None}, *PING]}, PING, None),
        (["low"], [], []),
        ("low", [], []),
        (None, [], []),
    ],
    ids=repr,
)
async def test_malformed(tmp_path: Path, users: Any, rules: list[Any], shown: Any) -> None:
    """What is malformed is passed over, in every question; a text is not split into letters."""
    opts = dict(salt.config.master_config("/none"))
    opts |= dict.fromkeys(("cachedir", "pki_dir", "token_dir", "sock_dir"), str(tmp_path))
    opts["external_auth"] = {"file": users}
    asked = Permissions(opts)
    try:
        assert rules == await asked.rules(LOW)
        assert not await asked.is_administrator(LOW)
        assert not (await asked.runner(LOW, "test.arg", {})).allowed
        assert not (await asked.wheel(LOW, "key.list_all", {})).allowed
        await asked.local(LOW, "test.ping", [], "*")
    finally:
        asked.close()
    if shown is not None:
        assert shown == permissions(opts, LOW)
    assert list(problems(opts["external_auth"]))


@pytest.mark.parametrize("value", [None, [], "file", 5, {None: {"low": PING}}, {5: None}])
def test_no_mapping(value: Any) -> None:
    """What is no mapping of systems lets nobody do anything."""
    assert {} == readable(value)
    assert [] == permissions({"external_auth": value}, LOW)


def test_settings() -> None:
    """The settings of an eauth system, which stand among its users, stay as they are."""
    value = {"file": {"^filename": "/etc/passwords", "^options": {"a": 1}, "low": PING}}

    assert value == readable(value)
    assert [] == list(problems(value))


def test_sentences() -> None:
    """Each entry that cannot be read is named."""
    value = {
        "pam": {None: ["a"], "": ["b"], "low": "c", "x": [5, {"*": None}, {"": PING}]},
        "file": [],
    }

    assert [
        "external_auth.pam: the name of a user is null, which is no text; put it in quotes.",
        "external_auth.pam: the name of a user is empty; put it in quotes.",
        "external_auth.pam.low must be a list of permissions.",
        "external_auth.pam.x: 5 is no permission; it must be a text, or map a text to a list.",
        "external_auth.pam.x: {'*': None} is no permission; it must be a text, or map a text to a"
        " list.",
        "external_auth.pam.x: a target is empty; write '*' to permit functions on all minions.",
        "external_auth.file must be a mapping of users to lists.",
    ] == list(map(str, problems(value)))
