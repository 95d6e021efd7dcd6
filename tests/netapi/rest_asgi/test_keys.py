"""Keys as resources, at a real master."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import salt.utils.crypt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer
from tests.wire import Answer

PEM = (
    rsa.generate_private_key(65537, 2048)
    .public_key()
    .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    .decode()
)
OTHER = ":".join(["00"] * 32)
PENDING, ACCEPTED, REJECTED, DENIED = (
    f"minions{end}" for end in ("_pre", "", "_rejected", "_denied")
)


@pytest.fixture(scope="module")
def api(master: PrivateMaster) -> Iterator[ApiServer]:
    with ApiServer(master, OURS, {"workers": 1}, module="rest_asgi") as server:
        yield server


@pytest.fixture(scope="module")
def token(api: ApiServer) -> str:
    """The session of somebody who may run every wheel function, and nothing else."""
    return api.login("wheels")


@pytest.fixture(scope="module")
def ask(api: ApiServer, token: str) -> Callable[..., Answer]:
    def send(method: str, path: str, body: Any = None, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return api.send(
            method, f"/v1/keys{path}", json_body=body, headers={"X-Auth-Token": token, **named}
        )

    return send


@pytest.fixture
def put(master: PrivateMaster) -> Iterator[Callable[..., None]]:
    """Put a key where the master has it, until the test has ended."""
    pki = master.directory / "master" / "pki"
    ids: set[str] = set()

    def key(minion: str, directory: str, pem: str = PEM) -> None:
        ids.add(minion)
        place = pki / directory
        place.mkdir(exist_ok=True)
        (place / minion).write_text(pem)

    yield key
    for minion in ids:
        for directory in (PENDING, ACCEPTED, REJECTED, DENIED):
            (pki / directory / minion).unlink(missing_ok=True)


def entries(answer: Answer) -> list[tuple[str, str]]:
    assert 200 == answer.status, answer
    return [(key["id"], key["state"]) for key in answer.value()["keys"]]


def finger(ask: Callable[..., Answer], minion: str) -> str:
    (key,) = ask("GET", f"?id={minion}").value()["keys"]
    assert isinstance(key["fingerprint"], str)
    return key["fingerprint"]


def code(answer: Answer) -> tuple[int, str]:
    return answer.status, json.loads(answer.body)["code"]


def test_list(ask: Callable[..., Answer], put: Callable[..., None]) -> None:
    """Every key is listed with its state; the pages end where there is no more."""
    put("k-1", PENDING)
    put("k-1", DENIED)
    put("k-2", REJECTED)
    put("k-3", ACCEPTED)
    found = ask("GET", "?id=k-*")
    first = ask("GET", "?id=k-*&limit=3").value()
    rest = ask("GET", f"?id=k-*&limit=3&cursor={first['cursor']}").value()

    expected = [("k-1", "denied"), ("k-1", "pending"), ("k-2", "rejected"), ("k-3", "accepted")]
    assert expected == entries(found)
    assert [1, 1, 1, 1] == list(found.value()["counts"].values())
    assert (found.value()["keys"], None) == (first["keys"] + rest["keys"], rest["cursor"])
    assert [("k-2", "rejected")] == entries(ask("GET", "?id=k-*&state=rejected"))
    assert {"minion-1", "minion-2"} <= {minion for minion, _ in entries(ask("GET", ""))}
    assert (400, "invalid_field") == code(ask("GET", "?cursor=WzFd"))


def test_fingerprint_is_that_of_the_minion(
    ask: Callable[..., Answer], master: PrivateMaster
) -> None:
    """A fingerprint is what the minion itself says of its key."""
    paths = master.directory.rglob("minion.pub")
    path = next(path for path in paths if "minion-1" in str(path))
    assert salt.utils.crypt.pem_finger(str(path), sum_type="sha256") == finger(ask, "minion-1")


def test_not_modified(ask: Callable[..., Answer], put: Callable[..., None]) -> None:
    """A list that has not changed is not sent again."""
    etag = ask("GET", "").header("ETag") or ""
    assert (304, b"") == ((same := ask("GET", "", If_None_Match=etag)).status, same.body)
    put("k-1", PENDING)
    assert 200 == ask("GET", "", If_None_Match=etag).status


def test_accept(ask: Callable[..., Answer], put: Callable[..., None]) -> None:
    """A pending key is accepted if it has the fingerprint; else nothing happens."""
    put("k-1", PENDING)
    shown = finger(ask, "k-1")
    wrong = ask("POST", "/k-1/accept", If_Match=f'"{OTHER}"')
    assert (412, "precondition_failed") == code(wrong)
    assert [("k-1", "pending")] == entries(ask("GET", "?id=k-1"))
    done = ask("POST", "/k-1/accept", If_Match=f'"{shown}"')
    expected = {"id": "k-1", "action": "accept", "state": "accepted", "fingerprint": shown}
    assert (200, expected) == (done.status, done.value())
    assert [("k-1", "accepted")] == entries(ask("GET", "?id=k-1"))
    assert (409, "conflict") == code(ask("POST", "/k-1/accept"))


def test_what_salt_key_says(
    ask: Callable[..., Answer], put: Callable[..., None], master: PrivateMaster
) -> None:
    """The fingerprint that the master's own command prints is taken too."""
    put("k-1", PENDING)
    printed = subprocess.run(
        [*(sys.executable, "-P", "-c"), "import salt.scripts; salt.scripts.salt_key()",
         "-c", str(master.config_dir), "-f", "k-1", "--out", "txt"],
        capture_output=True, text=True, check=True, timeout=120,
    ).stdout  # fmt: skip
    text = printed.split("k-1")[1].strip(" :'}{\n")
    assert 95 == len(text), printed
    assert 200 == ask("POST", "/k-1/accept", If_Match=f'"{text}"').status


