"""Every command that a page prints is run, or says why not."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from saltapi.demo import PrivateMaster
from saltapi.demo.instructions import instructions
from saltapi.demo.master import HOST, free_ports
from tests.apis import OURS, ApiServer
from tests.docs.commands import PAGES, ROOT, alike, blocks, check, run, to_run
from tests.waiting import eventually

README = ROOT / "README.md"
CHERRYPY, WSGI = ROOT / "docs" / "rest_cherrypy.md", ROOT / "docs" / "rest_wsgi.md"
STAGES = ROOT / "docs" / "stages.md"
RUN_HERE = {README, CHERRYPY, WSGI, STAGES}
"""The pages whose commands a test of this module runs."""
RUN_ELSEWHERE = {
    *(ROOT / "docs" / "rest_asgi").glob("*.md"),
    ROOT / "docs" / "rest_asgi.md",
    *(ROOT / "docs" / "tutorials").glob("*.md"),
    ROOT / "docs" / "migrate.md",
}
"""
The pages whose commands another test runs: `tests/test_docs.py`, `test_tutorials.py`,
`test_migrate.py`.
"""
PASSWORD = "1374c0d64e7df916eea8cbaa"


def demo_facts(master: PrivateMaster, rest_asgi: str, rest_wsgi: str) -> dict[str, str]:
    """Return what the pages have of a demo, with what it is here."""
    return {
        "http://127.0.0.1:8000": rest_asgi,
        "http://127.0.0.1:8001": rest_wsgi,
        PASSWORD: master.password,
        "saltdev": master.username,
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command(page: Path) -> None:
    """A block of commands is run by a test, or has the reason why not in the line above it."""
    unknown = [block.line for block in blocks(page) if not block.reason]

    assert not unknown or page in RUN_HERE | RUN_ELSEWHERE, f"{page}, lines {unknown}"


def test_readme(master: PrivateMaster, tmp_path: Path) -> None:
    """The commands of the README work as they stand there, and answer as it shows."""
    (port,) = free_ports(1)
    options = {"rest_wsgi": {"port": port, "host": HOST}}
    with ApiServer(master, OURS, module="rest_asgi", options=options) as server:
        facts = demo_facts(master, server.url, f"http://{HOST}:{port}")
        check(run(to_run(README), facts, tmp_path), facts)


@pytest.mark.long
def test_stages(master: PrivateMaster, tmp_path: Path) -> None:
    """The commands on the page of changes in stages work, and answer as it shows."""
    with ApiServer(master, OURS, module="rest_asgi") as server:
        facts = demo_facts(master, server.url, "")
        check(run(to_run(STAGES), facts, tmp_path), facts)


@pytest.mark.long
def test_rest_cherrypy(master: PrivateMaster, tmp_path: Path) -> None:
    """The commands on the page of rest_cherrypy work, here without TLS."""
    with ApiServer(master, OURS) as server:
        facts = {
            "--cacert /etc/salt/pki/api/saltapi.crt ": "",
            "https://localhost:8000": server.url,
            "saltuser": master.username,
            "saltpass": master.password,
            "eauth=pam": f"eauth={master.eauth}",
            "6d1b722e…": server.login(),
        }
        login, ping, events = run(to_run(CHERRYPY), facts, tmp_path)
    permissions = '"perms": ["@runner", "test.*"]'
    shown = login.command.answer.replace(permissions, '"perms": "…"')
    assert alike(shown, login.output), login
    assert alike(ping.command.answer, ping.output), ping
    assert "retry: 400" in events.output, events


@pytest.mark.long
def test_rest_wsgi(master: PrivateMaster, tmp_path: Path) -> None:
    """The commands on the page of rest_wsgi work."""
    with ApiServer(master, OURS, module="rest_wsgi") as server:
        ping = {"client": "local_async", "tgt": "*", "fun": "test.ping"}
        answer = server.send("POST", "/", json_body=[ping | master.credentials()]).value()
        jid = answer["return"][0]["jid"]
        facts = {
            "localhost:8001": f"{HOST}:{server.port}",
            '"pam"': f'"{master.eauth}"',
            '"password": "saltdev"': f'"password": "{master.password}"',
            "20261123154650314027": jid,
        }
        eventually(lambda: _returned(server, jid, master))
        check(run(to_run(WSGI), facts, tmp_path), facts)


def _returned(server: ApiServer, jid: str, master: PrivateMaster) -> bool:
    lookup = {"client": "runner", "fun": "jobs.lookup_jid", "jid": jid} | master.credentials()
    (found,) = server.send("POST", "/", json_body=[lookup]).value()["return"]
    return len(found) == len(master.minion_ids)


def test_readme_has_what_the_demo_prints(master: PrivateMaster) -> None:
    """What the README shows of the demo is what the demo prints, in the same order."""
    urls = {"rest_asgi": "http://127.0.0.1:8000", "rest_wsgi": "http://127.0.0.1:8001"}
    printed = instructions(urls, master).replace(master.password, PASSWORD)
    shown = [command.text for command in to_run(README)]

    places = [printed.find(command) for command in shown if command in printed]
    assert len(places) > 4
    assert sorted(places) == places


def test_config_of_the_readme(tmp_path: Path) -> None:
    """The config in the README has no error for `saltapi check`, with a certificate made so."""
    (block,) = (part for part in README.read_text().split("   ```") if part.startswith("yaml\n"))
    saltapi = [sys.executable, "-m", "saltapi"]
    made = subprocess.run(
        [*saltapi, "make-cert", "-c", tmp_path, "--dir", tmp_path, "--name", "localhost"],
        check=True,
        capture_output=True,
    )
    opts = yaml.safe_load(block.removeprefix("yaml").replace("/etc/pki/tls/certs", str(tmp_path)))
    opts["rest_asgi"]["port"] = free_ports(1)[0]
    opts |= {"root_dir": str(tmp_path), "auth.pam.python": "/bin/true"}
    (tmp_path / "master").write_text(yaml.safe_dump(opts))
    done = subprocess.run(
        [*saltapi, "check", "-c", tmp_path], check=False, capture_output=True, text=True
    )

    assert b"ssl_crt" in made.stdout
    assert 0 == done.returncode, done.stdout
    assert "warning" not in done.stdout


@pytest.mark.parametrize(
    ("shown", "real", "expected"),
    [
        ('{"a": [true, "x", 1]}', '{"a": [true, "y", 2]}', True),
        ('{"a": [true, "x", 1]}', '{"a": [false, "y", 2]}', False),
        ('{"a": 1}', '{"a": 1, "b": 2}', False),
        ('{"a": [1]}', '{"a": [1, 2]}', False),
        ('{"a": "…"}', '{"a": [1, 2]}', True),
        ('{"type": "job", "jid": "1", …', '{"type": "job", "jid": "2", "minions": []}', True),
        ('{"type": "job", …', '{"type": "return"}', False),
        ("started in 5 s", "started in 7.1 s", True),
        ("started in 5 s", "ended in 7.1 s", False),
    ],
)
def test_alike(shown: str, real: str, expected: bool) -> None:
    """Answers are compared by shape, text by words."""
    assert expected is alike(shown, real)
