"""The systemd units that `saltapi install-unit` writes and removes."""

import shutil
import sys
from pathlib import Path

import pytest

from saltapi import cli
from saltapi.process import unit

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def no_systemd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Leave the systemd of this machine alone, if there is one."""
    monkeypatch.setattr(unit, "SYSTEMD_RUNS", tmp_path / "none")


def install(directory: Path, *words: str) -> int:
    """Run the command for units in *directory*."""
    return cli.main(["install-unit", "--dir", str(directory), *words])


def test_for_this_python(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The unit starts this Python with the config it was written for; the rest is the package's."""
    assert 0 == install(tmp_path, "-c", "/srv/salt")
    text = (tmp_path / "saltapi.service").read_text()
    shipped = (ROOT / "packaging" / "saltapi.service").read_text()

    assert f"\nExecStart={sys.executable} -P -m saltapi -c /srv/salt\n" in text
    assert "ReadWritePaths=-/srv/salt/pki" in text
    assert len(shipped.splitlines()) + 1 == len(text.splitlines())
    assert "systemctl enable --now saltapi.service" in capsys.readouterr().out


def test_and_back(tmp_path: Path) -> None:
    """What was written is removed, and nothing else; both can be repeated."""
    (tmp_path / "other.service").touch()
    for words in ((), (), ("--remove",), ("--remove",)):
        assert 0 == install(tmp_path, *words)

    assert ["other.service"] == [path.name for path in tmp_path.iterdir()]


@pytest.mark.parametrize("words", [(), ("--remove",)])
def test_of_somebody_else(
    tmp_path: Path, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """A unit that somebody else has written stays as it is."""
    theirs = tmp_path / "saltapi.service"
    theirs.write_text("[Service]\nExecStart=/bin/true\n")

    assert 1 == install(tmp_path, *words)
    assert "was not written by saltapi install-unit" in capsys.readouterr().err
    assert [theirs] == list(tmp_path.iterdir())


def test_no_such_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A directory that is not there is one sentence."""
    assert 1 == install(tmp_path / "none")
    assert "cannot be written: No such file or directory." in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_refused_by_systemd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A unit that systemd does not take is not left behind, and its reason is said."""
    monkeypatch.setattr(sys, "executable", "/no/such/python")

    assert 1 == install(tmp_path)
    assert "/no/such/python" in capsys.readouterr().err
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("word", "expected"),
    [("/usr/bin/python3", "/usr/bin/python3"), ("/a b", '"/a b"'), ("/100%", "/100%%")],
)
def test_quoted(word: str, expected: str) -> None:
    """systemd expands nothing in a path, and takes one with spaces for one word."""
    assert expected == unit._quoted(word)
