"""What differs between systems, as far as it can be tried on one."""

import sys
from pathlib import Path

import pytest

from saltapi_client.cli.places import place
from tests.client.answers import Answers
from tests.client.inside import Run
from tests.client.test_exit_status import lines

EVENT = {"type": "event", "id": "1-a-b", "tag": "salt/x", "data": {}}


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {}, "/home/u/.config/saltctl"),
        ("linux", {"XDG_CONFIG_HOME": "/conf"}, "/conf/saltctl"),
        ("darwin", {}, "/home/u/Library/Application Support/saltctl"),
        ("win32", {"APPDATA": "/roaming", "LOCALAPPDATA": "/local"}, "/roaming/saltctl/config"),
        ("win32", {}, "/home/u/saltctl/config"),
        ("linux", {"SALTCTL_HOME": "/mine"}, "/mine/config"),
    ],
)
def test_places(
    platform: str, variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The config is where the platform has it."""
    for name in ("SALTCTL_HOME", "XDG_CONFIG_HOME", "APPDATA", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/u", **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)

    assert Path(expected) == place("config")


def test_without_fork(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `fork` and locks, as on Windows, events are done and noted as well."""
    monkeypatch.delattr("os.fork")
    monkeypatch.setitem(sys.modules, "fcntl", None)
    done, cursor = tmp_path / "done", tmp_path / "cursor"
    words = ("--cursor", str(cursor), "--count", "1", "--exec", f"sh -c 'cat > {done}'")
    with Answers() as server:
        server.by_path["/v1/events"] = lines({"type": "start", "id": "1-a-a"}, EVENT)

        assert (0, "") == run(server, "events", *words)
    assert '"tag": "salt/x"' in done.read_text()
    assert "1-a-b\n" == cursor.read_text()


def test_since_is_for_the_first_start(run: Run, tmp_path: Path) -> None:
    """`--since` counts until there is a place in the file; the same line goes on from there."""
    words = ("--since", "1-a-0", "--cursor", str(tmp_path / "cursor"), "--count", "1")
    with Answers() as server:
        server.by_path["/v1/events"] = lines(EVENT)
        for _ in range(2):
            run(server, "events", *words)
        asked = [head.get("Last-Event-ID") for _, path, head in server.asked if "events" in path]

    assert ["1-a-0", "1-a-b"] == asked
