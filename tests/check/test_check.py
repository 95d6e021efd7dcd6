import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from saltapi import check
from saltapi.config.shared_store import StoreSection
from saltapi.interfaces import INTERFACES
from tests.daemons import HTTP_MODULE, Daemon, Home, get, wait_until


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.opts.update(
        netapi_enable_clients=list(INTERFACES),
        external_auth={"file": {"fred": ["test.*", "@runner"], "ops%": [".*"]}},
    )
    home.add_module("rest_hello", HTTP_MODULE.replace("NAME", "rest_hello"), port=8000)
    return home


PLACE = re.compile(r" \([^ ]+:\d+\)$")


def _check(home: Home, **opts: Any) -> tuple[int, list[str]]:
    """Return the status and all lines, without the places of options."""
    home.write(**opts)
    done = home.run("check", "--verbose", "-c", str(home.root))
    assert done.stderr == ""
    return done.returncode, [PLACE.sub("", line) for line in done.stdout.splitlines()]


def _starting_with(lines: list[str], *levels: str) -> list[str]:
    return [line for line in lines if line.startswith(levels)]


def test_all_is_well(home: Home) -> None:
    """A good config has neither warnings nor errors, and exit status 0."""
    status, lines = _check(home)

    assert 0 == status
    assert [] == _starting_with(lines, "warning", "error")
    assert f"ok       rest_hello would run at http://*:8000 ({home.modules}/rest_hello)." in lines
    assert f"ok       Enabled clients: {', '.join(INTERFACES)}." in lines
    assert "ok       file: user fred (2 permissions), group ops (1 permission) may log in." in lines
    assert "ok       Runners are waited for 300 s (rest_timeout)." in lines


def test_no_module(home: Home) -> None:
    """A config that makes no module run is an error that names what to add."""
    del home.opts["rest_hello"]
    status, lines = _check(home)

    assert 1 == status
    assert [
        f"error    No netapi module would run. Add a section to {home.root}/master,"
        " for example `rest_wsgi:` with `port: 8000`."
    ] == _starting_with(lines, "error")
    assert any(line.startswith("note     rest_hello (") for line in lines)


def test_module_that_lacks_something(home: Home) -> None:
    """A configured module that cannot run is an error with its reason."""
    home.add_module("rest_x", "import no_such_package\ndef start(): pass\n", port=1)
    status, lines = _check(home)

    assert 1 == status
    assert [
        f"error    rest_x ({home.modules}/rest_x) would not run: it needs something that is not"
        " installed: No module named 'no_such_package'."
    ] == _starting_with(lines, "error")


def test_disabled_clients(home: Home) -> None:
    """Each disabled client is named with the line to add, and a misspelt one with its name."""
    status, lines = _check(home, netapi_enable_clients=["local", "runnner"])

    assert 0 == status
    assert "ok       Enabled clients: local." in lines
    assert (
        "note     Client wheel is disabled; `- wheel` in netapi_enable_clients enables it." in lines
    )
    assert [
        "warning  netapi_enable_clients: there is no client runnner. Did you mean runner?"
    ] == _starting_with(lines, "warning")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("netapi_enable_client", "netapi_enable_clients"),
        ("rest_timeuot", "rest_timeout"),
        ("external_auths", "external_auth"),
        ("rest_cherypy", "rest_cherrypy"),
        ("function_worker", "function_workers"),
    ],
)
def test_misspelt_option(home: Home, name: str, meant: str) -> None:
    """A name at the top level that is nearly an option is a warning with the right name."""
    status, lines = _check(home, **{name: 1})

    assert 0 == status
    assert [f"warning  {name} is not an option. Did you mean {meant}?"] == _starting_with(
        lines, "warning"
    )


def test_names_of_others_are_left_alone(home: Home) -> None:
    """Names that resemble no option belong to somebody else."""
    assert 0 == _check(home, company_settings={"a": 1})[0]
    assert [] == _starting_with(_check(home, company_settings={"a": 1})[1], "warning")


def test_misspelt_option_in_a_section(home: Home) -> None:
    """A wrong name in one of our sections is a warning, what lacks because of it an error."""
    status, lines = _check(home, rest_wsgi={"prot": 8001})

    assert 1 == status
    assert "error    rest_wsgi.port is missing." in lines
    assert "warning  rest_wsgi.prot is not an option. Did you mean port?" in lines


def test_wrong_value(home: Home) -> None:
    """A value that an option cannot have is an error."""
    status, lines = _check(home, function_workers="many")

    assert 1 == status
    assert ["error    function_workers must be a whole number, not 'many'."] == _starting_with(
        lines, "error"
    )


def test_nobody_can_log_in(home: Home) -> None:
    """An empty `external_auth` is a warning."""
    status, lines = _check(home, external_auth={})

    assert 0 == status
    assert ["warning  external_auth is empty: nobody can log in."] == _starting_with(
        lines, "warning"
    )


