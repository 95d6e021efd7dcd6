"""Jobs of another master, at a door that has not published them."""

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from saltapi.bridge.salt_line import SALT_LINE
from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer
from tests.conftest import MINION_OPTIONS, PATIENT, READY_SECONDS
from tests.nats_servers import NatsServers
from tests.netapi.rest_asgi.test_events import Stream, run
from tests.waiting import eventually, scaled
from tests.wire import Answer

DRIVER = "eauth_tokens.cache_driver" if SALT_LINE >= 3008 else "eauth_tokens"
USERS: dict[str, dict[str, list[Any]]] = {
    "a": {"both": ["test.*"], "only_a": ["test.*", {"@runner": ["jobs.*"]}], "only_b": []},
    "b": {"both": ["test.*"], "only_a": [], "only_b": ["test.*", {"@runner": ["jobs.*"]}]},
}
"""What users may do at each of the masters; those who may run `jobs.*` see all jobs."""
TIMES = {"start", "end", "duration_seconds", "request_id"}

pytestmark = [pytest.mark.long, pytest.mark.timeout(240)]


class Doors(NamedTuple):
    """The door of each master."""

    home: ApiServer
    """That of `a`, where the jobs are."""
    other: ApiServer


@pytest.fixture(scope="module")
def doors(nats_servers: NatsServers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    """Two masters with a minion each, whose doors share a store, a secret and sessions."""
    directory = tmp_path_factory.mktemp("doors")
    (directory / "secret").write_text("5ec7e7" * 8)
    store = {"url": nats_servers.url, "bucket": "others", "max_bytes": 2**25}
    options = {
        **PATIENT,
        "saltapi_store": {**store, "secret_file": str(directory / "secret")},
        DRIVER: "saltapi_nats",
    }
    with ExitStack() as stack:
        found = []
        for name in "ab":
            master = stack.enter_context(
                PrivateMaster(
                    minions=[f"minion-of-{name}"],
                    users=USERS[name],
                    options={**options, "id": name},
                    minion_options=MINION_OPTIONS,
                )
            )
            master.wait_ready(timeout=scaled(READY_SECONDS))
            own = {"store_directory": str(directory / name)}
            found.append(
                stack.enter_context(
                    ApiServer(master, OURS, {"workers": 2}, module="rest_asgi", options=own)
                )
            )
        yield Doors(*found)


def ask(door: ApiServer, token: str, path: str, method: str = "GET", **more: Any) -> Answer:
    """Send a request with a token."""
    headers = {"X-Auth-Token": token, **more.pop("headers", {})}
    return door.send(method, path, headers=headers, **more)


def start(door: ApiServer, token: str, fun: str = "test.ping", *args: Any) -> str:
    """Start a job at *door*, and return its id."""
    chunk = {"client": "local_async", "tgt": "*", "fun": fun, "arg": list(args)}
    answer = ask(door, token, "/v1/run", "POST", json_body=chunk)
    jid = answer.value()["results"][0]["jid"]
    assert isinstance(jid, str), answer
    return jid


def ended(door: ApiServer, token: str, jid: str, query: str = "") -> Answer:
    """Return the document of a job that has ended."""
    answer = ask(door, token, f"/v1/jobs/{jid}?wait=30{query}")
    assert 200 == answer.status, answer
    return answer


def document(answer: Answer) -> tuple[int, Any]:
    """Return status and body, without the times, of which each process has its own."""
    found = json.loads(answer.body) if answer.body else None
    if isinstance(found, dict):
        found = {k: v for k, v in found.items() if k not in TIMES}
        for returned in found.get("returns", {}).values():
            if isinstance(returned, dict):
                returned.pop("arrived", None)
    return answer.status, found


def code(answer: Answer) -> tuple[int, str]:
    """Return the status and the code of an error."""
    return answer.status, json.loads(answer.body)["code"]


def header(answer: Answer, name: str) -> str:
    """Return the value of a header."""
    return next(value for key, value in answer.headers if key.lower() == name.lower())


def test_document(doors: Doors) -> None:
    """A job of another master is shown as at its own door, with all parameters and its ETag."""
    token = doors.home.login()
    jid = start(doors.home, token, "test.arg", "x")
    there = ended(doors.other, token, jid)
    assert ["minion-of-a"] == list(there.value()["returns"])
    for query in ("", "?returns=false", "?fields=state,fun", "?minion=none*", "?fold=true"):
        here = ask(doors.home, token, f"/v1/jobs/{jid}{query}")
        found = ask(doors.other, token, f"/v1/jobs/{jid}{query}")
        assert document(here) == document(found)
    seen = {"If-None-Match": header(there, "ETag")}
    again = ask(doors.other, token, f"/v1/jobs/{jid}?wait=30", headers=seen)
    assert (304, b"") == (again.status, again.body)
    yaml = ask(doors.other, token, f"/v1/jobs/{jid}", headers={"Accept": "application/x-yaml"})
    assert "application/x-yaml" == header(yaml, "Content-Type")
    assert 400 == ask(doors.other, token, f"/v1/jobs/{jid}?fields=nothing").status
    classic = ask(doors.other, token, f"/jobs/{jid}").value()
    assert ask(doors.home, token, f"/jobs/{jid}").value() == classic
    assert "minion-of-a" in classic["return"][0]
    assert 404 == ask(doors.other, token, "/v1/jobs/20200101000000000000").status


def test_large(doors: Doors) -> None:
    """A return of more than a message holds comes whole."""
    token = doors.home.login()
    jid = start(doors.home, token, "test.arg", "x" * 700_000)
    here = ended(doors.home, token, jid)
    there = ended(doors.other, token, jid)
    assert len(there.body) > 700_000
    assert document(here) == document(there)


def test_stream(doors: Doors) -> None:
    """The records of a job come from its master, and go on from an id of either door."""
    token = doors.home.login()
    jid = start(doors.home, token, "test.sleep", 2)
    path = f"/v1/jobs/{jid}/events"
    with Stream(doors.other, token, path=path) as stream:
        first, *_, last = records = list(iter_records(stream))
    assert ("job", "summary") == (first["type"], last["type"])
    assert ["minion-of-a"] == [r["minion"] for r in records if r["type"] == "return"]
    with Stream(doors.home, token, path=path) as stream:
        again = [(record["type"], record["id"]) for record in iter_records(stream)]
    assert [(record["type"], record["id"]) for record in records] == again
    assert 204 == ask(doors.other, token, f"{path}?after={last['id']}").status


def iter_records(stream: Stream) -> Iterator[dict[str, Any]]:
    """Yield records until the end."""
    while line := stream.response.readline():
        yield json.loads(line)


def test_end(doors: Doors, tmp_path: Path) -> None:
    """A job is ended by its master, with the rights that the user has there."""
    token = doors.home.login()
    pid = tmp_path / "pid"
    jid = start(doors.home, token, "cmd.run", f"echo $$ > {pid}; exec sleep 600")
    eventually(pid.exists)
    answer = ask(doors.other, token, f"/v1/jobs/{jid}", "DELETE")
    assert (200, {"minion-of-a"}) == (answer.status, set(answer.value()["outcomes"])), answer
    assert answer.value()["outcomes"]["minion-of-a"] in {"terminated", "killed"}
    eventually(lambda: not Path(f"/proc/{pid.read_text().strip()}").exists())


def test_rerun(doors: Doors) -> None:
    """A job runs again at its master, once for a key, with its records as they come."""
    token = doors.home.login()
    jid = start(doors.home, token, "test.arg", "again")
    ended(doors.home, token, jid)
    sent = {"json_body": {}, "headers": {"Idempotency-Key": f"rerun-{jid}"}}
    answers = [
        ask(door, token, f"/v1/jobs/{jid}/rerun", "POST", **sent)
        for door in (doors.other, doors.other, doors.home)
    ]
    assert {200} == {answer.status for answer in answers}, answers
    jids = {header(answer, "X-Salt-Jid") for answer in answers}
    assert 1 == len(jids)
    assert jid not in jids
    result = answers[0].value()["results"][0]
    assert ["minion-of-a"] == list(result["returns"])
    nothing = ask(
        doors.other, token, f"/v1/jobs/{jid}/rerun", "POST", json_body={"minions": "failed"}
    )
    assert 409 == nothing.status


def test_who_may_see_it(doors: Doors) -> None:
    """What a user sees and may do is what the master of the job lets this user, wherever asked."""
    admin = doors.home.login()
    jid = start(doors.home, admin, "test.sleep", 20)
    for name, status in (("both", 404), ("only_a", 200), ("only_b", 404)):
        token = doors.home.login(name)
        for door in doors:
            assert status == ask(door, token, f"/v1/jobs/{jid}").status, (name, door)
            found = ask(door, token, f"/v1/jobs/{jid}/events", headers={"Accept": "text/plain"})
            assert 406 == found.status
    for name, status in (("both", 404), ("only_a", 403)):  # who sees it may not end it
        token = doors.home.login(name)
        for door in doors:
            assert status == ask(door, token, f"/v1/jobs/{jid}", "DELETE").status, (name, door)
    for name in ("both", "only_b"):  # `only_b` may run anything in `jobs.*`, but not there
        token = doors.home.login(name)
        statuses = [ask(door, token, f"/jobs/{jid}").status for door in doors]
        assert statuses[0] == statuses[1] != 200
    ask(doors.other, admin, f"/v1/jobs/{jid}", "DELETE")


def test_own_job(doors: Doors) -> None:
    """Who has started a job sees it from every door."""
    token = doors.other.login("both")
    jid = start(doors.home, token, "test.ping")
    assert {"minion-of-a"} == set(ended(doors.other, token, jid).value()["returns"])


def test_without_a_session(doors: Doors) -> None:
    """Without a session it is 401, and a logout ends what it opened; a stream from there, too."""
    token = doors.home.login()
    jid = start(doors.home, token, "test.sleep", 60)
    path = f"/v1/jobs/{jid}"
    assert 401 == doors.other.send("GET", path).status
    assert 401 == ask(doors.other, "0" * 64, path).status
    with Stream(doors.other, token, path=f"{path}/events") as stream:
        assert 200 == stream.status
        stream.next()
        assert 200 == ask(doors.home, token, "/logout", "POST").status
        eventually(lambda: 401 == ask(doors.other, token, path).status)
    admin = doors.home.login()
    ask(doors.home, admin, path, "DELETE")


def test_token_for_machines(doors: Doors) -> None:
    """A token of one door is good at the other, for jobs of either master, until it is revoked."""
    admin = doors.other.login()
    jid = start(doors.home, admin)
    body = {"name": "ci", "expires_in": 3600}
    made = ask(doors.other, admin, "/v1/tokens", "POST", json_body=body).value()
    token = made["token"]
    for door in doors:
        assert 200 == ask(door, token, f"/v1/jobs/{jid}").status
        own = ended(door, token, start(door, token)).value()
        assert 1 == len(own["returns"])
        listed = ask(door, admin, "/v1/tokens").value()["tokens"]
        assert [made["id"]] == [one["id"] for one in listed]
    assert 200 == ask(doors.home, admin, f"/v1/tokens/{made['id']}", "DELETE").status
    for door in doors:
        assert 401 == ask(door, token, "/v1/whoami").status


def test_client_that_leaves(doors: Doors) -> None:
    """When a client leaves a stream, the other master lets go of it, too."""
    token = doors.home.login()
    jid = start(doors.home, token, "test.sleep", 30)

    def streams() -> float:
        text = ask(doors.home, token, "/metrics").body.decode()
        values = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")
        return float(values["saltapi_http_requests_in_flight"])

    before = streams()
    connection = http.client.HTTPConnection("127.0.0.1", doors.other.port, timeout=scaled(20))
    connection.request("GET", f"/v1/jobs/{jid}/events", headers={"X-Auth-Token": token})
    connection.getresponse().read1(100)
    eventually(lambda: streams() > before)
    connection.close()
    eventually(lambda: streams() <= before)
    ask(doors.home, token, f"/v1/jobs/{jid}", "DELETE")


def test_no_door(doors: Doors) -> None:
    """While no door of the other master answers it is 503 with Retry-After; then it goes on."""
    token = doors.other.login()
    jid = start(doors.home, token)
    ended(doors.other, token, jid)
    doors.home.stop()
    try:
        for method, path in (
            ("GET", f"/v1/jobs/{jid}"),
            ("DELETE", f"/v1/jobs/{jid}"),
            ("GET", f"/v1/jobs/{jid}/events"),
        ):
            answer = ask(doors.other, token, path, method)
            assert (503, "master_unavailable") == code(answer)
            assert int(header(answer, "Retry-After")) > 0
    finally:
        doors.home.__enter__()
    eventually(lambda: 200 == ask(doors.other, token, f"/v1/jobs/{jid}").status)


def test_process_that_dies(doors: Doors) -> None:
    """When the other master's daemon is killed, a stream breaks off: it does not seem to end."""
    token = doors.other.login()
    jid = start(doors.home, token, "test.sleep", 40)
    with Stream(doors.other, token, path=f"/v1/jobs/{jid}/events") as stream:
        stream.next()
        doors.home.program.kill()
        try:
            began = time.monotonic()
            with pytest.raises((http.client.IncompleteRead, ConnectionError)):
                stream.response.read()
            assert time.monotonic() - began < scaled(60)
        finally:
            doors.home.__enter__()
    eventually(lambda: 200 == ask(doors.other, token, f"/v1/jobs/{jid}").status)
    run(doors.home, token, client="local", tgt="*", fun="saltutil.term_job", arg=[jid])
