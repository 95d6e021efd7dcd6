"""salt-pepper 0.7.6, the library and the command line."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
from pepper import Pepper, PepperException

from tests.apis import ApiServer
from tests.waiting import eventually, scaled

COMMAND = [
    sys.executable,
    "-c",
    "import sys; import pepper.script; pepper.script.HAS_SALT = False;"
    " sys.exit(pepper.script.Pepper()())",
]
"""Without Salt's outputters, as on a machine that has no Salt: it prints the JSON."""
SECONDS = 60


@pytest.fixture
def pepper(api: ApiServer) -> Pepper:
    """The library, logged in."""
    client = Pepper(api.url)
    client.login(**api.master.credentials())
    return client


def run(
    api: ApiServer, home: Path, *args: str, username: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the `pepper` command with a home directory of its own."""
    credentials = api.master.credentials(username)
    home.joinpath(".pepperrc").write_text(
        f"[main]\nSALTAPI_URL={api.url}/\nSALTAPI_USER={credentials['username']}\n"
        f"SALTAPI_PASS={credentials['password']}\nSALTAPI_EAUTH={credentials['eauth']}\n"
    )
    return subprocess.run(
        [*COMMAND, *args],
        capture_output=True,
        text=True,
        timeout=scaled(SECONDS),
        env={"HOME": str(home), "PATH": "/usr/bin:/bin"},
        check=False,
    )


def output(finished: subprocess.CompletedProcess[str]) -> Any:
    """Return the JSON that the command printed."""
    assert 0 == finished.returncode, finished
    return json.loads(finished.stdout)


def full(value: Any) -> dict[str, Any]:
    """Return `{minion: ret}` of what a command with full returns shows."""
    return {minion: found["ret"] for minion, found in value["return"][0].items()}


def test_login_returns_what_the_library_expects(api: ApiServer) -> None:
    """`login` returns the token, the user and the permissions."""
    found = Pepper(api.url).login(**api.master.credentials())
    assert {"token", "start", "expire", "user", "eauth", "perms"} == found.keys()
    assert api.master.username == found["user"]
    assert found["perms"]


def test_local_uses_the_old_name_of_the_target_type(pepper: Pepper) -> None:
    """`expr_form`, which the library sends, is the target type."""
    assert {"return": [{"minion-2": True}]} == pepper.local(
        "id:minion-2", "test.ping", expr_form="grain"
    )
    assert {"return": [{"minion-1": True, "minion-2": True}]} == pepper.local(
        "minion-[12]", "test.ping", expr_form="pcre"
    )


def test_arguments(pepper: Pepper) -> None:
    """Positional and keyword arguments reach the function."""
    found = pepper.local("minion-1", "test.arg", arg=["a", 1], kwarg={"k": "v"})
    seen = found["return"][0]["minion-1"]
    assert ["a", 1] == seen["args"]
    assert "v" == seen["kwargs"]["k"]


def test_async_and_lookup(pepper: Pepper) -> None:
    """A job started with `local_async` can be looked up by its jid."""
    started = pepper.local_async("*", "test.ping")["return"][0]
    assert ["minion-1", "minion-2"] == sorted(started["minions"])
    expected = {"minion-1": True, "minion-2": True}
    eventually(lambda: expected == pepper.lookup_jid(started["jid"])["return"][0])


def test_batch(pepper: Pepper) -> None:
    """`local_batch` gives one element for each minion."""
    found = pepper.local_batch("*", "test.ping", batch="50%")["return"]
    assert [{"minion-1": True}, {"minion-2": True}] == sorted(found, key=str)


def test_runner_and_wheel(pepper: Pepper) -> None:
    """Runner and wheel functions take keyword arguments beside the function's name."""
    assert {"args": ["a"], "kwargs": {"k": "v"}} == pepper.runner("test.arg", arg=["a"], k="v")[
        "return"
    ][0]
    found = pepper.wheel("key.finger", match="minion-1")["return"][0]
    assert ["minion-1"] == list(found["data"]["return"]["minions"])


def test_get_requests(pepper: Pepper) -> None:
    """GET requests with a Content-Type and no body work."""
    assert {"minions", "minions_pre", "local"} <= pepper.req_get("/keys")["return"].keys()
    assert ["minion-1"] == list(pepper.req_get("/minions/minion-1")["return"][0])


def test_errors(api: ApiServer, pepper: Pepper) -> None:
    """A refusal is "Authentication denied", anything else is raised with its status."""
    with pytest.raises(PepperException, match="Authentication denied"):
        Pepper(api.url).low([{"client": "local", "tgt": "*", "fun": "test.ping"}])
    with pytest.raises(HTTPError) as error:
        pepper.low([{"client": "nothing", "fun": "test.ping"}])
    assert 400 == error.value.code


def test_no_version_header(pepper: Pepper) -> None:
    """No header makes the library send other requests than to Salt's own module."""
    pepper.low([{"client": "local", "tgt": "*", "fun": "test.ping"}])
    assert pepper.salt_version is None


def test_stream(pepper: Pepper) -> None:
    """`req_stream` gives a stream whose first line is the retry time."""
    response = pepper.req_stream("/events")
    try:
        assert "retry: 400" == next(response.iter_lines(decode_unicode=True))
    finally:
        response.close()


def test_command(api: ApiServer, tmp_path: Path) -> None:
    """`pepper '*' test.ping` shows all minions."""
    found = output(run(api, tmp_path, "*", "test.ping"))
    assert {"minion-1": True, "minion-2": True} == full(found)


@pytest.mark.parametrize(
    ("option", "target", "minions"),
    [
        ("-E", "minion-[12]", ["minion-1", "minion-2"]),
        ("-L", "minion-1", ["minion-1"]),
        ("-G", "id:minion-2", ["minion-2"]),
        ("--grain-pcre", "id:minion-[2]", ["minion-2"]),
        ("-C", "minion-1 or minion-2", ["minion-1", "minion-2"]),
        ("-N", "first", ["minion-1"]),
    ],
)
def test_target_options(
    api: ApiServer, tmp_path: Path, option: str, target: str, minions: list[str]
) -> None:
    """The options for target types choose the minions."""
    assert minions == sorted(full(output(run(api, tmp_path, option, target, "test.ping"))))


def test_command_arguments(api: ApiServer, tmp_path: Path) -> None:
    """Arguments of the command line reach the function."""
    found = full(output(run(api, tmp_path, "minion-1", "test.arg", "1", "k=v")))["minion-1"]
    assert ["1"] == found["args"]
    assert "v" == found["kwargs"]["k"]


def test_run_url(api: ApiServer, tmp_path: Path) -> None:
    """With `-r` a token of `/token` travels in each chunk to `/run`."""
    found = output(run(api, tmp_path, "-r", "*", "test.ping"))
    assert {"minion-1": True, "minion-2": True} == full(found)


def test_kept_token(api: ApiServer, tmp_path: Path) -> None:
    """With `-T` the token is kept and serves the next command."""
    output(run(api, tmp_path, "-T", "minion-1", "test.ping"))
    kept = json.loads(tmp_path.joinpath(".peppercache").read_text())
    output(run(api, tmp_path, "-T", "minion-1", "test.ping"))
    assert kept == json.loads(tmp_path.joinpath(".peppercache").read_text())


def test_token_expire(api: ApiServer, tmp_path: Path) -> None:
    """`--token-expire` sets how long the token lives, where the master permits it."""
    output(run(api, tmp_path, "-T", "--token-expire", "600", "minion-1", "test.ping"))
    kept = json.loads(tmp_path.joinpath(".peppercache").read_text())
    assert 600 == round(kept["expire"] - kept["start"])


def test_poll_for_returns(api: ApiServer, tmp_path: Path) -> None:
    """With `--fail-if-incomplete` the job's returns are polled until all are there."""
    finished = run(api, tmp_path, "--fail-if-incomplete", "-t", "30", "*", "test.ping")
    assert 0 == finished.returncode, finished
    assert "minion-1" in finished.stdout
    assert "minion-2" in finished.stdout


def test_command_runner_and_wheel(api: ApiServer, tmp_path: Path) -> None:
    """The command runs runner and wheel functions."""
    found = output(run(api, tmp_path, "--client=runner", "test.arg", "a", "k=v"))["return"][0]
    assert {"args": ["a"], "kwargs": {"k": "v"}} == found["data"]["return"]
    found = output(run(api, tmp_path, "--client=wheel", "key.list_all"))["return"][0]
    assert ["minion-1", "minion-2"] == sorted(found["data"]["return"]["minions"])


def test_command_batch(api: ApiServer, tmp_path: Path) -> None:
    """`--batch` uses `local_batch`."""
    found = output(run(api, tmp_path, "--batch", "1", "*", "test.ping"))["return"]
    assert ["minion-1", "minion-2"] == sorted(minion for item in found for minion in item)


def test_command_json(api: ApiServer, tmp_path: Path) -> None:
    """`--json` sends a chunk as it is."""
    chunk = json.dumps([{"client": "local", "tgt": "minion-1", "fun": "test.ping"}])
    assert {"minion-1": True} == full(output(run(api, tmp_path, f"--json={chunk}")))


def test_command_refused(api: ApiServer, tmp_path: Path) -> None:
    """Somebody who may not run the function gets "Authentication denied" and status 1."""
    finished = run(api, tmp_path, "*", "test.arg", username="low")
    assert 1 == finished.returncode
    assert "Authentication denied" in finished.stderr
