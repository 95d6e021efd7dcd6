import sys
from pathlib import Path
from typing import Any

import pytest

from saltapi.interfaces import INTERFACES
from tests.daemons import HTTP_MODULE, Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.opts.update(
        netapi_enable_clients=list(INTERFACES),
        external_auth={"file": {"fred": ["test.*", "@runner"], "ops%": [".*"]}},
    )
    home.add_module("rest_hello", HTTP_MODULE.replace("NAME", "rest_hello"), port=8000)
    return home


def _check(home: Home, **opts: Any) -> tuple[int, list[str]]:
    home.write(**opts)
    done = home.run("check", "-c", str(home.root))
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


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
    assert "error    The master config is wrong: rest_wsgi.port: Field required." in lines
    assert "warning  rest_wsgi.prot is not an option. Did you mean port?" in lines


def test_wrong_value(home: Home) -> None:
    """A value that an option cannot have is an error."""
    status, lines = _check(home, function_workers="many")

    assert 1 == status
    assert any("function_workers" in line for line in _starting_with(lines, "error"))


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


def test_missing_config(home: Home) -> None:
    """Without a config there is one sentence on standard error, and exit status 1."""
    done = home.run("check", "-c", str(home.root / "none"))

    assert (1, "") == (done.returncode, done.stdout)
    assert done.stderr.startswith(f"The master config {home.root}/none cannot be read")
