"""rest_cherrypy, rest_asgi, and Salt's own rest_cherrypy, side by side."""

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import unquote

import pytest

from saltapi.check.against.compare import HERE, expected_differences, unexpected
from saltapi.check.against.request import FORM, JSON, YAML, Request
from saltapi.check.against.sides import TRIES, exchange_all
from saltapi.demo import PrivateMaster
from tests.apis import OURS, SALTS, ApiServer
from tests.conftest import MINION_OPTIONS, OPTIONS, USERS
from tests.differential.corpus import corpus
from tests.differential.documented import documented_ids
from tests.differential.salt_api import Side, command
from tests.waiting import scaled
from tests.wire import Answer, encode_request

SECTION = "rest_cherrypy"
OUR_MODULES = ["rest_cherrypy", "rest_asgi"]
EXPECTED_ASGI = HERE / "expected_asgi.yaml"
EXPECTED = {"rest_cherrypy": HERE / "expected.yaml", "rest_asgi": EXPECTED_ASGI}
SECONDS = 60.0
pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


class Run:
    """The corpus, sent to Salt's server and to both of ours."""

    def __init__(self, sides: list[Side]) -> None:
        self.sides = sides
        self.requests: list[Request] = corpus()
        self.salts, *answers = exchange_all(sides, self.requests)
        self.ours = dict(zip(OUR_MODULES, answers, strict=True))
        self.expected = {
            "rest_cherrypy": expected_differences(),
            "rest_asgi": [*expected_differences(EXPECTED_ASGI), *expected_differences()],
        }

    def ask_again(self) -> None:
        """Ask everybody again, alone, about what differs: minions may have been late."""
        answers = (self.salts, *self.ours.values())
        for _ in range(TRIES):
            problems = [self.problems(module) for module in OUR_MODULES]
            for request in self.requests:
                if any(found[request.name] for found in problems):
                    for side, found in zip(self.sides, answers, strict=True):
                        found[request.name] = side.answer(request)

    def problems(self, module: str) -> dict[str, list[str]]:
        """Return what is wrong with the answers of one of our modules, by request."""
        ours: dict[str, Answer] = self.ours[module]
        return {
            request.name: unexpected(
                request, self.salts[request.name], ours[request.name], self.expected[module]
            )
            for request in self.requests
        }


@pytest.fixture(scope="module")
def sides() -> Iterator[list[Side]]:
    """
    Salt's server and both of ours on the same master, with the same options.

    The master is one for this module: what the corpus leaves in the job cache makes searches in
    it fail (Salt's `jobs.list_jobs` does not know jobs of several functions).
    """
    with ExitStack() as stack:
        master = stack.enter_context(
            PrivateMaster(users=USERS, options=OPTIONS, minion_options=MINION_OPTIONS)
        )
        master.wait_ready(timeout=scaled(SECONDS))
        salts, ours, asgi = (
            stack.enter_context(ApiServer(master, program, module=module))
            for program, module in ((SALTS, SECTION), (OURS, SECTION), (OURS, "rest_asgi"))
        )
        chunk = {"client": "local", "tgt": "*", "fun": "test.fib", "arg": [3], "full_return": True}
        jid = command(ours, ours.login(), **chunk)["minion-1"]["jid"]
        yield [Side("salt", salts, jid), Side("ours", ours, jid), Side("asgi", asgi, jid)]


@pytest.fixture(scope="module")
def run(sides: list[Side]) -> Run:
    """All answers."""
    found = Run(sides)
    found.ask_again()
    return found


@pytest.mark.parametrize("module", OUR_MODULES)
def test_every_difference_is_meant(run: Run, module: str) -> None:
    """Where we answer otherwise than Salt, `docs/compatibility.md` says why."""
    lines = [
        f"{name}\n    " + "\n    ".join(problems)
        for name, problems in run.problems(module).items()
        if problems
    ]
    assert not lines, f"{len(lines)} of {len(run.requests)} requests:\n" + "\n".join(lines)


