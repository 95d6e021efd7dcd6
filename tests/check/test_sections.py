"""What `saltapi check` says of sections: where a module would run, and with which files."""

import datetime
import os
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from saltapi.cli import main
from tests.check.test_check import PLACE
from tests.daemons import Home

BOTH_WAYS_OUT = (
    "error    rest_cherrypy needs a certificate: set ssl_crt and ssl_key (`saltapi make-cert` makes"
    " a self-signed pair), or set disable_ssl: True to send credentials in the clear."
)
PLAIN_HTTP = (
    "warning  rest_cherrypy would send passwords and tokens over plain HTTP to other machines."
    " Use TLS, or `host: localhost` behind a proxy that does."
)
OPEN_HOOKS = (
    "warning  rest_cherrypy: webhook_disable_auth lets everybody fire events at all paths of"
    " /hook. Name them in webhook_secrets, or require a session."
)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.opts.update(netapi_enable_clients=["local"], external_auth={"pam": {"saltuser": [".*"]}})
    home.opts["auth.pam.python"] = "/bin/true"
    return home


def check(home: Home, capsys: pytest.CaptureFixture[str], section: Any) -> tuple[int, list[str]]:
    """Return the status and the lines about rest_cherrypy, without places in files."""
    home.write(rest_cherrypy=section)
    status = main(["check", "-c", str(home.root)])
    lines = [PLACE.sub("", line) for line in capsys.readouterr().out.splitlines()]
    return status, [line.split(" (saltapi")[0] for line in lines if "rest_cherrypy" in line]


@pytest.fixture
def pair(tmp_path: Path) -> dict[str, str]:
    """The options of a certificate that is there."""
    return pair_in(tmp_path)


def pair_in(directory: Path, **options: Any) -> dict[str, str]:
    made = trustme.CA().issue_cert("localhost", **options)
    files = {"ssl_crt": str(directory / "a.crt"), "ssl_key": str(directory / "a.key")}
    made.cert_chain_pems[0].write_to_path(files["ssl_crt"])
    made.private_key_pem.write_to_path(files["ssl_key"])
    return files