def test_odd_external_auth(home: Home) -> None:
    """What cannot work in `external_auth` is said: unknown systems, and what is no list."""
    auth = {"fil": {"*": [".*"]}, "file": {"fred": ".*"}, "auto": {"a": ["x"]}, "ldap": None}
    status, lines = _check(home, external_auth=auth)

    assert 1 == status
    assert [
        "warning  external_auth: auto lets everybody in, with any password.",
        "warning  external_auth: Salt has no eauth system fil. Did you mean file?",
        "error    external_auth.file.fred must be a list of permissions.",
        "error    external_auth.ldap must be a mapping of users to lists.",
    ] == _starting_with(lines, "warning", "error")
    assert "ok       fil: everybody (1 permission) may log in." in lines


def test_plain_http(home: Home) -> None:
    """Plain HTTP for other machines is a warning; TLS or loopback is not."""
    section = {"port": 8000, "host": "0.0.0.0"}  # noqa: S104 - what the warning is about
    warned = _starting_with(_check(home, rest_hello=section)[1], "warning")
    with_tls = _check(home, rest_hello={**section, "ssl_crt": "/c", "ssl_key": "/k"})[1]
    loopback = _check(home, rest_hello={**section, "host": "::1"})[1]

    assert 1 == len(warned)
    assert "rest_hello would send passwords and tokens over plain HTTP" in warned[0]
    assert [] == _starting_with(with_tls, "warning")
    assert any("https://0.0.0.0:8000" in line for line in with_tls)
    assert [] == _starting_with(loopback, "warning")
    assert any("http://[::1]:8000" in line for line in loopback)


def test_raw_shell(home: Home) -> None:
    """`netapi_allow_raw_shell` is a warning."""
    (warning,) = _starting_with(_check(home, netapi_allow_raw_shell=True)[1], "warning")

    assert warning.startswith("warning  netapi_allow_raw_shell: ")


def test_limits(home: Home) -> None:
    """`api_acl` and `authorized_ips` are shown with the module that has them."""
    section = {"port": 8000, "api_acl": {"users": {"fred": ["*"]}}, "authorized_ips": ["::1"]}
    status, lines = _check(home, rest_hello=section)

    assert 0 == status
    assert "ok       rest_hello: api_acl limits fred to certain addresses." in lines
    assert "ok       rest_hello: only ::1 may connect." in lines
    assert 1 == _check(home, rest_hello={"port": 8000, "api_acl": {"fred": ["*"]}})[0]


def test_pam_interpreter(home: Home) -> None:
    """A link as `auth.pam.python` is an error, a wrapper script is not."""
    link = home.root / "python"
    link.symlink_to("/bin/false")
    wrapper = home.root / "wrapper"
    wrapper.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    wrapper.chmod(0o755)
    auth = {"pam": {"fred": [".*"]}}
    bad = _check(home, external_auth=auth, **{"auth.pam.python": str(link)})
    good = _check(home, external_auth=auth, **{"auth.pam.python": str(wrapper)})

    assert 1 == bad[0]
    assert f"(that is what {link} links to) cannot run Salt" in _starting_with(bad[1], "error")[0]
    assert 0 == good[0]
    assert f"ok       pam: passwords are checked by {wrapper}." in good[1]


def test_function_workers(home: Home) -> None:
    """What happens to runners and wheels is said."""
    for directory in ("var/cache/salt/master", "etc/salt/pki/master"):
        (home.root / directory).mkdir(parents=True)

    assert "ok       4 function workers answer quick functions." in _check(home)[1]
    assert (
        "note     function_workers is 0: every runner and wheel goes to the master."
        in _check(home, function_workers=0)[1]
    )


def test_unknown_user(home: Home) -> None:
    """A `user` that does not exist is an error."""
    status, lines = _check(home, user="no-such-user")

    assert 1 == status
    assert (
        "error    The master config says `user: no-such-user`, and there is no such user." in lines
    )


def test_settings_of_an_eauth_system(home: Home) -> None:
    """What begins with `^` is a setting of the eauth system and no user."""
    auth = {"file": {"^filename": "/etc/passwords", "^options": {"a": 1}, "fred": [".*"]}}
    status, lines = _check(home, external_auth=auth)

    assert 0 == status
    assert "ok       file: user fred (1 permission) may log in." in lines


def test_places(home: Home) -> None:
    """What is wrong comes with the file and the line where it stands, the last one that counts."""
    home.write()
    (home.root / "master.d").mkdir()
    more = home.root / "master.d" / "more.conf"
    more.write_text(
        "external_auth:\n  file:\n    5: ['.*']\n    '': ['.*']\n    ann:\n    - {'': ['.*']}\n"
        "rest_wsgi:\n  port: 8000\n  threads: 0\n  thread: 5\nrest_timeuot: 5\n"
    )
    done = home.run("check", "-c", str(home.root))

    assert 1 == done.returncode
    assert [
        f"error    rest_wsgi.threads must be at least 1, not 0. ({more}:9)",
        f"warning  rest_wsgi.thread is not an option. Did you mean threads? ({more}:10)",
        f"warning  rest_timeuot is not an option. Did you mean rest_timeout? ({more}:11)",
        "error    external_auth.file: the name of a user is 5, which is no text; put it in quotes."
        f" ({more}:3)",
        f"error    external_auth.file: the name of a user is empty; put it in quotes. ({more}:4)",
        "error    external_auth.file.ann: a target is empty; write '*' to permit functions on all"
        f" minions. ({more}:6)",
    ] == [line for line in done.stdout.splitlines() if line.endswith(")") and str(more) in line]


