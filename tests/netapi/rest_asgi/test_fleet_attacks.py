"""The fleet, its keys and functions, attacked by outsiders and by users who may do little."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer
from tests.netapi.rest_asgi.test_events import Stream
from tests.netapi.rest_asgi.test_keys import ACCEPTED, PEM, PENDING
from tests.wire import Answer

ODD_IDS = (
    "..",
    "%2E%2E",
    "..%2F..%2Fetc%2Fpasswd",
    "minion-1%2F..%2Fminion-2",
    "%00",
    "a%00b",
    "%0A",
    "*",
    "%5Bm%5Dinion-1",
    "%F0%9F%90%A7",
    "%FF%FE",
    "%ED%A0%80",
    "a" * 255,
    "a" * 256,
    "a,b",
    "%7Bjid%7D",
)
SORTS = ("id", "key", "connected", "last_seen", "os", "salt_version", "highstate")


@pytest.fixture(scope="module")
def api(master: PrivateMaster) -> Iterator[ApiServer]:
    with ApiServer(master, OURS, {"workers": 1}, module="rest_asgi") as server:
        yield server


@pytest.fixture(scope="module")
def tokens(api: ApiServer) -> dict[str | None, str]:
    return {name: api.login(name) for name in (None, "low", "scoped", "wheels", "keylister")}


@pytest.fixture(scope="module")
def ask(api: ApiServer, tokens: dict[str | None, str]) -> Callable[..., Answer]:
    def send(
        path: str, user: str | None = None, method: str = "GET", body: Any = None, **headers: str
    ) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        headers = {"X-Auth-Token": tokens[user], **named}
        return api.send(method, f"/v1{path}", headers=headers, json_body=body)

    return send


@pytest.fixture
def put(master: PrivateMaster) -> Iterator[Callable[[str, str], None]]:
    """Put a key where the master has it, until the test has ended."""
    pki, written = master.directory / "master" / "pki", []

    def key(minion: str, directory: str) -> None:
        path = pki / directory / minion
        path.parent.mkdir(exist_ok=True)
        path.write_text(PEM)
        written.append(path)

    yield key
    for path in written:
        path.unlink(missing_ok=True)


def test_outsiders(api: ApiServer) -> None:
    """Without a session there is nothing, whatever is asked."""
    for method, path in (
        ("GET", "/minions"),
        ("GET", "/minions?cursor=x&tgt=(a%2B)%2B%24&tgt_type=pcre"),
        ("GET", "/minions/minion-1"),
        ("GET", "/minions/minion-1/why"),
        ("GET", "/minions/nobody/why?jid=20260101000000000001"),
        ("GET", "/keys"),
        ("POST", "/keys/minion-1/reject"),
        ("DELETE", "/keys/minion-1"),
        ("GET", "/functions"),
    ):
        answer = api.send(method, f"/v1{path}")
        assert 401 == answer.status, path
        wrong = api.send(method, f"/v1{path}", headers={"X-Auth-Token": "0" * 64})
        assert 401 == wrong.status, path


@pytest.mark.parametrize("user", [None, "scoped"])
@pytest.mark.parametrize("minion", ODD_IDS)
def test_odd_ids(ask: Callable[..., Answer], minion: str, user: str | None) -> None:
    """Whatever stands for an id is no minion's, and leads nowhere."""
    found = ask(f"/minions/{minion}", user)
    assert found.status in {400, 404}, found
    why = ask(f"/minions/{minion}/why", user)
    assert why.status == 400 or why.value()["code"] in {"unknown_minion", "not_permitted"}
    for path in (f"/functions?minion={minion}", f"/minions/{minion}/why?jid=20260101000000000001"):
        assert ask(path, user).status in {200, 400, 404}, path
    taken = ask(f"/keys/{minion}/accept", user, "POST")
    assert taken.status in {400, 403, 404}, taken
    assert ask(f"/minions?id={minion}", user).status in {200, 400}
    assert ask(f"/minions?tgt={minion}&tgt_type=list", user).status in {200, 400}


@pytest.mark.parametrize("sort", [*SORTS, *(f"-{name}" for name in SORTS)])
def test_forged_cursors(ask: Callable[..., Answer], sort: str) -> None:
    """A cursor that was not made here is refused, or is a place in the list."""
    for place in (
        [1, 5],
        [1, "x"],
        [1, True],
        [0, 5],
        [0, ""],
        [True, "x"],
        [1, None],
        [1, []],
        [2, "x"],
        [1, 1e308],
        [1, float("nan")],
        [1, 10**300],
        {"a": 1, "b": 2},
        "ab",
    ):
        for value in ([sort, place, "minion-1"], [sort, place, 1], [sort, place], place):
            text = base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
            answer = ask(f"/minions?sort={sort}&cursor={text}")
            assert answer.status in {200, 400}, (value, answer)
            assert ask(f"/keys?cursor={text}", "wheels").status in {200, 400}, value