def test_no_certificate(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    """Without TLS and without `disable_ssl` there is an error with both ways out."""
    assert (1, [BOTH_WAYS_OUT]) == check(home, capsys, {"port": 8000})


def test_plain_http(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    """Plain HTTP for other machines is a warning, on loopback it is none."""
    status, lines = check(home, capsys, {"port": 8000, "disable_ssl": True})
    assert 0 == status
    assert ["ok       rest_cherrypy would run at http://0.0.0.0:8000", PLAIN_HTTP] == lines
    for host, url in (("127.0.0.1", "127.0.0.1"), ("localhost", "localhost"), ("::1", "[::1]")):
        _, lines = check(home, capsys, {"port": 8000, "disable_ssl": True, "host": host})
        assert [f"ok       rest_cherrypy would run at http://{url}:8000"] == lines


def test_certificate(home: Home, capsys: pytest.CaptureFixture[str], pair: dict[str, str]) -> None:
    """A certificate that can be used is shown with its last day, by either name of the option."""
    other_name = {"ssl_cert": pair["ssl_crt"], "ssl_key": pair["ssl_key"]}
    for section in (pair, other_name):
        status, lines = check(home, capsys, {"port": 8000, **section})

        assert 0 == status
        assert "ok       rest_cherrypy would run at https://0.0.0.0:8000" == lines[0]
        assert "ok       rest_cherrypy: the certificate is valid until 3000-01-01." == lines[1]
        assert 2 == len(lines)


def test_old_certificate(home: Home, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A certificate that has expired, or will soon, is a warning."""
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    for days, word in ((-1, "expired on"), (7, "expires on")):
        pair = pair_in(tmp_path, not_after=now + datetime.timedelta(days=days))
        _, lines = check(home, capsys, {"port": 8000, **pair})
        assert lines[1].startswith("warning  rest_cherrypy: the certificate")
        assert word in lines[1]


def test_files_that_are_not_there(
    home: Home, capsys: pytest.CaptureFixture[str], pair: dict[str, str]
) -> None:
    """Files that are missing are named: errors if the module needs them, else warnings."""
    section = {
        "port": 8000,
        **pair,
        "static": "/none/static",
        "app": "/none/index.html",
        "favicon": "/none/icon",
        "log_access_file": "/none/access",
    }
    status, lines = check(home, capsys, section)

    assert 1 == status
    assert "warning  rest_cherrypy.static: there is no directory /none/static." in lines
    assert "warning  rest_cherrypy.app: there is no file /none/index.html." in lines
    assert "warning  rest_cherrypy.favicon: there is no file /none/icon." in lines
    assert (
        "error    rest_cherrypy.log_access_file: there is no directory for /none/access." in lines
    )

    status, lines = check(home, capsys, {"port": 8000, **pair, "ssl_key": "/none"})
    assert 1 == status
    assert ["error    rest_cherrypy cannot read /none: No such file or directory."] == lines


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the daemon as another user")
def test_files_of_another_user(
    home: Home, capsys: pytest.CaptureFixture[str], tmp_path: Path, pair: dict[str, str]
) -> None:
    """A key that the daemon's user cannot read is an error, although root can."""
    for directory in (tmp_path, *tmp_path.parents):
        if directory.owner() == "root" and str(directory).startswith("/tmp/"):
            directory.chmod(0o755)
    Path(pair["ssl_key"]).chmod(0o600)
    home.opts["user"] = "nobody"
    status, lines = check(home, capsys, {"port": 8000, **pair})

    assert 1 == status
    assert (
        f"error    rest_cherrypy: user nobody cannot read ssl_key {pair['ssl_key']}."
        f" Give it to that user: chown nobody {pair['ssl_key']}"
    ) in lines
    assert not any("cannot read ssl_crt" in line for line in lines)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("ssl_certt", "ssl_cert"),
        ("disable_sll", "disable_ssl"),
        ("webhook_disable_aut", "webhook_disable_auth"),
        ("max_request_bodysize", "max_request_body_size"),
        ("threads", "thread_pool"),
        ("staticpath", "static_path"),
    ],
)
def test_unknown_options(
    home: Home, capsys: pytest.CaptureFixture[str], name: str, meant: str
) -> None:
    """An option that does not exist is a warning with the nearest name."""
    section = {"port": 8000, "disable_ssl": True, "host": "localhost", name: 1}
    _, lines = check(home, capsys, section)
    found = [line for line in lines if line.startswith("warning")]

    assert [f"warning  rest_cherrypy.{name} is not an option. Did you mean {meant}?"] == found


DOCUMENTED = """
port: 8000
ssl_crt: {ssl_crt}
ssl_key: {ssl_key}
webhook_disable_auth: True
webhook_url: /hook
"""
SALTGUI = """
port: 3333
host: 0.0.0.0
disable_ssl: true
app: {root}/index.html
static: {root}
static_path: /static
"""
EVERYTHING = """
port: 8000
host: 0.0.0.0
debug: False
log_access_file: {root}/access
log_error_file: {root}/error
ssl_crt: {ssl_crt}
ssl_key: {ssl_key}
ssl_chain: {ssl_crt}
disable_ssl: False
webhook_disable_auth: False
webhook_url: /hook
thread_pool: 100
socket_queue_size: 30
expire_responses: True
max_request_body_size: 1048576
collect_stats: False
stats_disable_auth: False
static: {root}
static_path: /static
enable_sessions: True
app: {root}/index.html
app_path: /app
root_prefix: /
authorized_ips: ["192.0.2.1"]
api_acl:
  users:
    "*":
      - 1.1.1.1
      - 1.1.1.2
    foo:
      - 8.8.4.4
    bar:
      - "*"
"""


@pytest.mark.parametrize("text", [DOCUMENTED, SALTGUI, EVERYTHING])
def test_configs_of_the_documentation(
    home: Home,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    pair: dict[str, str],
    text: str,
) -> None:
    """The configs that Salt's and SaltGUI's documentation show have nothing that is wrong."""
    (tmp_path / "index.html").write_text("the app")
    section = yaml.safe_load(text.format(root=tmp_path, **pair))
    status, lines = check(home, capsys, section)

    assert 0 == status
    assert any("rest_cherrypy would run at http" in line for line in lines)
    expected = [PLAIN_HTTP] if section.get("disable_ssl") else []
    if section.get("webhook_disable_auth"):
        expected.append(OPEN_HOOKS)
    assert expected == [line for line in lines if not line.startswith("ok")]
    if "api_acl" in section:
        assert "ok       rest_cherrypy: api_acl limits *, bar, foo to certain addresses." in lines
        assert "ok       rest_cherrypy: only 192.0.2.1 may connect." in lines


def test_acl_without_users(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    """An `api_acl` that limits nobody is an error."""
    section = {"port": 8000, "disable_ssl": True, "host": "localhost", "api_acl": {"bob": ["*"]}}
    status, lines = check(home, capsys, section)

    assert 1 == status
    assert "error    rest_cherrypy.api_acl has no `users`: it limits nobody." in lines


def check_hooks(
    home: Home, capsys: pytest.CaptureFixture[str], **options: Any
) -> tuple[int, list[str]]:
    """Return the status and what is said of web hooks."""
    home.write(rest_asgi={"port": 8000, "host": "localhost", "disable_ssl": True, **options})
    status = main(["check", "-c", str(home.root)])
    lines = capsys.readouterr().out.splitlines()
    return status, [line for line in lines if "rest_asgi" in line and "hook" in line]


def test_signed_hooks(home: Home, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Signed web hooks are named; a secret that cannot be read is an error, and none is shown."""
    file = tmp_path / "secret"
    file.write_text("GEHEIM")
    secrets = {
        "github/*": {"type": "github", "secret_file": str(file)},
        "gitlab": [{"type": "gitlab", "secret": "GEHEIM"}, {"type": "gitlab", "secret": "GEHEIM2"}],
    }
    status, lines = check_hooks(home, capsys, webhook_secrets=secrets)
    named = [
        "ok       rest_asgi: web hooks at /hook/github/* must be signed (github).",
        "ok       rest_asgi: web hooks at /hook/gitlab must be signed (gitlab).",
    ]
    assert (0, named) == (status, lines)

    file.unlink()
    status, lines = check_hooks(home, capsys, webhook_secrets=secrets)
    assert 1 == status
    problem = f"The secret file {file} cannot be read: No such file or directory."
    assert f"error    rest_asgi.webhook_secrets: {problem}" in lines


@pytest.mark.parametrize(
    ("secrets", "said"),
    [
        ({}, "fire events at all paths of /hook."),
        ({"x": {"type": "github", "secret": "s"}}, "fire events at all other paths of /hook."),
        ({"*": {"type": "github", "secret": "s"}}, None),
    ],
)
def test_open_hooks(
    home: Home, capsys: pytest.CaptureFixture[str], secrets: dict[str, Any], said: str | None
) -> None:
    """Web hooks that everybody may send are a warning."""
    options = {"webhook_disable_auth": True, "webhook_secrets": secrets}
    status, lines = check_hooks(home, capsys, **options)
    warnings = [line for line in lines if line.startswith("warning")]

    assert 0 == status
    assert (0 if said is None else 1) == len(warnings)
    assert said is None or said in warnings[0]


@pytest.mark.parametrize(
    ("proxies", "line"),
    [
        (
            ["192.0.2.1", "unix"],
            "ok       rest_cherrypy: 192.0.2.1, unix may say whose a request is.",
        ),
        (
            "0.0.0.0/0",
            "warning  rest_cherrypy.trusted_proxies names everybody, so that anybody can take any"
            " address: name the proxies alone.",
        ),
        (
            ["::1", "proxy"],
            "error    rest_cherrypy.trusted_proxies.1: 'proxy' is no address and no network.",
        ),
    ],
)
def test_trusted_proxies(
    home: Home, capsys: pytest.CaptureFixture[str], proxies: Any, line: str
) -> None:
    """It is said who is believed, and what is no address stops the start."""
    section = {"port": 8000, "disable_ssl": True, "host": "localhost", "trusted_proxies": proxies}
    _, lines = check(home, capsys, section)
    assert any(found.startswith(line) for found in lines), lines


@pytest.mark.parametrize("module", ["rest_asgi", "rest_cherrypy", "rest_tornado"])
def test_unclear_names(home: Home, capsys: pytest.CaptureFixture[str], module: str) -> None:
    """A name that may be that of several users is an error, in `api_acl` a warning."""
    section: dict[str, Any] = {
        "port": 8000,
        "disable_ssl": True,
        "administrators": ["ops", "pam:ops"],
        "api_acl": {"users": {"ops": ["*"], "pam:ops": ["*"], "*": []}},
    }
    if module == "rest_asgi":
        section["event_acl"] = {"bob": "own", "pam:bob": "all", "*": []}
    unclear = "could be a user of each of the eauth systems in external_auth; write"
    home.write(external_auth={"file": {"*": [".*"]}}, **{module: section})
    main(["check", "-c", str(home.root)])
    assert unclear not in capsys.readouterr().out

    home.write(external_auth={"pam": {"*": [".*"]}, "file": {"*": [".*"]}}, **{module: section})
    status = main(["check", "-c", str(home.root)])
    lines = capsys.readouterr().out.splitlines()

    assert 1 == status
    assert f"error    {module}.administrators: ops {unclear} file:ops or pam:ops." in lines
    assert f"warning  {module}.api_acl: ops {unclear} file:ops or pam:ops." in lines
    if module == "rest_asgi":
        assert f"error    {module}.event_acl: bob {unclear} file:bob or pam:bob." in lines


@pytest.mark.parametrize(
    ("module", "section", "expected"),
    [
        (
            "rest_cherrypy",
            {"audit_required": True},
            "error    rest_cherrypy.audit_required needs an audit_log: the path of a file.",
        ),
        (
            "rest_tornado",
            {"metrics_disable_auth": True},
            "warning  rest_tornado.metrics_disable_auth has no effect without monitoring_urls.",
        ),
        (
            "rest_tornado",
            {"job_book_jobs": 7},
            "warning  rest_tornado.job_book_jobs has no effect in this module.",
        ),
        (
            "rest_cherrypy",
            {"session_store": "cache"},
            "warning  rest_cherrypy.session_store has no effect here: sessions are the master's",
        ),
        (
            "rest_wsgi",
            {"event_acl": "own"},
            "warning  rest_wsgi.event_acl has no effect in this module.",
        ),
        (
            "rest_wsgi",
            {"monitoring_urls": True, "metrics_disable_auth": True},
            "ok       rest_wsgi: everybody may read /metrics.",
        ),
        (
            "rest_wsgi",
            {"audit_log": "/tmp/a.log", "audit_required": True},
            "ok       rest_wsgi: the audit log is /tmp/a.log; without a line in it nothing runs.",
        ),
        ("rest_asgi", {"metrics_disable_auth": True}, "ok       rest_asgi: everybody may read"),
    ],
)
def test_services(
    home: Home,
    capsys: pytest.CaptureFixture[str],
    module: str,
    section: dict[str, Any],
    expected: str,
) -> None:
    """What is noted and shown of a module's work is said, and which options do nothing."""
    home.write(**{module: {"port": 8000, "disable_ssl": True, "host": "localhost", **section}})
    main(["check", "-c", str(home.root)])

    assert expected in capsys.readouterr().out


@pytest.mark.parametrize("module", ["rest_cherrypy", "rest_tornado", "rest_wsgi", "rest_asgi"])
def test_nothing_to_say(home: Home, capsys: pytest.CaptureFixture[str], module: str) -> None:
    """Of options that are not set nothing is said."""
    home.write(**{module: {"port": 8000, "host": "localhost"}})
    main(["check", "-c", str(home.root)])
    out = capsys.readouterr().out

    assert "has no effect" not in out
    assert "audit" not in out
