import platform
import re
from pathlib import Path

import pytest

import saltapi
from saltapi.cli import main
from tests.daemons import Daemon, Home, get, wait_until


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def _stub_salt(directory: Path, version: str) -> dict[str, str]:
    """Return an environment in which the installed Salt is *version*, and nothing else."""
    package = directory / "stub" / "salt"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "version.py").write_text(
        f"class V:\n    major = {version.partition('.')[0]}\n"
        f"    def __str__(self): return {version!r}\n__saltstack_version__ = V()\n"
    )
    return {"PYTHONPATH": str(package.parent)}


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["serve", "--help"], ["check", "-h"]])
def test_help_needs_no_salt(home: Home, args: list[str]) -> None:
    """--help and --version work without importing Salt."""
    package = home.root / "stub" / "salt"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('Salt was imported')\n")
    done = home.run(*args, env={"PYTHONPATH": str(package.parent)})

    assert (0, "") == (done.returncode, done.stderr)


def test_version(home: Home) -> None:
    """`version` names saltapi, Salt and Python; `--version` saltapi alone."""
    from salt.version import __saltstack_version__ as salt

    expected = f"saltapi {saltapi.__version__}\nSalt {salt}\nPython {platform.python_version()}\n"

    assert expected == home.run("version").stdout
    assert f"saltapi {saltapi.__version__}\n" == home.run("--version").stdout


@pytest.mark.parametrize("text", ["docs/daemon.md", "packaging/saltapi.1"])
def test_flags_are_documented(home: Home, text: str) -> None:
    """Every flag and every command stands in the manual and in the man page."""
    manual = (Path(__file__).parents[1] / text).read_text().replace("\\-", "-")
    usage = home.run("--help").stdout
    flags = set(re.findall(r"--[a-z][a-z-]+", usage))

    assert {"--config-dir", "--pid-file"} <= flags
    assert set() == {flag for flag in flags if flag not in manual}
    assert set() == {word for word in ("serve", "demo", "check", "version") if word not in manual}


@pytest.mark.parametrize("command", [["serve"], ["check"], []])
def test_unsupported_salt(home: Home, command: list[str]) -> None:
    """On a line of Salt that is not supported there is one sentence, and exit status 1."""
    home.write()
    done = home.run(*command, "-c", str(home.root), env=_stub_salt(home.root, "3006.9"))

    assert 1 == done.returncode
    assert "saltapi supports Salt 3007 and 3008; installed is 3006.9.\n" == done.stderr


def test_no_salt(home: Home) -> None:
    """Without Salt, `version` says so."""
    package = home.root / "stub" / "salt"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    done = home.run("version", env={"PYTHONPATH": str(package.parent)})

    assert "Salt is not installed\n" in done.stdout


@pytest.mark.parametrize("args", [["--bogus"], ["nonsense"], ["check", "--daemon"]])
def test_usage(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong usage is exit status 2."""
    with pytest.raises(SystemExit) as stop:
        main(args)

    assert 2 == stop.value.code
    assert "usage: saltapi" in capsys.readouterr().err


def test_missing_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A config that is not there is one sentence on standard error, and exit status 1."""
    assert 1 == main(["-c", str(tmp_path)])
    assert (
        f"The master config {tmp_path}/master cannot be read: No such file or directory."
        " Name its directory with -c.\n"
    ) == capsys.readouterr().err


def test_wrong_option(home: Home) -> None:
    """An option of the engine with a value it cannot have keeps the daemon from starting."""
    home.add_http_module()
    home.write(function_workers="many")
    done = home.run("-c", str(home.root))

    assert 1 == done.returncode
    assert (
        "The master config is wrong: function_workers must be a whole number, not 'many'.\n"
    ) == done.stderr


@pytest.mark.parametrize("before", [True, False])
def test_flags(home: Home, before: bool) -> None:
    """The flags of salt-api win over the config, before and after the word serve."""
    url = home.add_http_module()
    log_file, pid_file = home.root / "other.log", home.root / "other.pid"
    flags = [
        *("--pid-file", str(pid_file), "--log-file", str(log_file)),
        *("-l", "quiet", "--log-file-level", "debug"),
    ]
    args = [*flags, "serve"] if before else ["serve", *flags]
    with Daemon(home, *args) as daemon:
        wait_until(lambda: get(url) == "hello")

        assert str(daemon.process.pid) == pid_file.read_text().strip()
        assert log_file.exists()
        assert not home.log_file.exists()
        assert not home.pid_file.exists()


def test_unwritable_log_file(home: Home) -> None:
    """A log file that cannot be opened is one sentence, and exit status 1."""
    home.add_http_module()
    home.write()
    done = home.run("-c", str(home.root), "--log-file", "/proc/no/api")

    assert 1 == done.returncode
    assert done.stderr.startswith("The log file /proc/no/api cannot be opened: No such file")
    assert not home.pid_file.exists()


def test_included_config(home: Home) -> None:
    """A section in `master.d` counts like one in the file `master`."""
    url = home.add_http_module()
    section = home.opts.pop("rest_hello")
    (home.root / "master.d").mkdir()
    (home.root / "master.d" / "api.conf").write_text(f"rest_hello: {section}\n")
    with Daemon(home):
        wait_until(lambda: get(url) == "hello")
