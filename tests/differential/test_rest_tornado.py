"""rest_tornado and Salt's own module of this name, side by side."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import yaml

from saltapi.demo import PrivateMaster
from tests.apis import OURS, SALTS, ApiServer
from tests.conftest import MINION_OPTIONS, OPTIONS, USERS
from tests.differential import corpus as requests
from tests.differential.compare import (
    HERE,
    body_of,
    documented_ids,
    expected_differences,
    unexpected,
)
from tests.differential.corpus import COOKIE, JSON, PING, TOKEN, YAML, Request
from tests.differential.salt_api import TRIES, Side, command, exchange_all
from tests.waiting import scaled
from tests.wire import Answer, exchange

SECTION = "rest_tornado"
EXPECTED = HERE / "expected_tornado.yaml"
READY_SECONDS = 60.0
ANSWER_SECONDS = {"salt": 15.0, "ours": 60.0}
"""Salt's module does not answer some requests at all; those are an empty answer."""

CHUNKS = [
    *("ping", "one", "list", "list-text", "pcre", "grain", "compound", "nodegroup", "no-nodegroup"),
    *("no-match", "expr-form", "args", "arg-scalar", "arg-kwarg", "kwarg", "bad-args", "raises"),
    *("unknown-fun", "unicode", "html", "false", "none", "big-number", "metadata", "extra-key"),
    *(
        "async",
        "async-none",
        "runner",
        "runner-keys",
        "runner-text",
        "runner-full",
        "runner-raises",
    ),
    *("runner-bad-args", "runner-lookup", "runner-job", "runner-async", "batch", "subset", "wheel"),
    *("no-client", "bad-client", "no-fun", "no-tgt", "runner-no-fun"),
]
LOW_CHUNKS = ["ping", "args", "async", "runner", "runner-async"]
ENCODINGS = ["form", "form-0.8.4", "form-arg", "form-one-arg", "form-plus", "form-unicode"]
BODIES = [
    *("text", "text-charset", "json-charset", "json-case", "yaml", "yaml-dict", "yaml-json"),
    *("unlabelled", "xml", "two", "empty-list", "second-wrong", "token-in-chunk"),
    "duplicate-keys",
]
LOGINS = ["form", "json", "list", "yaml", "text", "low", "wrong", "no-password", "no-eauth"]
METHODS = ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"]
URLS = ["/", "/login", "/minions", "/minions/minion-1", "/jobs", "/jobs/%JID%", "/run", "/events"]

SOMETIMES = {"media-types-in-any-case"}
"""Differences that depend on the line of Salt."""

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


class TornadoSide(Side):
    """One of the two servers; Salt's has no `/token`."""

    def __init__(self, name: str, server: ApiServer, jid: str) -> None:
        self.name = name
        self.server = server
        master = server.master
        self.values = {
            "SIDE": name,
            "JID": jid,
            "USER": master.username,
            "PASSWORD": master.password,
            "LOW_PASSWORD": master.credentials("low")["password"],
            "SCOPED_PASSWORD": master.credentials("scoped")["password"],
            "TOKEN": server.login(),
            "LOW_TOKEN": server.login("low"),
        }

    def answer(self, request: Request) -> Answer:
        """Same as `Side.answer`, but silence is noticed sooner."""
        try:
            data = self._bytes(request, self.values)
            return exchange(self.server.port, data, timeout=ANSWER_SECONDS[self.name])
        except Exception as error:  # noqa: BLE001 - whatever it was is the difference to report
            return Answer(0, (), type(error).__name__.encode())


def corpus() -> list[Request]:
    """Return all requests: those of the common corpus that say something about this module."""
    return [*commands(), *urls(), *logins(), *formats(), *hooks()]


