"""The disk with what saltapi keeps for itself gets full while it runs."""

import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from saltapi.demo import PrivateMaster
from tests.apis import ApiServer
from tests.faults.conftest import Tell, facts, problem, served
from tests.waiting import eventually
from tests.wire import Answer

SIZE = "4m"


@pytest.fixture
def disk(private_master: Callable[..., PrivateMaster]) -> Iterator[tuple[PrivateMaster, Path]]:
    """Yield a master, and a small disk below its cache that is saltapi's."""
    master = private_master(minions=2)
    place = Path(master.options["cachedir"], "saltapi")
    place.mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=700", "tmpfs", str(place)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a disk cannot be mounted here")
    yield master, place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture
def api(request: pytest.FixtureRequest, disk: tuple[PrivateMaster, Path]) -> Iterator[ApiServer]:
    with served(request, disk[0]) as api:
        yield api


def fill(place: Path) -> Path:
    """Fill a disk to its last byte; return what fills it."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (65_536, 1):
            while True:
                try:
                    file.write(b"x" * size)
                except OSError:
                    break
    return filler


@pytest.mark.long
def test_full(disk: tuple[PrivateMaster, Path], api: ApiServer, tell: Tell) -> None:
    """Commands with keys are refused and nothing runs twice, others go on; then all is well."""
    token = {"X-Auth-Token": api.login()}

    def run(key: str | None) -> Answer:
        headers = {**token, **({"Idempotency-Key": key} if key else {})}
        chunk = {"tgt": "minion-1", "fun": "test.ping"}
        return api.send("POST", "/v1/run", json_body=chunk, headers=headers)

    def jid(answer: Answer) -> str:
        assert 200 == answer.status, answer
        return str(answer.header("X-Salt-Jid"))

    before, during = uuid.uuid4().hex, uuid.uuid4().hex
    known = jid(run(before))
    filler = fill(disk[1])
    eventually(lambda: 503 == run(uuid.uuid4().hex).status)
    assert (503, "store_unavailable") == problem(run(during))
    assert known == jid(run(before))
    shown = jid(run(None))
    assert 200 == api.send("GET", f"/v1/jobs/{shown}", headers=token).status
    listed = api.send("GET", "/v1/jobs", headers=token)
    assert shown in [job["jid"] for job in facts(listed)["jobs"]]
    assert 200 == api.send("GET", "/livez").status
    assert "Traceback" not in api.log()
    filler.unlink()
    eventually(lambda: 200 == run(during).status)
    assert known == jid(run(before))
    assert facts(api.send("GET", "/readyz"))["checks"]["store"]["ok"]
    tell(
        "saltapi's disk full",
        "with a new key 503 store_unavailable; known keys, commands without, jobs 200",
        "by itself; no key is lost",
    )