@pytest.mark.parametrize("header", ["", ",", " , ", '""', '"a", "b"'])
def test_a_condition_that_says_nothing(
    ask: Callable[..., Answer], put: Callable[[str, str], None], header: str
) -> None:
    """An `If-Match` without a fingerprint is no leave to change whatever key there is."""
    put("sim-cond", PENDING)
    answer = ask("/keys/sim-cond/accept", "wheels", "POST", If_Match=header)
    assert 400 == answer.status, answer
    state = ask("/keys?id=sim-cond", "wheels").value()["keys"][0]["state"]
    assert "pending" == state


def test_a_star_in_quotes_is_a_fingerprint(
    ask: Callable[..., Answer], put: Callable[[str, str], None]
) -> None:
    """Only the star alone means any key."""
    put("sim-cond", PENDING)
    assert 412 == ask("/keys/sim-cond/accept", "wheels", "POST", If_Match='"*"').status
    assert 412 == ask("/keys/sim-cond/accept", "wheels", "POST", If_Match='"e3:b0:c4"').status


def test_who_may_only_list_keys(
    ask: Callable[..., Answer], put: Callable[[str, str], None]
) -> None:
    """Who may list keys sees no fingerprint and changes nothing; many wishes are not many calls."""
    put("sim-only", PENDING)
    (key,) = ask("/keys?id=sim-only", "keylister").value()["keys"]
    assert ("pending", None) == (key["state"], key["fingerprint"])
    assert 403 == ask("/keys/sim-only/accept", "keylister", "POST").status
    names = [f"sim-many-{n}" for n in range(300)]
    for name in names:
        put(name, PENDING)
    began = time.monotonic()
    wishes = [{"id": name, "action": "accept"} for name in names]
    found = ask("/keys", "keylister", "POST", {"keys": wishes}).value()["outcomes"]
    assert {403} == {outcome["status"] for outcome in found}
    assert time.monotonic() - began < 60
    assert 403 == ask("/keys", "low").status
    assert 403 == ask("/keys/sim-only/reject", "low", "POST").status
    assert 403 == ask("/keys/sim-nobody/reject", "low", "POST").status


def test_filters_tell_no_grains(ask: Callable[..., Answer]) -> None:
    """Who may not read grains finds nobody by them, and makes no work."""
    slow = "tgt=kernel:(L.*)%2B%24&tgt_type=grain_pcre"
    began = time.monotonic()
    for query in (
        "grain=kernel:Linux",
        "grain=kernel:*",
        "grain=" + ":".join("a" * 100),
        slow,
        "tgt=G@kernel:Linux%20or%20" * 20 + "x&tgt_type=compound",
        "tgt=I@a:b&tgt_type=compound",
        "tgt=a:b&tgt_type=pillar",
    ):
        answer = ask(f"/minions?{query}", "low")
        assert (200, 0) == (answer.status, answer.value()["total"]), query
    assert time.monotonic() - began < 60
    shown = ask("/minions?fields=grains.kernel&id=minion-1", "low").value()["minions"]
    assert [{}] == [minion["grains"] for minion in shown]
    everybody = ask("/minions?sort=os", "low").value()["minions"]
    assert {None} == {minion["os"] for minion in everybody}


def test_globs_that_take_long(ask: Callable[..., Answer]) -> None:
    """Patterns that would have an engine look back again and again do not."""
    began = time.monotonic()
    for pattern in ("*a" * 120, "*%3F" * 60, "*[a-z]" * 40 + "x"):
        assert [] == ask(f"/minions?id={pattern}").value()["minions"]
        assert [] == ask(f"/keys?id={pattern}", "wheels").value()["keys"]
        assert {} == ask(f"/functions?client=wheel&fun={pattern}").value()["functions"]
    assert time.monotonic() - began < 60


def test_keys_that_were_never_accepted_do_not_leave(
    ask: Callable[..., Answer],
    api: ApiServer,
    tokens: dict[str | None, str],
    put: Callable[[str, str], None],
) -> None:
    """Who may not see keys hears nothing of one that comes and goes without being accepted."""
    put("sim-secret", PENDING)
    put("sim-real", ACCEPTED)
    assert 1 == ask("/minions?id=sim-secret").value()["total"]
    assert 0 == ask("/minions?id=sim-secret", "low").value()["total"]
    path = "/v1/minions/events"
    with (
        Stream(api, tokens["low"], path=path) as low,
        Stream(api, tokens[None], path=path) as root,
    ):
        assert "heartbeat" == low.next()["type"]
        assert "heartbeat" == root.next()["type"]
        for minion in ("sim-secret", "sim-real"):
            assert 200 == ask(f"/keys/{minion}", "wheels", "DELETE").status
        assert {"sim-secret", "sim-real"} == set(gone(root, "sim-real"))
        assert ["sim-real"] == gone(low, "sim-real")


def gone(stream: Stream, last: str) -> list[str]:
    """Return who is told to be gone, until *last* is."""
    found: list[str] = []
    while last not in found:
        record = stream.next()
        if record["type"] == "gone":
            found.append(record["minion"])
    return found
