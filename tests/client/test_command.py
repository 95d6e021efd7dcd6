"""`saltctl`, at `/v1`, at the classic URLs here, and at Salt's own salt-api."""

import json
import os
import stat
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from saltapi_client import Client
from saltapi_client.records import MinionReturn
from tests.apis import ApiServer
from tests.client.conftest import SECONDS, Ctl, client_of, environment, saltctl
from tests.waiting import eventually


def lines(text: str) -> list[dict[str, Any]]:
    """Return lines of JSON."""
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def pillar(asgi: ApiServer) -> Iterator[None]:
    """Give one minion a pillar, which the master and the minion know of."""
    folder = asgi.master.directory / "pillar"
    top, sls = folder / "top.sls", folder / "saltctl.sls"
    folder.mkdir(exist_ok=True)
    top.write_text("base: {minion-1: [saltctl]}\n")
    sls.write_text("saltctl: {role: web}\n")

    def role(client: Client) -> Any:
        """Return what the minion has, when it has looked again; Salt 3008 has stars for it."""
        list(client.run("minion-1", "saltutil.refresh_pillar", kwarg={"wait": True}))
        returns = client.run("minion-1", "pillar.get", ["saltctl:role"])
        return next((each.value for each in returns if isinstance(each, MinionReturn)), None)

    with client_of(asgi) as client:
        eventually(lambda: role(client), SECONDS)
        yield
        top.unlink()
        sls.unlink()
        eventually(lambda: not role(client), SECONDS)


def test_ping(ctl: Ctl) -> None:
    """In a pipe there are records, one a line, and the status is 0."""
    found = ctl("*", "test.ping")

    assert (0, "") == (found.returncode, found.stderr)
    records = lines(found.stdout)
    assert ["job", "return", "return", "summary"] == [each["type"] for each in records]
    assert {"minion-1", "minion-2"} == {e["minion"] for e in records if e["type"] == "return"}


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (("*", "test.ping", "--out", "quiet"), 0),
        (("minion-1", "cmd.run", "exit 1", "--out", "quiet"), 1),
        (("minion-1", "no.such", "--out", "quiet"), 1),
        (("evnts",), 2),
        (("*", "test.ping", "--out", "nothing"), 2),
        (("-L", "minion-1,ghost", "test.ping", "--out", "quiet"), 3),
        (("nobody", "test.ping"), 3),
        (("job", "20010101000000000000"), 3),
        (("whoami", "--url", "http://127.0.0.1:1"), 5),
        (("api", "GET", "/v1/nothing"), 3),
        (("run", "test.arg", "--out", "quiet"), 0),
    ],
)
def test_exit_status(ctl: Ctl, args: tuple[str, ...], expected: int) -> None:
    """The exit status says how it went, the same for each command."""
    found = ctl(*args)

    assert expected == found.returncode, found
    assert "Traceback" not in found.stderr


def test_not_permitted(ctl: Ctl) -> None:
    """Who may not gets 4."""
    assert 4 == ctl("*", "test.arg", username="low").returncode


def test_arguments_and_layouts(ctl: Ctl) -> None:
    """Arguments reach the function with their types; results come in the chosen layout."""
    args = ("minion-1", "test.arg", "1", "two", "{x: 1}", "k=[a, b]", "--out")

    for name, read in (("json", json.loads), ("yaml", yaml.safe_load)):
        seen = read(ctl(*args, name).stdout)["minion-1"]
        assert [1, "two", {"x": 1}] == seen["args"]
        assert ["a", "b"] == seen["kwargs"]["k"]
    assert "minion-1:\n    True\n" == ctl("minion-1", "test.ping", "--out", "nested").stdout
    assert "{'minion-1': True}\n" == ctl("minion-1", "test.ping", "--out", "raw").stdout
    table = ctl("minion-1", "test.ping", "--out", "table").stdout
    assert ["MINION    STATE  RETURN", "minion-1  good   true"] == table.splitlines()


@pytest.mark.parametrize(
    ("option", "target", "minions"),
    [
        ("-E", "minion-[12]", ["minion-1", "minion-2"]),
        ("-L", "minion-1", ["minion-1"]),
        ("-G", "id:minion-2", ["minion-2"]),
        ("-C", "minion-1 or G@id:minion-2", ["minion-1", "minion-2"]),
        ("-N", "first", ["minion-1"]),
        ("-P", "id:minion-[12]", ["minion-1", "minion-2"]),
        ("-I", "saltctl:role:web", ["minion-1"]),
        ("-J", "saltctl:role:(web|db)", ["minion-1"]),
        ("-S", "127.0.0.0/8", ["minion-1", "minion-2"]),
        ("-S", "127.0.0.1", ["minion-1", "minion-2"]),
    ],
)
def test_targets(ctl: Ctl, pillar: None, option: str, target: str, minions: list[str]) -> None:
    """The options of `salt` choose the minions."""
    found = json.loads(ctl(option, target, "test.ping", "--out", "json").stdout)

    assert dict.fromkeys(minions, True) == found