@pytest.mark.parametrize("name", ["master", "master.d/b.conf"])
def test_yaml_mistake(home: Home, name: str) -> None:
    """What is no YAML is one error, with file, line and column, and nothing else is said."""
    home.write()
    path = home.root / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("rest_wsgi:\n  port: 8000\n threads: 5\n")
    done = home.run("check", "-c", str(home.root))

    assert (1, "") == (done.returncode, done.stderr)
    assert (
        f"error    {path}, line 3, column 2: this is no valid YAML: did not find expected key.\n"
    ) == done.stdout


def test_notes(home: Home) -> None:
    """Notes are counted, and shown with `--verbose`."""
    home.write(netapi_enable_clients=["local"])
    done = home.run("check", "-c", str(home.root))

    assert re.search(r"^\d+ notes more with --verbose\.$", done.stdout, re.MULTILINE)
    assert not _starting_with(done.stdout.splitlines(), "note")


def test_json(home: Home) -> None:
    """`--json` prints one document with every line, and the status is the same."""
    home.write(rest_timeout="soon")
    done = home.run("check", "--json", "-c", str(home.root))
    found = json.loads(done.stdout)

    assert (1, False) == (done.returncode, found["ok"])
    assert {
        "level": "error",
        "text": "rest_timeout must be a number, not 'soon'.",
        "option": "rest_timeout",
        "place": f"{home.root}/master:{_line_of(home, 'rest_timeout')}",
    } in found["lines"]
    assert "note" in {line["level"] for line in found["lines"]}

    missing = home.run("check", "--json", "-c", str(home.root / "none"))
    (line,) = json.loads(missing.stdout)["lines"]
    assert (1, "error") == (missing.returncode, line["level"])


def _line_of(home: Home, option: str) -> int:
    lines = (home.root / "master").read_text().splitlines()
    return next(n for n, line in enumerate(lines, 1) if line.startswith(option))


def test_port_in_use(home: Home) -> None:
    """A port that somebody has is an error with the name of the process."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        status, lines = _check(home, rest_wsgi={"port": port, "host": "localhost"})

    name = Path("/proc/self/comm").read_text().strip()
    assert 1 == status
    assert [
        f"error    rest_wsgi: port {port} is in use by {name} (process {os.getpid()}). Stop that,"
        " or set another port."
    ] == _starting_with(lines, "error")


def test_running_api(home: Home) -> None:
    """A running API is seen, by its pid file too, and its own ports are no error."""
    url = home.add_http_module()
    with Daemon(home) as daemon:
        wait_until(lambda: get(url) == "hello")
        status, lines = _check(home)

        pid = daemon.process.pid
        assert 0 == status
        assert f"note     saltapi runs as process {pid}, says {home.pid_file}." in lines
        assert (
            f"warning  saltapi, process {pid}, holds {home.pid_file}, so no second one starts. Stop"
            " it, or restart it, to use what is checked here."
        ) in lines
        port = url.rpartition(":")[2]
        assert f"ok       rest_hello: port {port} is that of saltapi as it runs now." in lines


def test_pid_file_of_another_program(home: Home) -> None:
    """The pid file of somebody else who lives is an error: saltapi would not take it."""
    with subprocess.Popen(["sleep", "1000"]) as other:
        home.pid_file.write_text(f"{other.pid}\n")
        status, lines = _check(home)
        other.kill()

    assert 1 == status
    assert [
        f"error    api_pidfile {home.pid_file} is the pid file of sleep (process {other.pid}):"
        " saltapi does not take it. Set api_pidfile to a file of its own."
    ] == _starting_with(lines, "error")


def test_missing_config(home: Home) -> None:
    """Without a config there is one sentence on standard error, and exit status 1."""
    done = home.run("check", "-c", str(home.root / "none"))

    assert (1, "") == (done.returncode, done.stdout)
    assert done.stderr.startswith(f"The master config {home.root}/none cannot be read")


def test_other_masters() -> None:
    """It is said whether jobs of other masters are known, and what this one is called there."""
    section = StoreSection(url="nats://a")
    without = check._masters({"id": "salt1"}, section)
    assert ("note", True) == (without.level, "secret_file" in without.text)
    known = check._masters(
        {"id": "salt1"}, section.model_copy(update={"secret_file": "/etc/salt/secret"})
    )
    assert ("ok", True) == (known.level, "salt1" in known.text)
