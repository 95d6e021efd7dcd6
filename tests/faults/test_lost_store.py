"""The file that remembers keys is removed or cut short while the API runs."""

import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer
from tests.faults.conftest import Tell, facts, problem, served
from tests.wire import Answer


def removed(path: Path) -> None:
    path.unlink()


def truncated(path: Path) -> None:
    os.truncate(path, 0)


@pytest.fixture
def api(request: pytest.FixtureRequest, master: PrivateMaster) -> Iterator[ApiServer]:
    with served(request, master, workers=2) as api:
        yield api


@pytest.mark.long
@pytest.mark.parametrize("harm", [removed, truncated], ids=lambda harm: harm.__name__)
def test_lost(
    master: PrivateMaster, api: ApiServer, harm: Callable[[Path], None], tell: Tell
) -> None:
    """Commands with keys are refused, others run, until somebody says that it may go on."""
    token = api.login()

    def run(key: str | None) -> Answer:
        headers = {"X-Auth-Token": token, **({"Idempotency-Key": key} if key else {})}
        chunk = {"tgt": "minion-1", "fun": "test.ping"}
        return api.send("POST", "/v1/run", json_body=chunk, headers=headers)

    def store_ok() -> bool:
        found = facts(api.send("GET", "/readyz"))["checks"]["store"]["ok"]
        assert isinstance(found, bool)
        return found

    assert 200 == run(uuid.uuid4().hex).status
    assert store_ok()
    (path,) = Path(master.directory).rglob("rest_asgi.sqlite")
    harm(path)

    assert [(503, "store_unavailable")] * 4 == [problem(run(uuid.uuid4().hex)) for _ in range(4)]
    assert 200 == run(None).status
    assert not store_ok()
    assert "saltapi store --reset" in api.log()
    command = [*OURS, "-c", str(api.directory), "store"]
    assert 1 == subprocess.run(command, check=False, capture_output=True).returncode
    assert 0 == subprocess.run([*command, "--reset"], check=False, capture_output=True).returncode
    assert 200 == run(uuid.uuid4().hex).status
    assert store_ok()
    tell(
        f"store {harm.__name__} while running",
        "with a key 503 store_unavailable, without 200; readyz and log say so",
        "saltapi store --reset: keys are taken at once",
    )
