"""The master is there and does not answer: its requests wait, for it and for nobody."""

import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from saltapi.demo import PrivateMaster
from tests.apis import ApiServer
from tests.faults.conftest import Tell, facts, frozen, problem, served
from tests.waiting import eventually
from tests.wire import Answer

PUBLISH_SECONDS = 3
ONE = "minion-1"


@pytest.fixture
def api(request: pytest.FixtureRequest, master: PrivateMaster) -> Iterator[ApiServer]:
    with served(request, master, options={"publish_timeout": PUBLISH_SECONDS}) as api:
        yield api


def run(api: ApiServer, token: str, path: Path, key: str | None = None) -> Answer:
    headers = {"X-Auth-Token": token, **({"Idempotency-Key": key} if key else {})}
    chunk = {"tgt": ONE, "fun": "cmd.run", "arg": [f"echo ran >> {path}"]}
    return api.send("POST", "/v1/run", json_body=chunk, headers=headers)


def runs(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.mark.long
def test_given_up(master: PrivateMaster, api: ApiServer, tmp_path: Path, tell: Tell) -> None:
    """What its sender has given up is not published later; until that is sure, the jid says so."""
    token, key, path = api.login(), uuid.uuid4().hex, tmp_path / "runs"
    run(api, token, tmp_path / "warm")
    get = {"X-Auth-Token": token}
    with frozen(master) as thaw:
        first = run(api, token, path, key)
        assert (409, "outcome_unknown") == problem(first)
        (jid,) = facts(first)["jids"]
        doubt = api.send("GET", f"/v1/jobs/{jid}", headers=get)
        assert (409, "outcome_unknown") == problem(doubt)
        assert (409, "outcome_unknown") == problem(run(api, token, path, key))
        thaw()
        eventually(lambda: 200 == run(api, token, tmp_path / "other").status)
        eventually(lambda: 404 == api.send("GET", f"/v1/jobs/{jid}", headers=get).status, 40)
    assert (409, "outcome_unknown") == problem(run(api, token, path, key))
    assert 0 == runs(path)
    assert 200 == run(api, token, path, key + "2").status
    assert 1 == runs(path)
    tell(
        "master stopped (SIGSTOP), keyed command",
        "409 outcome_unknown with the jid; the jid 409",
        "not published after; the jid 404, a new key runs once",
    )


@pytest.mark.long
def test_restart(master: PrivateMaster, api: ApiServer, tmp_path: Path, tell: Tell) -> None:
    """A restart of the API meanwhile makes nothing known that is not, and no key is poisoned."""
    token, key, path = api.login(), uuid.uuid4().hex, tmp_path / "runs"
    run(api, token, tmp_path / "warm")
    with ThreadPoolExecutor(1) as pool, frozen(master) as thaw:
        first = pool.submit(run, api, token, path, key)
        time.sleep(PUBLISH_SECONDS / 3)  # it is on its way: nothing tells of that
        assert not first.done()
        api.program.stop()
        answer = first.exception() or first.result()
        if not isinstance(answer, BaseException):
            assert (409, "outcome_unknown") == problem(answer)
        thaw()
    api.program.start()
    eventually(api._answers)
    again = run(api, token, path, key)
    assert (again.status == 200) or (409, "outcome_unknown") == problem(again)
    assert runs(path) == (1 if again.status == 200 else 0)
    tell(
        "master stopped, API restarted meanwhile",
        "409 outcome_unknown",
        f"repeat with the key: {again.status}; ran {runs(path)} times",
    )


@pytest.mark.long
def test_without_a_key(master: PrivateMaster, api: ApiServer, tmp_path: Path, tell: Tell) -> None:
    """Without a key nobody is told to send again what may have run; the jid tells if it has."""
    token, path = api.login(), tmp_path / "runs"
    run(api, token, tmp_path / "warm")
    with frozen(master) as thaw:
        answer = run(api, token, path)
        assert (409, "outcome_unknown") == problem(answer)
        assert answer.header("Retry-After") is None
        (jid,) = facts(answer)["jids"]
        thaw()
        url, get = f"/v1/jobs/{jid}", {"X-Auth-Token": token}

        def known() -> int | None:
            status = api.send("GET", url, headers=get).status
            return status if status in {200, 404} else None

        # Whether the master took it before it was withdrawn is for the two of them to decide.
        status = eventually(known, 40)
    if status == 200:
        eventually(lambda: runs(path))
    assert 200 == run(api, token, tmp_path / "later").status
    assert runs(path) == (1 if status == 200 else 0)
    tell(
        "master stopped, no key",
        "409 outcome_unknown",
        f"the jid: {status}; ran {runs(path)} times",
    )
