"""What the pages and `--help` show, done."""

import contextlib
import io
import re
import shlex
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from saltapi_client import Client
from saltapi_client.cli.declarations import COMMANDS
from saltapi_client.cli.options import SALT
from tests.apis import ApiServer
from tests.client.conftest import client_of, environment, saltctl

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "client/README.md", ROOT / "docs/saltctl.md"]
PYTHON = re.compile(r"```python\n(from saltapi_client.*?)```", re.S)
EXAMPLES = [example for command in (SALT, *COMMANDS) for example in command.examples]
STATES = {"nginx.sls": "nginx:\n  test.succeed_with_changes\n"}
MAY_FAIL = {"why": {0, 2}, "rerun --failed": {1}}
"""The statuses of what does not end with 0: with 2 where the server does not have it."""


@pytest.fixture(scope="module")
def states(asgi: ApiServer) -> None:
    """Have the states that the pages name."""
    for name, text in STATES.items():
        path = asgi.master.directory / "states" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (asgi.master.directory / "states/orch").mkdir(exist_ok=True)
    (asgi.master.directory / "states/orch/deploy.sls").write_text(STATES["nginx.sls"])


def test_ten_lines(asgi: ApiServer, states: None) -> None:
    """The lines that the pages show run a state with progress, and are the same everywhere."""
    programs = {PYTHON.search(page.read_text())[1] for page in PAGES}  # type: ignore[index]
    (program,) = programs
    known = asgi.master.credentials()
    for old, new in (
        ("https://salt:8000", asgi.url), ('"ops"', repr(known["username"])),
        ('"pam"', repr(known["eauth"])), ("web*", "minion-*"),
    ):  # fmt: skip
        assert old in program
        program = program.replace(old, new)
    written = io.StringIO()
    with contextlib.redirect_stdout(written):
        exec(program, {"secret": known["password"]})  # noqa: S102 - it is what the pages print

    lines = written.getvalue().splitlines()
    assert {f"minion-{n}: 1 of 1, nginx" for n in (1, 2)} <= set(lines)
    assert {f"minion-{n} has succeeded" for n in (1, 2)} <= set(lines)
    assert "missing: nobody" == lines[-1]


class Prepared(NamedTuple):
    """What the examples name: jobs, a record, the fingerprint of a key."""

    jid: str
    failed: str
    change: str
    record: str
    fingerprint: str


@pytest.fixture(scope="module")
def prepared(asgi: ApiServer, states: None) -> Iterator[Prepared]:
    """Have it there."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    path = asgi.master.directory / "master/pki/minions_pre/minion-3"
    path.parent.mkdir(exist_ok=True)
    text = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with client_of(asgi) as client:
        run = client.run("minion-1", "test.echo", ["x"])
        record = next(each.id for each in run if each.id)
        failed = client.run("*", "cmd.run", ["exit 1"])
        list(failed)
        change = change_of(client)
        path.write_bytes(text)
        keys = {key.id: key for key in client.keys()}  # noqa: SIM118 - a request
        fingerprint = keys["minion-3"].fingerprint or ""
        path.unlink()
        ended = threading.Event()

        def work() -> None:
            while not ended.wait(1):
                list(client.run("minion-1", "test.ping"))

        worker = threading.Thread(target=work)
        worker.start()
        found = Prepared(run.jids[0], failed.jids[0], change, str(record), fingerprint)
        try:
            path.write_bytes(text)
            yield found
        finally:
            ended.set()
            worker.join()
            client.stop(change)
            for folder in ("minions", "minions_pre"):
                path.parents[1].joinpath(folder, "minion-3").unlink(missing_ok=True)


def change_of(client: Client) -> str:
    """Start a change in stages that waits for long before its second one; return its jid."""
    chunk = {"client": "local_async", "tgt": "minion-*", "fun": "test.ping"}
    run = client.run_lowstate({**chunk, "batch": {"stages": [1, "100%"], "wait": 3600}})
    list(run)
    return run.jids[0]


@pytest.mark.long
@pytest.mark.parametrize("example", EXAMPLES)
def test_examples(asgi: ApiServer, tmp_path: Path, prepared: Prepared, example: str) -> None:
    """Each example of `--help` does what it says, with names that are there."""
    known = asgi.master.credentials()
    jid = prepared.failed if "--failed" in example else prepared.jid
    if example.startswith(("saltctl pause", "saltctl resume")):
        jid = prepared.change
    command, _, source = example.partition(" | ")[0].partition(" > ")[0].partition(" < ")
    for old, new in (
        ("20261123180812345678", jid), ("20261122180812345678", prepared.failed),
        ("5085b8b3eb17.AQ..", prepared.record), ("9d:5c:…", prepared.fingerprint),
        ("https://salt:8000", asgi.url), ("--user ops", f"--user {known['username']}"),
        ("--eauth pam", f"--eauth {known['eauth']}"), ("'web*'", "'minion-*'"),
        ("--exec ./welcome.sh", "--exec cat"), ("salt/minion/*/start", "salt/job/*/ret/*"),
    ):  # fmt: skip
        command = command.replace(old, new)
    if "check" not in command:
        command = command.replace("pkg.upgrade", "test.ping")  # on the machine of the tests
    words = shlex.split(command)[1:]
    if words[0] == "events" and "--count" not in words:
        words += ["--count", "1"]
    env = environment(tmp_path, asgi)
    if "prod" in words and words[0] != "login":
        assert 0 == saltctl(env, "login", "--profile", "prod").returncode
    stdin = {"secret": known["password"], "build.json": '{"version": 2}'}.get(source, "")
    found = saltctl(env, *words, stdin=stdin, cwd=tmp_path)

    allowed = next((v for k, v in MAY_FAIL.items() if set(k.split()) <= set(words)), {0})
    assert found.returncode in allowed, found
    assert "Traceback" not in found.stderr