def test_range(ctl: Ctl) -> None:
    """A range needs a library that masters of today cannot have: there it matches nobody."""
    found = ctl("-R", "%minions", "test.ping")

    assert found.returncode in {1, 2, 3}, found
    assert "Traceback" not in found.stderr
    assert found.stderr


def test_functions_of_the_master(ctl: Ctl) -> None:
    """`run` and `wheel` print what the function has returned."""
    found = json.loads(ctl("run", "test.arg", "1", "k=v", "--out", "json").stdout)
    assert {"args": [1], "kwargs": {"k": "v"}} == found
    found = json.loads(ctl("wheel", "key.list_all", "--out", "json").stdout)
    assert {"minion-1", "minion-2"} <= set(found["minions"])


def test_batch_and_async(ctl: Ctl) -> None:
    """`--batch` asks some at a time; `--async` says the jid, and `follow` shows the rest."""
    found = ctl("*", "test.ping", "--batch", "1", "--out", "json")
    assert {"minion-1": True, "minion-2": True} == json.loads(found.stdout)
    jid = lines(ctl("*", "test.ping", "--async").stdout)[0]["jid"]
    found = ctl("follow", jid, "--out", "json")
    assert {"minion-1": True, "minion-2": True} == json.loads(found.stdout)


def test_lists(ctl: Ctl) -> None:
    """`jobs`, `minions` and `keys` list, one a line."""
    ids = {each["id"] for each in lines(ctl("minions").stdout)}
    assert {"minion-1", "minion-2"} <= ids
    assert {"accepted"} == {e["state"] for e in lines(ctl("keys").stdout) if "minion-" in e["id"]}
    assert 2 == len(lines(ctl("jobs", "--limit", "2").stdout))
    assert "Used to make sure the minion is up" in ctl("docs", "test.ping").stdout


def test_password_and_profile(asgi: ApiServer, tmp_path: Path) -> None:
    """A login is a profile and a private token; the password is nowhere."""
    env, credentials = environment(tmp_path), asgi.master.credentials()
    options = ("--url", asgi.url, "--user", credentials["username"], "--eauth", "file")
    found = saltctl(env, "login", "--profile", "x", *options, "--password-stdin", stdin="no\n")
    assert 4 == found.returncode
    password = credentials["password"]
    found = saltctl(env, "login", "--profile", "x", *options, "--password-stdin", stdin=password)
    assert 0 == found.returncode, found

    assert 0 == saltctl(env, "whoami").returncode  # the first one is the default
    assert 2 == saltctl(env, "whoami", "--profile", "y").returncode
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert 0o600 == stat.S_IMODE(path.stat().st_mode)
            assert password not in path.read_text()
    assert 0 == saltctl(env, "logout").returncode
    assert 4 == saltctl(env, "whoami").returncode


def test_pepper(asgi: ApiServer, tmp_path: Path) -> None:
    """pepper's file and its environment variables are read."""
    credentials = asgi.master.credentials()
    tmp_path.joinpath(".pepperrc").write_text(
        f"[main]\nSALTAPI_URL=http://127.0.0.1:1/\n[dev]\nSALTAPI_URL={asgi.url}/\n"
        f"SALTAPI_USER={credentials['username']}\nSALTAPI_PASS={credentials['password']}\n"
        "SALTAPI_EAUTH=file\n"
    )
    env = environment(tmp_path) | {"PEPPERPROFILE": "dev"}

    assert 0 == saltctl(env, "minion-1", "test.ping").returncode


def test_events_exec(ctl: Ctl, tmp_path: Path) -> None:
    """`events --exec` runs a command for each event, and its failure is a status."""
    program = f'{sys.executable} -c "import sys,json; json.load(sys.stdin); sys.exit(3)"'
    seen = threading.Event()

    def work() -> None:
        while not seen.wait(0.5):
            ctl("minion-1", "test.ping")

    worker = threading.Thread(target=work)
    worker.start()
    try:
        found = ctl("events", "--count", "1", "--exec", program)
    finally:
        seen.set()
        worker.join()

    assert 1 == found.returncode, found


def test_hook_and_api(asgi: ApiServer, tmp_path: Path) -> None:
    """Any request can be sent with the session."""
    env = environment(tmp_path, asgi)
    assert (
        asgi.master.username == json.loads(saltctl(env, "api", "GET", "/v1/whoami").stdout)["user"]
    )
    found = saltctl(env, "api", "post", "/v1/check", "--data", "-", stdin='{"tgt":"*","fun":"x.y"}')
    assert 0 == found.returncode, found
    assert json.loads(found.stdout)["checks"]


def test_closed_pipe(asgi: ApiServer, tmp_path: Path) -> None:
    """A reader that has read enough is no error to talk of."""
    env = environment(tmp_path, asgi)
    env["CTL"] = sys.executable
    import subprocess

    found = subprocess.run(
        ["sh", "-c", '"$CTL" -m saltapi_client jobs --limit 200 | head -n 1'],
        env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "" == found.stderr
    assert os.linesep in found.stdout