def commands() -> Iterator[Request]:
    """Chunks and bodies."""
    for name in CHUNKS:
        yield requests.json_request(f"command {name}", "/", [requests.CHUNKS[name]], TOKEN)
    for name in LOW_CHUNKS:
        low = {"X-Auth-Token": "%LOW_TOKEN%"}
        yield requests.json_request(f"low {name}", "/", [requests.CHUNKS[name]], low)
    for name in ("ping", "async", "no-match"):
        chunk = requests.CHUNKS[name]
        yield requests.json_request(f"run {name} anonymous", "/run", [chunk])
        yield requests.json_request(f"run {name} session", "/run", [chunk], TOKEN)
        own = {**chunk, **requests.CREDENTIALS}
        yield requests.json_request(f"run {name} credentials", "/run", [own])
        yield requests.json_request(f"minions {name}", "/minions", chunk, TOKEN)
    wrong = {**PING, **requests.CREDENTIALS, "password": "wrong"}
    yield requests.json_request("run wrong password", "/run", [wrong, PING])
    yield requests.json_request("minions", "/minions", [{"tgt": "*", "fun": "test.ping"}], COOKIE)
    for name in ENCODINGS:
        headers = {**TOKEN, "Content-Type": requests.FORM}
        text = requests.FORM_BODIES[name].replace("%%", "%")
        yield requests.request(f"body {name}", "POST", "/", headers, text)
    for name in BODIES:
        media_type, text = requests.OTHER_BODIES[name]
        headers_or_none = {**TOKEN, "Content-Type": media_type}
        yield requests.request(f"body {name}", "POST", "/", headers_or_none, text)
    for name, body in {"none": None, "scalar": "1", "broken": "{", "no chunk": '["x"]'}.items():
        headers = {**TOKEN, "Content-Type": JSON}
        yield requests.request(f"body {name}", "POST", "/", headers, body)


def urls() -> Iterator[Request]:
    """URLs with every method, with and without a session."""
    for path in [*URLS, "/hook", "/nope", "/minions/", "/minions/nobody", "/login/", "/index"]:
        for method in METHODS:
            # Job cache and events are looked at when no command changes them any more.
            order = 1 if path.startswith("/jobs") else 0
            yield requests.request(f"anonymous {method} {path}", method, path, order=order)
            yield requests.request(f"token {method} {path}", method, path, TOKEN, order=order)
    for path in ("/jobs/20001122334455667788", "/minions?mid=minion-1", "/events?foo=bar"):
        yield requests.request(f"token GET {path}", "GET", path, TOKEN, order=1)
    for token in ("", "0" * 64, "../../../../etc/passwd"):
        headers = {"X-Auth-Token": token}
        name = f"wrong token {token[:6]!r}"
        yield requests.request(f"{name} GET", "GET", "/minions", headers)
        yield requests.json_request(f"{name} POST", "/", [PING], headers)
        yield requests.json_request(f"{name} in chunk", "/run", [{**PING, "token": token}])
    for path in ("/logout", "/token", "/keys", "/stats"):
        yield requests.request(f"anonymous GET {path}", "GET", path)
    preflight = {"Origin": "http://other.example", "Access-Control-Request-Headers": "x, y"}
    for path in ("/", "/run", "/hook"):
        yield requests.request(f"preflight {path}", "OPTIONS", path, preflight)


def logins() -> Iterator[Request]:
    """Ways to send credentials."""
    for name in LOGINS:
        media_type, body = requests.LOGINS[name]
        yield requests.request(
            f"login {name}", "POST", "/login", {"Content-Type": media_type}, body
        )
    yield requests.request("login none", "POST", "/login", {"Content-Type": JSON})
    headers = {"Accept": YAML, "Content-Type": JSON}
    yield requests.request(
        "login yaml answer", "POST", "/login", headers, requests.LOGINS["json"][1]
    )


def formats() -> Iterator[Request]:
    """Every Accept."""
    for accept in requests.ACCEPTS:
        header = {"Accept": accept}
        yield requests.request(f"accept {accept} welcome", "GET", "/", header)
        yield requests.request(f"accept {accept} login", "GET", "/login", header)
        yield requests.json_request(f"accept {accept} command", "/", [PING], {**TOKEN, **header})


