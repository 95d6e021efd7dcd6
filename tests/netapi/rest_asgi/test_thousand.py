"""A thousand minions: what they return is three groups, and they are all in the fleet."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer
from tests.swarm import Swarm
from tests.waiting import eventually
from tests.wire import Answer

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

COUNT = 1000
ODD = {"many-*7": "fail", "many-*9": "bytes"}
"""A tenth of them fails, and another tenth returns what is no text."""
PAGE = 500
Ask = Callable[..., Answer]


@pytest.fixture(scope="module")
def api(master: PrivateMaster) -> Iterator[ApiServer]:
    with (
        Swarm(master, COUNT, prefix="many-", behaviours=ODD),
        ApiServer(master, OURS, {"workers": 2}, module="rest_asgi") as server,
    ):
        yield server


@pytest.fixture(scope="module")
def ask(api: ApiServer) -> Ask:
    token = api.login()

    def send(method: str, path: str, body: Any = None, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = api.send(
            method,
            f"/v1{path}",
            json_body=body,
            headers={"X-Auth-Token": token, **named},
            timeout=200,
        )
        assert answer.status in {200, 304}, answer
        return answer

    return send


def ending(digits: str) -> list[str]:
    """Return the ids of the minions whose numbers end with one of *digits*."""
    return sorted(f"many-{number}" for number in range(COUNT) if str(number)[-1] in digits)


def test_three_groups(ask: Ask) -> None:
    """Three kinds of answers are three groups, the largest first, each value once."""
    chunk = {"tgt": "many-*", "fun": "test.echo", "arg": ["fine"], "timeout": 100}
    (result,) = ask("POST", "/run?fold=true", chunk).value()["results"]
    jid = result["jid"]
    for found in (result, ask("GET", f"/jobs/{jid}?fold=true").value()):
        groups = found["groups"]
        assert [800, 100, 100] == [group["count"] for group in groups]
        assert "returns" not in found
        by_value = {str(group["return"]): sorted(group["minions"]) for group in groups}
        assert ending("01234568") == by_value["fine"]
        assert ending("7") == by_value["It failed."]
        assert 3 == len(by_value)
    assert 100 == len(result["failed"])


def test_fleet(ask: Ask) -> None:
    """The list has all of them once, page by page, whichever worker is asked, and is not resent."""
    ask("POST", "/run?fold=true", {"tgt": "many-*", "fun": "test.ping", "timeout": 100})
    eventually(lambda: COUNT == ask("GET", "/minions?tgt=many-*&limit=1").value()["total"])
    seen, cursor = [], ""
    while True:
        more = f"&cursor={cursor}" if cursor else ""
        page = ask("GET", f"/minions?id=many-*&limit={PAGE}{more}").value()
        assert (COUNT, PAGE) == (page["total"], len(page["minions"]))
        seen += [minion["id"] for minion in page["minions"]]
        cursor = page["cursor"]
        if not cursor:
            break
    assert sorted(f"many-{number}" for number in range(COUNT)) == sorted(seen)

    def failed() -> bool:
        (one,) = ask("GET", "/minions?id=many-7").value()["minions"]
        assert "accepted" == one["key"]
        return one["last_job"] is not None and one["last_job"]["failed"] is True

    eventually(failed)  # each worker hears of it by itself
    assert 100 == ask("GET", "/minions?id=many-*7&limit=1").value()["total"]
    etag = ask("GET", "/minions?id=many-5").header("ETag") or ""
    assert 304 == ask("GET", "/minions?id=many-5", If_None_Match=etag).status
