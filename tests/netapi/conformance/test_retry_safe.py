"""`Idempotency-Key`: in every module a command that is sent again does not run again."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.netapi.conformance.engines import ONE, Counted, Equipped
from tests.waiting import eventually
from tests.wire import Answer

REPLAYED = "Idempotency-Replayed"
PING = {"client": "local", "tgt": ONE, "fun": "test.ping"}


@pytest.fixture
def key() -> str:
    return uuid.uuid4().hex


def test_again(equipped: Equipped, counted: Counted, key: str) -> None:
    """The repeat gets the answer of the first request, and a header that says so."""
    first, again = (equipped.run(counted.chunk, key=key) for _ in range(2))

    assert {"return": [{ONE: "done"}]} == first.value()
    assert (first.status, first.body) == (again.status, again.body)
    assert (None, "true") == (first.header(REPLAYED), again.header(REPLAYED))
    assert 1 == counted.runs


def test_parallel(equipped: Equipped, counted: Counted, key: str) -> None:
    """Five times at once: it runs once, the same answer for everybody."""
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda _: equipped.run(counted.chunk, key=key), range(5)))

    assert [200] * 5 == [answer.status for answer in answers]
    assert 1 == len({answer.body for answer in answers})
    assert 4 == [answer.header(REPLAYED) for answer in answers].count("true")
    assert 1 == counted.runs


def test_without_a_key(equipped: Equipped, counted: Counted) -> None:
    """Without a key a command runs as often as it is sent."""
    answers = [equipped.run(counted.chunk) for _ in range(2)]

    assert [None, None] == [answer.header(REPLAYED) for answer in answers]
    assert 2 == counted.runs


def test_another_body(equipped: Equipped, counted: Counted, key: str) -> None:
    """A key that was used for another request is refused, and nothing runs."""
    equipped.run(PING, key=key)
    answer = equipped.run(counted.chunk, key=key)

    assert 422 == answer.status
    assert "was used for another request" in str(answer.value()["return"])
    assert 0 == counted.runs


@pytest.mark.parametrize("bad", ['""', "a" * 256], ids=["quotes", "long"])
def test_no_key(equipped: Equipped, counted: Counted, bad: str) -> None:
    """What cannot be a key is refused, and nothing runs."""
    assert 400 == equipped.run(counted.chunk, key=bad).status
    assert 0 == counted.runs


def test_refused(equipped: Equipped, key: str) -> None:
    """What was refused before anything ran does not use up the key."""
    refused = equipped.run({**PING, "tgt": "*"}, "scoped", key=key)
    other = equipped.run(PING, "scoped", key=key)

    assert equipped.refused(refused)
    assert (200, None) == (other.status, other.header(REPLAYED))


def test_wrong_password(equipped: Equipped, counted: Counted, key: str) -> None:
    """Nothing runs, and nothing is told, unless the credentials are right this time too."""
    equipped.run(counted.chunk, key=key)
    answer = equipped.run({**counted.chunk, "password": "wrong"}, key=key)

    assert 401 == answer.status
    assert 1 == counted.runs


@pytest.mark.parametrize("path", ["/", "/minions"])
def test_with_a_session(equipped: Equipped, counted: Counted, key: str, path: str) -> None:
    """The URLs for sessions take the key too."""
    if equipped.module == "rest_wsgi":
        pytest.skip("there are no sessions")
    chunk = {**counted.chunk}
    if path == "/minions":
        del chunk["client"]
    headers = {"X-Auth-Token": equipped.server.login(), "Idempotency-Key": key}

    def post() -> Answer:
        return equipped.server.send("POST", path, json_body=[chunk], headers=headers)

    first, again = post(), post()
    assert first.status in {200, 202}
    assert (first.status, first.body) == (again.status, again.body)
    assert (None, "true") == (first.header(REPLAYED), again.header(REPLAYED))
    eventually(lambda: counted.runs)
    assert 1 == counted.runs


def test_functions_of_the_master(equipped: Equipped, key: str) -> None:
    """What a runner returned is told again, whatever it would return now."""
    chunk = {"client": "runner", "fun": "jobs.list_jobs"}
    first = equipped.run(chunk, key=key)
    equipped.run(PING)
    again = equipped.run(chunk, key=key)

    if again.status == 409:  # larger results than 64 KiB are not kept
        assert len(first.body) > 50_000
    else:
        assert first.body == again.body