def test_reject_and_delete(ask: Callable[..., Answer], put: Callable[..., None]) -> None:
    """Pending and accepted keys are rejected, a rejected one is accepted, and all are deleted."""
    put("k-1", PENDING)
    states = [
        ask(method, path).value()["state"]
        for method, path in (
            ("POST", "/k-1/reject"),
            ("POST", "/k-1/accept"),
            ("POST", "/k-1/reject"),
            ("DELETE", "/k-1"),
        )
    ]
    assert ["rejected", "accepted", "rejected", None] == states
    assert (404, "not_found") == code(ask("DELETE", "/k-1"))
    assert (404, "not_found") == code(ask("POST", "/k-1/accept"))


def test_denied(ask: Callable[..., Answer], put: Callable[..., None]) -> None:
    """A denied key can be deleted alone, and nothing else."""
    denied = PEM.replace("AQAB", "AQAC")
    put("k-1", ACCEPTED)
    put("k-1", DENIED, denied)
    found = {key["state"]: key["fingerprint"] for key in ask("GET", "?id=k-1").value()["keys"]}
    assert found["denied"] != found["accepted"]
    quoted = f'"{found["denied"]}"'
    assert (409, "conflict") == code(ask("POST", "/k-1/accept", If_Match=quoted))
    assert 200 == ask("DELETE", "/k-1", If_Match=quoted).status
    assert [("k-1", "accepted")] == entries(ask("GET", "?id=k-1"))


def test_many(ask: Callable[..., Answer], put: Callable[..., None]) -> None:
    """Of many keys each has an outcome of its own."""
    for number in range(1, 4):
        put(f"k-{number}", PENDING)
    shown = finger(ask, "k-2")
    wanted = [
        {"id": "k-1", "action": "accept"},
        {"id": "k-2", "action": "accept", "fingerprint": shown},
        {"id": "k-3", "action": "accept", "fingerprint": OTHER},
        {"id": "k-4", "action": "reject"},
        {"id": "minion-1", "action": "accept"},
    ]
    found = ask("POST", "", {"keys": wanted}).value()["outcomes"]
    assert [200, 200, 412, 404, 409] == [one["status"] for one in found]
    assert ["accepted", "accepted", None, None, None] == [one["state"] for one in found]
    assert "precondition_failed" == found[2]["error"]["code"]
    expected = [("k-1", "accepted"), ("k-2", "accepted"), ("k-3", "pending")]
    assert expected == entries(ask("GET", "?id=k-*"))
    twice = ask("POST", "", {"keys": [wanted[0], wanted[0]]})
    assert (400, "invalid_field") == code(twice)


def test_a_name_is_no_pattern(ask: Callable[..., Answer], put: Callable[..., None]) -> None:
    """An id with a character that patterns have means the one minion of this id."""
    put("k-[1]", PENDING)
    put("k-1", PENDING)
    assert 200 == ask("POST", "/k-[1]/accept").status
    assert [("k-1", "pending"), ("k-[1]", "accepted")] == entries(ask("GET", "?id=k-*"))


def test_who_may(api: ApiServer, ask: Callable[..., Answer], put: Callable[..., None]) -> None:
    """Whom the master does not let list keys is told nothing of them."""
    put("k-1", PENDING)
    headers = {"X-Auth-Token": api.login("low")}
    for method, path in (("GET", ""), ("POST", "/k-1/accept"), ("DELETE", "/nobody")):
        answer = api.send(method, f"/v1/keys{path}", headers=headers)
        assert (403, "authorization") == code(answer)
    assert [("k-1", "pending")] == entries(ask("GET", "?id=k-1"))


def test_names_of_folders(ask: Callable[..., Answer]) -> None:
    """What is no id leads nowhere."""
    for name in ("..%2F..%2Fmaster.pem", "%00", ".."):
        assert 404 == ask("POST", f"/{name}/accept").status, name