@pytest.mark.parametrize(("module", "path"), EXPECTED.items())
def test_every_expected_difference_is_used(run: Run, module: str, path: Path) -> None:
    """No expected difference is left over from one that is gone."""
    run.problems(module)
    own = run.expected[module][: len(expected_differences(path))]
    assert [] == [(entry.id, entry.request.pattern) for entry in own if not entry.used]


@pytest.mark.parametrize(("module", "path"), EXPECTED.items())
def test_every_expected_difference_is_documented(module: str, path: Path) -> None:
    """Every difference that the suite lets pass has its line in `docs/compatibility.md`."""
    assert set() == {entry.id for entry in expected_differences(path)} - documented_ids(module)


def test_job_lists(sides: list[Side]) -> None:
    """The same job looks the same in both lists of jobs."""
    listed = [
        side.server.send("GET", "/jobs", headers={"X-Auth-Token": side.values["TOKEN"]}).value()
        for side in sides
    ]
    theirs, *mine = (found["return"][0][sides[0].values["JID"]] for found in listed)
    assert "test.fib" == theirs["Function"]
    assert [theirs] * len(mine) == mine


class Stream:
    """The stream of events of one side."""

    def __init__(self, side: Side) -> None:
        self._connection = socket.create_connection(("127.0.0.1", side.server.port), SECONDS)
        headers = [("Host", "x"), ("X-Auth-Token", side.values["TOKEN"])]
        self._connection.sendall(encode_request("GET", "/events", headers, None))
        self._response = http.client.HTTPResponse(self._connection)
        self._response.begin()
        assert b"retry: 400\n" == self._response.readline()

    def next(self, tag: str) -> str:
        """Return the bytes of the next event with *tag*."""
        while True:
            lines = [self._response.readline().decode()]
            while lines[-1] != "\n":
                assert lines[-1], "the stream has ended"
                lines.append(self._response.readline().decode())
            if f"tag: {tag}\n" in lines:
                return "".join(lines)

    def close(self) -> None:
        """Leave."""
        self._response.close()
        self._connection.close()


HOOKS = {
    "form": (FORM, b"foo=Foo%21&bar=a&bar=b&empty="),
    "json": (JSON, '{"a": [1, null, "ü"]}'.encode()),
    "yaml": (YAML, b"a: {b: [1, yes]}\n"),
    "text": ("text/plain", b"just text"),
    "list": (JSON, b"[1, 2]"),
    "empty": (JSON, b""),
}


@pytest.mark.parametrize("name", HOOKS)
@pytest.mark.parametrize("path", ["", "/", "/a/b/", "/%C3%BC?x=y"])
def test_events_of_hooks(sides: list[Side], name: str, path: str) -> None:
    """All modules fire the same event for the same hook, and show an event in the same bytes."""
    media_type, body = HOOKS[name]
    tag = "/".join(["salt/netapi/hook", *filter(None, unquote(path.partition("?")[0]).split("/"))])
    events = []
    streams = [Stream(side) for side in sides]
    for side in sides:
        headers = {
            "X-Auth-Token": side.values["TOKEN"],
            "Content-Type": media_type,
            "Host": "master.example",
            "X-My-Secret-Key": "F0fAgoQjIT@W",
        }
        answer = side.server.send("POST", f"/hook{path}", headers=headers, body=body)
        assert {"success": True} == answer.value()
        theirs, *mine = (stream.next(tag) for stream in streams)
        assert [theirs] * len(mine) == mine
        events.append(json.loads(theirs.partition("data: ")[2]))
    for stream in streams:
        stream.close()
    for event in events:
        assert event["data"].pop("_stamp")
    assert events[0]["data"]["headers"].pop("X-Auth-Token")  # ours keeps it to itself
    assert [events[0]] * (len(events) - 1) == events[1:]
