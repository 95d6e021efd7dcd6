"""A token is good as we see it, and the master refuses it: its own look into the store failed."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer

CHUNK = {"tgt": "minion-1", "fun": "test.ping"}


@pytest.fixture(scope="module")
def store(master: PrivateMaster) -> Path:
    """The directory of the API's own tokens, below the one that Salt puts before all paths."""
    directory = master.directory / "master" / "own-cache" / "tokens"
    directory.mkdir(parents=True)
    return directory


@pytest.fixture(scope="module")
def api(master: PrivateMaster, store: Path) -> Iterator[ApiServer]:
    """An API that does not share the master's tokens."""
    options = {
        "cachedir": str(store.parent),
        "token_dir": str(store),
        "api_session_cache_seconds": 0,
    }
    with ApiServer(master, OURS, module="rest_asgi", options=options) as api:
        yield api


@pytest.mark.parametrize("path", ["/", "/v1/run"])
def test_refused_by_the_master(
    master: PrivateMaster, api: ApiServer, store: Path, path: str
) -> None:
    """Nobody is told to log in again while the token is good, and then everybody is."""
    token = api.login()
    (made,) = (master.directory / "master").rglob(f"{token}*")
    ours = Path(shutil.copy(made, store))
    made.unlink()
    body = CHUNK if path == "/v1/run" else [{"client": "local", **CHUNK}]
    headers = {"X-Auth-Token": token}
    answer = api.send("POST", path, json_body=body, headers=headers)
    assert 503 == answer.status, answer
    assert b"which is good" in answer.body
    assert "5" == answer.header("Retry-After")

    ours.unlink()
    assert 401 == api.send("POST", path, json_body=body, headers=headers).status
