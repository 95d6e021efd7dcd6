"""The fleet, at a real master with real and simulated minions."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer
from tests.netapi.rest_asgi.test_events import Stream
from tests.swarm import Swarm
from tests.waiting import eventually
from tests.wire import Answer

BOTH = ["minion-1", "minion-2"]


@pytest.fixture(scope="module")
def api(master: PrivateMaster) -> Iterator[ApiServer]:
    with ApiServer(master, OURS, {"workers": 2}, module="rest_asgi") as server:
        yield server


@pytest.fixture(scope="module")
def tokens(api: ApiServer) -> dict[str | None, str]:
    """Sessions of somebody who may do everything, and of others."""
    names = (None, "low", "scoped", "runners", "wheels", "pillars")
    return {name: api.login(name) for name in names}


@pytest.fixture(scope="module")
def ask(api: ApiServer, tokens: dict[str | None, str]) -> Callable[..., Answer]:
    def send(path: str, user: str | None = None, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return api.send(
            "GET", f"/v1/minions{path}", headers={"X-Auth-Token": tokens[user], **named}
        )

    return send


def ids(answer: Answer) -> list[str]:
    assert 200 == answer.status, answer
    return [minion["id"] for minion in answer.value()["minions"]]


def code(answer: Answer) -> tuple[int, str]:
    return answer.status, json.loads(answer.body)["code"]


def run(api: ApiServer, token: str, fun: str, tgt: str = "minion-1", **more: Any) -> str:
    """Run a function to its end; return the jid."""
    answer = api.send(
        "POST",
        "/v1/run",
        headers={"X-Auth-Token": token},
        json_body={"tgt": tgt, "fun": fun, **more},
    )
    assert 200 == answer.status, answer
    jid = answer.value()["results"][0]["jid"]
    assert isinstance(jid, str)
    return jid


def test_list(ask: Callable[..., Answer]) -> None:
    """Both minions are there, with what the master has cached of them."""
    found = {minion["id"]: minion for minion in ask("?id=minion-*").value()["minions"]}
    assert BOTH == list(found)
    for minion in found.values():
        assert "accepted" == minion["key"]
        assert minion["connected"] is True
        assert minion["os"]
        assert minion["salt_version"].startswith("300")
        assert minion["last_seen"].endswith("Z")


def test_pages(ask: Callable[..., Answer]) -> None:
    """Pages have every minion once, in both directions."""
    for sort in ("id", "-id", "os", "-last_seen", "connected", "-highstate", "key", "salt_version"):
        first = ask(f"?id=minion-*&limit=1&sort={sort}").value()
        second = ask(f"?id=minion-*&limit=1&sort={sort}&cursor={first['cursor']}").value()
        got = [minion["id"] for page in (first, second) for minion in page["minions"]]
        assert BOTH == sorted(got), sort
        assert (2, 2, None) == (first["total"], second["total"], second["cursor"])
    assert ["minion-2", "minion-1"] == ids(ask("?id=minion-*&sort=-id"))
    other = ask(f"?sort=os&cursor={ask('?limit=1').value()['cursor']}")
    assert (400, "invalid_field") == code(other)


def test_filters(ask: Callable[..., Answer]) -> None:
    """Filters are those of targets, and of what is known."""
    system = ask("/minion-1").value()["grains"]["os"]
    assert BOTH == ids(ask(f"?grain=os:{system}&id=minion-*"))
    assert BOTH == ids(ask(f"?grain=os:{system[:2]}*&grain=kernel:Linux&id=minion-*"))
    assert [] == ids(ask("?grain=os:Nothing"))
    assert ["minion-1"] == ids(ask("?tgt=minion-1"))
    assert ["minion-1"] == ids(ask("?tgt=L@minion-1,x%20and%20G@kernel:Linux&tgt_type=compound"))
    assert ["minion-1"] == ids(ask("?tgt=first&tgt_type=nodegroup"))
    assert (400, "invalid_chunk") == code(ask("?tgt=x&tgt_type=none"))
    assert (400, "invalid_chunk") == code(ask("?tgt=none&tgt_type=nodegroup"))
    assert [] == ids(ask("?key=rejected&id=minion-*"))
    assert BOTH == ids(ask("?connected=true&id=minion-*"))


def test_fields(ask: Callable[..., Answer]) -> None:
    """Grains come by their paths, also from within others."""
    (minion,) = ask("?id=minion-1&fields=key,grains.kernel,grains.saltversioninfo:0").value()[
        "minions"
    ]
    assert {"kernel", "saltversioninfo:0"} == minion["grains"].keys()
    assert minion["grains"]["saltversioninfo:0"] in (3007, 3008)
    (minion,) = ask("?id=minion-1&fields=grains.kernel").value()["minions"]
    assert {"id": "minion-1", "grains": {"kernel": "Linux"}} == minion
    assert {"id", "os"} == ask("?id=minion-1&fields=os").value()["minions"][0].keys()
    assert (400, "invalid_field") == code(ask("?fields=pillar"))


def test_not_modified(ask: Callable[..., Answer]) -> None:
    """A list that has not changed is not sent again."""
    etag = ask("?id=minion-1").header("ETag") or ""
    assert 304 == ask("?id=minion-1", If_None_Match=etag).status


def test_not_modified_in_any_worker(
    api: ApiServer, tokens: dict[str | None, str], ask: Callable[..., Answer]
) -> None:
    """A minion with its jobs is the same in every worker, whoever of them has run these."""
    for _ in range(3):
        run(api, str(tokens[None]), "test.ping")

    def is_current() -> bool:
        etag = ask("/minion-1").header("ETag") or ""
        return {304} == {ask("/minion-1", If_None_Match=etag).status for _ in range(6)}

    eventually(is_current)


def test_who_sees_what(ask: Callable[..., Answer]) -> None:
    """A user sees minions that the user may run something on, and grains where that is allowed."""
    low = ask("?id=minion-*", "low").value()["minions"]
    assert BOTH == [minion["id"] for minion in low]
    assert {None} == {minion["os"] for minion in low}
    assert ["minion-1"] == ids(ask("?id=minion-*", "scoped"))
    assert 1 == ask("?id=minion-*", "scoped").value()["total"]
    assert [] == ids(ask("?id=minion-*", "runners"))
    assert (404, "not_found") == code(ask("/minion-2", "scoped"))
    assert (404, "not_found") == code(ask("/nobody"))
    one = ask("/minion-1", "low").value()
    assert (None, None) == (one["grains"], one["pillar"])
    assert [] == ids(ask("?grain=kernel:Linux", "low"))
    assert [] == ids(ask("?tgt=kernel:Linux&tgt_type=grain", "low"))


@pytest.fixture
def secret(
    api: ApiServer, master: PrivateMaster, tokens: dict[str | None, str]
) -> Iterator[dict[str, str]]:
    """A pillar that both minions have, and that the master has cached."""
    secret, folder = {"secret": "x1"}, master.directory / "pillar"
    folder.mkdir(exist_ok=True)
    top, sls = folder / "top.sls", folder / "secret.sls"
    top.write_text("base: {'minion-*': [secret]}")
    sls.write_text(json.dumps(secret))
    run(api, str(tokens[None]), "pillar.items", "minion-*")
    yield secret
    top.unlink()
    sls.unlink()
    run(api, str(tokens[None]), "pillar.items", "minion-*")


def test_pillar(ask: Callable[..., Answer], secret: dict[str, str]) -> None:
    """The pillar of a minion is for those alone who may run `pillar.items` on it."""
    assert secret == ask("/minion-1").value()["pillar"]
    one = ask("/minion-1", "pillars").value()
    assert (secret, None) == (one["pillar"], one["grains"])
    assert 404 == ask("/minion-2", "pillars").status
    for user in ("low", "scoped"):
        assert ask("/minion-1", user).value()["pillar"] is None
        assert secret["secret"].encode() not in ask("/minion-1", user).body
    assert [] == ids(ask("?tgt=secret:x1&tgt_type=pillar", "low"))


def test_last_job(
    api: ApiServer, tokens: dict[str | None, str], ask: Callable[..., Answer]
) -> None:
    """The last job of a minion is shown to who may see it."""
    jid = run(api, str(tokens[None]), "test.arg", arg=[1])
    found = ask("/minion-1").value()
    expected = {"jid": jid, "fun": "test.arg", "failed": False}
    assert expected.items() <= found["last_job"].items()
    assert "return" == found["last_seen_by"]
    assert jid == found["jobs"][0]["jid"]
    assert ask("/minion-1", "low").value()["last_job"] is None
    assert jid == ask("/minion-1", "scoped").value()["last_job"]["jid"]


def test_last_highstate(
    api: ApiServer, tokens: dict[str | None, str], ask: Callable[..., Answer]
) -> None:
    """A highstate that fails is one, with its counts."""
    jid = run(api, str(tokens[None]), "state.highstate")
    found = ask("?highstate=failed").value()["minions"]
    assert ["minion-1"] == [minion["id"] for minion in found]
    assert (jid, "failed", False) == tuple(
        found[0]["last_highstate"][key] for key in ("jid", "result", "test")
    )
    assert "minion-1" not in ids(ask("?highstate=never"))


def test_counts(ask: Callable[..., Answer]) -> None:
    """How many there are of each kind is counted in all that the filters let through."""
    page = ask("?counts=true&limit=1").value()
    assert 1 == len(page["minions"])
    assert {"key", "connected", "highstate"} == set(page["counts"])
    for found in page["counts"].values():
        assert page["total"] == sum(found.values())
    assert page["total"] == ask("?key=accepted&counts=true").value()["total"]
    alone = ask("?id=minion-1&counts=true").value()["counts"]
    assert [{"accepted": 1}, {"true": 1}] == [alone["key"], alone["connected"]]
    assert "counts" not in ask("").value()
    assert 0 == ask("?id=nobody&counts=true").value()["total"]


def test_key_states(master: PrivateMaster, ask: Callable[..., Answer], swarm: Swarm) -> None:
    """Who has a key that is not accepted is listed for who may see keys, and for nobody else."""
    pending = master.directory / "master" / "pki" / "minions_pre" / "sim-pending"
    pending.parent.mkdir(exist_ok=True)
    pending.write_text("x")
    try:
        (minion,) = ask("?key=pending").value()["minions"]
        assert ("sim-pending", "pending") == (minion["id"], minion["key"])
        assert "sim-pending" not in ids(ask("?id=sim-*", "low"))
        assert len(swarm.ids) == ask("?id=sim-*", "low").value()["total"]
    finally:
        pending.unlink()


def test_connected(
    api: ApiServer, tokens: dict[str | None, str], ask: Callable[..., Answer], swarm: Swarm
) -> None:
    """Minions that share one address are told apart by what they say and do not say."""
    soon = {"timeout": 1, "gather_job_timeout": 1}
    run(api, str(tokens[None]), "test.ping", "sim-[12]")
    run(api, str(tokens[None]), "sim.never", "sim-3", **soon)
    assert swarm.ids
    assert {"sim-1", "sim-2"} <= set(ids(ask("?id=sim-*&connected=true")))
    assert "connected" in ask("/sim-3").value()


def test_events(api: ApiServer, tokens: dict[str | None, str]) -> None:
    """Changes come as they happen, and what was missed comes first."""
    token, path = str(tokens[None]), "/v1/minions/events"
    with Stream(api, token, path=path) as stream:
        start = stream.next()
        assert "heartbeat" == start["type"]
        jid = run(api, token, "test.ping")
        told = job_of(stream, "minion-1", jid)
        assert "return" == told["last_seen_by"]
    with Stream(api, token, path=path, Last_Event_ID=start["id"]) as stream:
        job_of(stream, "minion-1", jid)
    with Stream(api, token, path=path, Last_Event_ID="none") as stream:
        assert "gap" == stream.next()["type"]
    with Stream(api, str(tokens["low"]), path=path, Last_Event_ID=start["id"]) as stream:
        records = [stream.next()]
        while records[-1]["type"] != "heartbeat":
            records.append(stream.next())
        shown = [record["minion"] for record in records if record["type"] == "minion"]
        assert "minion-1" in [minion["id"] for minion in shown]
        assert {None} == {minion["os"] for minion in shown}


def job_of(stream: Stream, minion: str, jid: str) -> Any:
    """Read until *minion* has returned the job; return how it is then."""
    while True:
        record = stream.next()
        found = record.get("minion")
        if found is not None and (found["id"], (found["last_job"] or {}).get("jid")) == (
            minion,
            jid,
        ):
            return found
