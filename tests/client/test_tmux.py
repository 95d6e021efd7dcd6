"""The command in a real terminal, of 80 and of 200 columns, with three minions and a thousand."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from saltapi_client.cli.output.names import folded
from tests.client.answers import Answers
from tests.client.conftest import environment
from tests.client.screens import LINES, PROMPT, TMUX, Screen

pytestmark = pytest.mark.skipif(TMUX is None, reason="tmux is not here")

JID = "20261127180000000000"
FINE = {"result": True, "changes": {}, "comment": "It is installed.", "__run_num__": 0}
FAILED = {**FINE, "result": False, "comment": "No such package: " + "nginx " * 40}
CHANGED = {**FINE, "changes": {"nginx": {"old": "1.1", "new": "1.2"}}}


def names_of(count: int) -> list[str]:
    """Return the names of so many minions."""
    return [f"web-{number:04d}.example.com" for number in range(count)]


def records_of(count: int, *, to_the_end: bool) -> bytes:
    """Return the records of a job: of three minions one fails, one changes; half of more run."""
    names = names_of(count)
    records: list[dict[str, Any]] = [
        {"type": "job", "jid": JID, "fun": "state.apply", "expected": names, "client": "local"}
    ]
    failed = [name for number, name in enumerate(names) if number % 50 == 1]
    for number, name in enumerate(names):
        if not to_the_end and number % 2 == 0:
            continue
        state = FAILED if name in failed else CHANGED if number % 3 == 2 else FINE
        records.append(
            {
                "type": "return", "jid": JID, "minion": name, "success": name not in failed,
                "retcode": 0, "return": {"pkg_|-nginx_|-nginx_|-installed": state},
            }
        )  # fmt: skip
    if to_the_end:
        more = {"failed": failed, "returned": names, "missing": {}, "duration_seconds": 12.3}
        records.append({"type": "summary", "jid": JID, "state": "complete", **more})
    return "".join(json.dumps(record) + "\n" for record in records).encode()


@pytest.fixture
def server() -> Iterator[Answers]:
    """A server whose job does not end before the test says so."""
    with Answers() as found:
        found.by_path[f"/v1/jobs/{JID}"] = {"outcomes": {"web-0000.example.com": "terminated"}}
        yield found


@pytest.fixture(params=[80, 200])
def screen(request: pytest.FixtureRequest, tmp_path: Path, server: Answers) -> Iterator[Screen]:
    """A terminal with the command in it."""
    env = environment(tmp_path) | {
        "SALTAPI_URL": server.url, "SALTAPI_USER": "u", "SALTAPI_PASS": "p",
    }  # fmt: skip
    with Screen(tmp_path, env, request.param) as found:
        yield found


@pytest.mark.parametrize("count", [3, 1000])
def test_live(server: Answers, screen: Screen, count: int) -> None:
    """The picture fits, is drawn over itself in a narrower window, and goes without a trace."""
    server.by_path["/v1/run"] = records_of(count, to_the_end=False)
    server.held = {"/v1/run"}
    screen.type("saltctl '*' state.apply nginx", "Enter")
    text = screen.holds(lambda text: check(text.splitlines()[1:], count))
    assert text.splitlines()[0].endswith("saltctl '*' state.apply nginx")
    assert not screen.shows_cursor()
    screen.resize(75)  # the beginning of what is longer by now leaves the window

    def is_narrow(text: str) -> None:
        lines = text.splitlines()
        check(lines, count)
        assert all(len(line) <= 75 for line in lines)

    screen.holds(is_narrow)
    screen.type("", "C-c")
    screen.until(lambda text: text.endswith("c: go on [l]"))
    assert screen.shows_cursor()
    screen.type("l", "Enter")
    _, *lines = screen.until(lambda text: text.endswith(PROMPT.strip())).splitlines()
    assert ["It goes on. To see it again:", f"  saltctl follow {JID}"] == lines[-3:-1]
    assert not any("waiting" in line for line in lines)


def check(lines: list[str], count: int) -> None:
    """Check a picture of so many minions."""
    assert len(lines) > 3
    head, bar, first, *rest = lines
    assert head.startswith(f"state.apply  {count // 2} of {count} minions")
    assert head.endswith(JID)
    assert all(word in bar for word in ("failed", "waiting"))
    assert first.startswith("✗ web-0001.example.com  1 of 1, 1 failed  nginx: No such")
    assert len(lines) <= LINES - 2
    if count > LINES:
        assert "  and 15 more" in rest
        assert count == sum(map(len, rest[rest.index("  and 15 more") + 1 :]))
    else:
        assert ["· web-0000", "· web-0002"] == [line[:10] for line in rest]


@pytest.mark.parametrize("count", [3, 1000])
def test_folded(server: Answers, screen: Screen, count: int) -> None:
    """At the end there is what failed and what changed, each once, and nothing is wider."""
    server.by_path["/v1/run"] = records_of(count, to_the_end=True)
    *lines, _ = screen.run("saltctl '*' state.apply nginx").splitlines()

    bad = [name for number, name in enumerate(names_of(count)) if number % 50 == 1]
    assert "✗ nginx  pkg.installed" == lines[0]
    who = folded(bad) if len(bad) == 1 else f"{len(bad)} minions: web-["
    assert lines[1].strip().startswith(who)
    assert lines[2].startswith("    No such package: nginx")
    assert all(
        line.startswith("    nginx") for line in lines[3 : lines.index("± nginx  pkg.installed")]
    )
    assert "      nginx: 1.1 → 1.2" in lines
    assert lines[-2].startswith(f"{count} minions: failed on {len(bad)}, changed on ")
    assert f"job {JID}, 12.3 s" == lines[-1]
    assert len(lines) < LINES


def test_stopped_for_a_while(server: Answers, screen: Screen) -> None:
    """Ctrl-Z gives the terminal back as it was, and `fg` draws again."""
    server.by_path["/v1/run"] = records_of(3, to_the_end=False)
    server.held = {"/v1/run"}
    screen.type("saltctl '*' state.apply nginx", "Enter")
    screen.until(lambda text: "1 of 3 minions" in text)
    screen.type("", "C-z")
    text = screen.until(lambda text: "Stopped" in text and text.endswith(PROMPT.strip()))
    assert "1 of 3 minions" not in text
    assert screen.shows_cursor()
    screen.type("fg", "Enter")
    screen.until(lambda text: "1 of 3 minions" in text)
    screen.type("", "C-c")
    screen.until(lambda text: text.endswith("c: go on [l]"))
    screen.type("c", "Enter")
    screen.until(lambda text: "1 of 3 minions" in text.partition("go on [l]")[2])
    screen.type("", "C-c")
    screen.until(lambda text: text.count("c: go on [l]") == 2)
    screen.type("s", "Enter")
    text = screen.until(lambda text: text.endswith(PROMPT.strip()))
    assert "web-0000.example.com: terminated" in text


def test_tables(server: Answers, screen: Screen) -> None:
    """No line of a table is wider than the terminal; what is copied from it is whole."""
    fingerprint = ":".join(["9d"] * 32)
    server.body = {
        "jobs": [
            {
                "jid": JID, "fun": "state.apply " * 9, "tgt": "web* and not " * 9, "user": "ops",
                "state": "incomplete", "expected": 1000, "returned": 998, "failed": 20,
            }
        ],
        "minions": [{"id": f"{'long-' * 9}{n}", "key": "accepted", "os": "Debian"} for n in "ab"],
        "keys": [{"id": "web-1", "state": "pending", "fingerprint": fingerprint}],
    }  # fmt: skip
    for command in ("jobs", "minions"):
        screen.run(f"saltctl {command}")
        joined = screen.tmux("capture-pane", "-p", "-J").rstrip().splitlines()
        assert all(len(line.rstrip()) <= screen.columns for line in joined), joined
    jobs = screen.run("saltctl jobs")
    assert JID in jobs
    assert "incomplete" in jobs
    screen.run("saltctl keys")
    assert fingerprint in screen.tmux("capture-pane", "-p", "-J")


@pytest.mark.parametrize("command", ["", "events ", "login ", "job ", "rerun "])
def test_help(screen: Screen, command: str) -> None:
    """`--help` is no wider than the terminal, but for examples, which stay whole."""
    screen.run(f"saltctl {command}--help")
    lines = screen.tmux("capture-pane", "-p", "-J", "-S", "-").splitlines()

    wide = [line for line in lines if len(line.rstrip()) > screen.columns]
    assert [] == [line for line in wide if not line.startswith("  saltctl ")]  # to be copied


def test_password(server: Answers, screen: Screen) -> None:
    """A password is asked for, not shown, and not kept; what it opens is."""
    screen.type("unset SALTAPI_PASS; saltctl login", "Enter")
    screen.until(lambda text: text.endswith(f"Password of u at {server.url}:"))
    screen.type("s3cret", "Enter")
    text = screen.until(lambda text: text.endswith(PROMPT.strip()) and "Saved as" in text)
    assert "s3cret" not in text
    assert "/login" in [path for _, path, _ in server.asked]
    assert "u" in screen.run("saltctl whoami --out raw")
    assert PROMPT.strip() == screen.run('grep -r s3cret "$SALTCTL_HOME"')
