"""Arguments of the command line, beside the real thing."""

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest
from salt.utils.args import parse_input

from saltapi_client.cli.arguments import read
from tests.apis import ApiServer
from tests.client.conftest import environment, saltctl
from tests.waiting import scaled

TEXTS = [
    "1", "-1", "1.5", "1e3", "1_000", "_1", "010", "0x1f", "0b11", "0o17", "00", "08",
    "true", "True", "yes", "no", "on", "Off", "null", "None", "~", "", " ", "---", "...",
    "{a: 1}", "{'a': 1}", "{a: 1, a: 2}", "{a: [1, {b: 2}]}", "[1, two, 3.0]", "[1", "{a", "a: 1",
    "- a", "a,b", "a b", "'quoted'", '"1"', "#", "# a", "a # b", "[1] # b", "{a: 1} # b", "1 # b",
    "|", "!", "!x y", "!!python/object:os.system x", "!!binary aGk=", "&a", "*a", "%", "@a", "`a`",
    "2026-11-27", "2026-11-27 10:00:00", "12:30", "1:2:3", "=", "==", "a=1", "a==1", "a=", "=1",
    "a=b=c", "a.b=1", "a-b=1", "1a=1", "é=1", "a={b: 1}", "a=[1, 2]", "a=None", "a='1'", "a =1",
    "tab\there", "line\nbreak", "a=line\nbreak", "20261127140552123456", "/etc/hosts", "*.py",
    "web*", "http://a/b?c=d", "a: b: c", "[]", "{}", "a=[]", ".inf", ".nan", "<<", "=x", "+1",
    "0.1.2", "1.", ".5", "state.apply", "pkg.install", "no.thing", "foo_bar", "on-off", "e", "y",
    "{<<: {a: 1}}", "{a: &x 1, b: *x}", "\u00e9", "1e400", "{1: 2}", "{[1]: 2}", "{null: 1}",
]  # fmt: skip
NO_JSON = {".inf", ".nan", "1e400"}
"""Numbers that JSON has no word for."""


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_as_salt_reads_it(text: str) -> None:
    """A word of the command line is the value that `salt` makes of it."""
    args, kwargs = parse_input([text], condition=False)

    assert repr((args, kwargs)) == repr(read([text]))


def test_several() -> None:
    """Positional and named arguments keep their order; the last of a name counts."""
    words = ["a", "x=1", "2", "x=3", "y=z"]

    assert parse_input(copy.copy(words), condition=False) == read(words)


SALT = "import sys; sys.argv[0] = 'salt'; import salt.scripts; salt.scripts.salt_main()"


def test_as_the_command_has_it(asgi: ApiServer, tmp_path: Path) -> None:
    """What a function gets, by place and by name, is what it gets from `salt`."""
    words = [word for word in TEXTS if word not in NO_JSON]
    words += [f"name_{number}={word}" for number, word in enumerate(words)]
    words = [word for word in words if not word.startswith("-")]
    words += ["--", *(word for word in TEXTS if word.startswith("-"))]
    config = str(asgi.master.directory / "config")
    theirs = subprocess.run(
        [sys.executable, "-P", "-c", SALT, "-c", config, "--out", "json", "minion-1", "test.arg",
         *words],
        capture_output=True, text=True, check=True, timeout=scaled(60),
    )  # fmt: skip
    ours = saltctl(environment(tmp_path, asgi), "--out", "json", "minion-1", "test.arg", *words)

    given, expected = (json.loads(found.stdout)["minion-1"] for found in (ours, theirs))
    for each in (given, expected):  # what Salt adds is of the job
        each["kwargs"] = {k: v for k, v in each["kwargs"].items() if not k.startswith("__pub_")}
    assert expected["args"] == given["args"]
    assert expected["kwargs"] == given["kwargs"]