def hooks() -> Iterator[Request]:
    """Hooks, by form."""
    for path in ("/hook", "/hook/", "/hook/a/b/?q=1"):
        headers = {**TOKEN, "Content-Type": requests.FORM}
        yield requests.request(f"hook {path}", "POST", path, headers, "foo=Foo&bar=Bar!")


class Run:
    """The corpus, sent to both sides."""

    def __init__(self, sides: list[Side]) -> None:
        self.requests = corpus()
        self.expected = expected_differences(EXPECTED)
        self.salts: dict[str, Answer]
        self.ours: dict[str, Answer]
        self.salts, self.ours = exchange_all(sides, self.requests)
        self.problems = self._all_problems()
        self._ask_again(sides[0])

    def _ask_again(self, salt: Side) -> None:
        """Ask Salt's side again, alone, about what differs: it leaves minions out."""
        for _ in range(TRIES):
            for one in self.requests:
                if self.problems[one.name]:
                    self.salts[one.name] = salt.answer(one)
            self.problems = self._all_problems()

    def _all_problems(self) -> dict[str, list[str]]:
        return {
            one.name: self._problems(one, self.salts[one.name], self.ours[one.name])
            for one in self.requests
        }

    def _problems(self, request: Request, salts: Answer, ours: Answer) -> list[str]:
        found = unexpected(request, salts, ours, self.expected)
        found = [line for line in found if not line.startswith("the YAML is not")]
        if lost_returns(body_of(salts), body_of(ours)):
            found = [line for line in found if not line.startswith("body: ")]
        if ours.body and ours.media_type == YAML:
            written = yaml.safe_dump(ours.value(), default_flow_style=None, allow_unicode=True)
            if written.encode() != ours.body:
                found.append(f"the YAML is not as Salt writes it: {ours.body[:200]!r}")
        return found


def lost_returns(salts: Any, ours: Any) -> bool:
    """Tell whether Salt's answer is ours without some minions (`lost-returns`)."""
    lists: list[Any] = [
        body.get("return") if isinstance(body, dict) else None for body in (salts, ours)
    ]
    if not all(isinstance(results, list) for results in lists) or len(lists[0]) != len(lists[1]):
        return False
    return all(
        theirs == mine
        or (isinstance(theirs, dict) and isinstance(mine, dict) and theirs.items() <= mine.items())
        for theirs, mine in zip(*lists, strict=True)
    )


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """All answers, of both modules on a master of their own, with the same options."""
    with ExitStack() as stack:
        master = stack.enter_context(
            PrivateMaster(users=USERS, options=OPTIONS, minion_options=MINION_OPTIONS)
        )
        master.wait_ready(timeout=scaled(READY_SECONDS))
        section = {"address": "127.0.0.1", "websockets": True}
        salts, ours = (
            stack.enter_context(ApiServer(master, program, section, module=SECTION))
            for program in (SALTS, OURS)
        )
        chunk = {"client": "local", "tgt": "*", "fun": "test.fib", "arg": [3], "full_return": True}
        jid = command(ours, ours.login(), **chunk)["minion-1"]["jid"]
        yield Run([TornadoSide("salt", salts, jid), TornadoSide("ours", ours, jid)])


def test_names_are_unique() -> None:
    """No request hides another one."""
    names = [request.name for request in corpus()]
    assert sorted(set(names)) == sorted(names)


def test_every_difference_is_meant(run: Run) -> None:
    """Where we answer otherwise than Salt, `docs/compatibility.md` says why."""
    lines = [
        f"{name}\n    " + "\n    ".join(problems)
        for name, problems in run.problems.items()
        if problems
    ]
    assert not lines, f"{len(lines)} of {len(run.requests)} requests:\n" + "\n".join(lines)


def test_every_expected_difference_is_used(run: Run) -> None:
    """No line of `expected_tornado.yaml` is left over from a difference that is gone."""
    assert set() == {entry.id for entry in run.expected if not entry.used} - SOMETIMES


def test_every_expected_difference_is_documented() -> None:
    """Every difference that the suite lets pass has its line in `docs/compatibility.md`."""
    assert set() == {entry.id for entry in expected_differences(EXPECTED)} - documented_ids(SECTION)
