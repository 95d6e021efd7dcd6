"""rest_tornado and Salt's own module of this name, side by side."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from saltapi.check.against.compare import HERE, expected_differences, problems
from saltapi.check.against.request import (
    ACCEPTS,
    COOKIE,
    FORM,
    JSON,
    TOKEN,
    YAML,
    Request,
    json_request,
    request,
)
from saltapi.check.against.sides import TRIES, exchange_all
from saltapi.demo import PrivateMaster
from tests.apis import OURS, SALTS, ApiServer
from tests.conftest import MINION_OPTIONS, OPTIONS, USERS
from tests.differential import corpus as requests
from tests.differential.corpus import PING
from tests.differential.documented import documented_ids
from tests.differential.salt_api import Side, command
from tests.waiting import scaled
from tests.wire import Answer

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
        super().__init__(name, server, jid, minted="", seconds=scaled(ANSWER_SECONDS[name]))


def corpus() -> list[Request]:
    """Return all requests: those of the common corpus that say something about this module."""
    return [*commands(), *urls(), *logins(), *formats(), *hooks()]


def commands() -> Iterator[Request]:
    """Chunks and bodies."""
    for name in CHUNKS:
        yield json_request(f"command {name}", "/", [requests.CHUNKS[name]], TOKEN)
    for name in LOW_CHUNKS:
        low = {"X-Auth-Token": "%LOW_TOKEN%"}
        yield json_request(f"low {name}", "/", [requests.CHUNKS[name]], low)
    for name in ("ping", "async", "no-match"):
        chunk = requests.CHUNKS[name]
        yield json_request(f"run {name} anonymous", "/run", [chunk])
        yield json_request(f"run {name} session", "/run", [chunk], TOKEN)
        own = {**chunk, **requests.CREDENTIALS}
        yield json_request(f"run {name} credentials", "/run", [own])
        yield json_request(f"minions {name}", "/minions", chunk, TOKEN)
    wrong = {**PING, **requests.CREDENTIALS, "password": "wrong"}
    yield json_request("run wrong password", "/run", [wrong, PING])
    yield json_request("minions", "/minions", [{"tgt": "*", "fun": "test.ping"}], COOKIE)
    for name in ENCODINGS:
        headers = {**TOKEN, "Content-Type": FORM}
        text = requests.FORM_BODIES[name].replace("%%", "%")
        yield request(f"body {name}", "POST", "/", headers, text)
    for name in BODIES:
        media_type, text = requests.OTHER_BODIES[name]
        headers_or_none = {**TOKEN, "Content-Type": media_type}
        yield request(f"body {name}", "POST", "/", headers_or_none, text)
    for name, body in {"none": None, "scalar": "1", "broken": "{", "no chunk": '["x"]'}.items():
        headers = {**TOKEN, "Content-Type": JSON}
        yield request(f"body {name}", "POST", "/", headers, body)


def urls() -> Iterator[Request]:
    """URLs with every method, with and without a session."""
    for path in [*URLS, "/hook", "/nope", "/minions/", "/minions/nobody", "/login/", "/index"]:
        for method in METHODS:
            # Job cache and events are looked at when no command changes them any more.
            order = 1 if path.startswith("/jobs") else 0
            yield request(f"anonymous {method} {path}", method, path, order=order)
            yield request(f"token {method} {path}", method, path, TOKEN, order=order)
    for path in ("/jobs/20001122334455667788", "/minions?mid=minion-1", "/events?foo=bar"):
        yield request(f"token GET {path}", "GET", path, TOKEN, order=1)
    for token in ("", "0" * 64, "../../../../etc/passwd"):
        headers = {"X-Auth-Token": token}
        name = f"wrong token {token[:6]!r}"
        yield request(f"{name} GET", "GET", "/minions", headers)
        yield json_request(f"{name} POST", "/", [PING], headers)
        yield json_request(f"{name} in chunk", "/run", [{**PING, "token": token}])
    for path in ("/logout", "/token", "/keys", "/stats"):
        yield request(f"anonymous GET {path}", "GET", path)
    preflight = {"Origin": "http://other.example", "Access-Control-Request-Headers": "x, y"}
    for path in ("/", "/run", "/hook"):
        yield request(f"preflight {path}", "OPTIONS", path, preflight)


def logins() -> Iterator[Request]:
    """Ways to send credentials."""
    for name in LOGINS:
        media_type, body = requests.LOGINS[name]
        yield request(f"login {name}", "POST", "/login", {"Content-Type": media_type}, body)
    yield request("login none", "POST", "/login", {"Content-Type": JSON})
    headers = {"Accept": YAML, "Content-Type": JSON}
    yield request("login yaml answer", "POST", "/login", headers, requests.LOGINS["json"][1])


def formats() -> Iterator[Request]:
    """Every Accept."""
    for accept in ACCEPTS:
        header = {"Accept": accept}
        yield request(f"accept {accept} welcome", "GET", "/", header)
        yield request(f"accept {accept} login", "GET", "/login", header)
        yield json_request(f"accept {accept} command", "/", [PING], {**TOKEN, **header})


def hooks() -> Iterator[Request]:
    """Hooks, by form."""
    for path in ("/hook", "/hook/", "/hook/a/b/?q=1"):
        headers = {**TOKEN, "Content-Type": FORM}
        yield request(f"hook {path}", "POST", path, headers, "foo=Foo&bar=Bar!")


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
            one.name: problems(
                SECTION, one, self.salts[one.name], self.ours[one.name], self.expected
            )
            for one in self.requests
        }


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
