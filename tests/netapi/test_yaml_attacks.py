"""YAML that comes to too much, sent to every module wherever it reads any; and what it means."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml

from saltapi.config import MIB
from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer
from tests.bombs import BOMBS
from tests.netapi.conformance.client import MODULES
from tests.wire import Answer

YAML = "application/x-yaml"
FORM = "application/x-www-form-urlencoded"
ALIASES = ["merge keys", "aliases", "a circle"]
"""What can be refused before anybody reads it, also where a minion would."""
ONE = "minion-1"


@pytest.fixture(scope="module", params=[*MODULES, "rest_wsgi"])
def api(request: pytest.FixtureRequest, master: PrivateMaster) -> Iterator[ApiServer]:
    """A server that reads long bodies also of strangers: what is in them is to be refused."""
    long = {"api_stranger_body_bytes": 2 * MIB}
    with ApiServer(master, OURS, module=request.param, options=long) as server:
        yield server


@pytest.fixture(scope="module")
def token(api: ApiServer) -> str:
    """A session; rest_wsgi has none."""
    return "" if api.module == "rest_wsgi" else api.login()


def urls(module: str) -> list[str]:
    """Return where the module takes bodies in several formats."""
    shared = ["/login", "/", "/run", "/minions", "/keys", "/hook/x", "/token", "/logout"]
    return shared + (["/v1/run", "/v1/check"] if module == "rest_asgi" else [])


def needs(*modules: str) -> pytest.MarkDecorator:
    """Run a test for these modules."""
    return pytest.mark.parametrize("api", modules, indirect=True)


def refused(answer: Answer) -> str:
    """Return the sentence of an answer, which must be 400 and about the YAML."""
    assert 400 == answer.status, answer
    text = answer.body.decode()
    assert "The YAML " in text, answer
    return text


def run(api: ApiServer, chunks: list[dict[str, Any]]) -> Answer:
    """Send a lowstate, credentials in each chunk, as JSON."""
    low = [{**chunk, **api.master.credentials()} for chunk in chunks]
    return api.send("POST", "/" if api.module == "rest_wsgi" else "/run", json_body=low)


@needs(*MODULES)
@pytest.mark.parametrize("name", BOMBS)
def test_bodies_of_strangers(api: ApiServer, name: str) -> None:
    """Whoever is not logged in is told 400, at once, wherever a body is read for him."""
    for path in ("/login", "/run"):
        refused(api.send("POST", path, headers={"Content-Type": YAML}, body=BOMBS[name].encode()))


@needs(*MODULES)
@pytest.mark.parametrize("name", ["merge keys", "aliases", "lists"])
def test_bodies_of_users(api: ApiServer, token: str, name: str) -> None:
    """With a session it is the same everywhere, in every name that YAML has."""
    for path in urls(api.module):
        if path in {"/logout", "/token"}:
            continue
        for media_type in (YAML, "text/yaml", "application/yaml"):
            headers = {"X-Auth-Token": token, "Content-Type": media_type}
            answer = api.send("POST", path, headers=headers, body=BOMBS[name].encode())
            refused(answer)
    assert 200 == api.send("GET", "/minions", headers={"X-Auth-Token": token}).status


@needs("rest_cherrypy", "rest_asgi")
@pytest.mark.parametrize("field", ["arg", "kwarg"])
@pytest.mark.parametrize("name", BOMBS)
def test_forms_of_strangers(api: ApiServer, field: str, name: str) -> None:
    """What a form has in `arg` and `kwarg` is YAML too, and read before anybody is logged in."""
    for path in ("/login", "/run"):
        body = urlencode({"client": "runner", "fun": "test.arg", field: BOMBS[name]}).encode()
        refused(api.send("POST", path, headers={"Content-Type": FORM}, body=body))


@needs("rest_cherrypy", "rest_asgi")
def test_many_fields(api: ApiServer) -> None:
    """All fields of a form share what they may come to."""
    body = urlencode([("arg", "[" + "1," * 100 + "]")] * 100).encode()
    refused(api.send("POST", "/run", headers={"Content-Type": FORM}, body=body))


@needs("rest_tornado")
@pytest.mark.parametrize("name", ALIASES)
def test_forms_of_texts(api: ApiServer, name: str) -> None:
    """A form of rest_tornado is all texts, which are arguments then."""
    low = {"client": "runner", "fun": "test.arg", "arg": BOMBS[name], **api.master.credentials()}
    answer = api.send("POST", "/run", headers={"Content-Type": FORM}, body=urlencode(low).encode())
    refused(answer)


@pytest.mark.parametrize("name", BOMBS)
def test_arguments_of_functions(api: ApiServer, name: str) -> None:
    """Texts that are read for a runner or wheel function are checked before anything runs."""
    for client, fun in (
        ("runner", "test.arg"),
        ("runner_async", "test.arg"),
        ("wheel", "key.list"),
    ):
        for arg in (BOMBS[name], f"match={BOMBS[name]}"):
            first = {"client": "runner", "fun": "test.arg", "arg": ["was-run"]}
            answer = run(api, [first, {"client": client, "fun": fun, "arg": [arg]}])
            text = refused(answer)
            assert "Chunk 2" in text
            assert "was-run" not in text


@pytest.mark.parametrize("client", ["local", "local_async", "local_batch", "local_subset"])
@pytest.mark.parametrize("name", ALIASES)
def test_arguments_of_minions(api: ApiServer, client: str, name: str) -> None:
    """Nor is a minion handed a text that it would expand without end."""
    for text in (BOMBS[name], f"a={BOMBS[name]}", json.dumps(BOMBS[name])):
        refused(run(api, [{"client": client, "tgt": ONE, "fun": "test.arg", "arg": [text]}]))
        refused(run(api, [{"client": client, "tgt": ONE, "fun": "test.arg", "arg": text}]))
    low = {"client": client, "tgt": ONE, "fun": ["test.arg"], "arg": [[BOMBS[name]]]}
    refused(run(api, [low]))


@needs("rest_asgi")
@pytest.mark.parametrize("path", ["/v1/run", "/v1/run?dry_run=true", "/v1/check"])
@pytest.mark.parametrize("name", ALIASES)
def test_arguments_that_are_only_looked_at(
    api: ApiServer, token: str, path: str, name: str
) -> None:
    """A check and a dry run read no more than a run."""
    headers = {"X-Auth-Token": token}
    for low in (
        {"client": "runner", "fun": "test.arg", "arg": [BOMBS[name]]},
        {"tgt": ONE, "fun": "state.apply", "arg": ["x", f"pillar={BOMBS[name]}"]},
    ):
        answer = api.send("POST", path, headers=headers, json_body=low)
        assert 400 == answer.status, answer


def test_small_texts_with_aliases(api: ApiServer) -> None:
    """What only looks like it, or comes to little, is what it always was."""
    texts = [
        "find /x -name '*.log' && true",
        "[&a {b: 1}, *a]",
        "{x: &x {a: 1}, y: {<<: *x, b: 2}}",
    ]
    answer = run(api, [{"client": "runner", "fun": "test.arg", "arg": texts}])
    expected = [texts[0], [{"b": 1}, {"b": 1}], {"x": {"a": 1}, "y": {"a": 1, "b": 2}}]
    assert expected == answer.value()["return"][0]["args"]
    answer = run(api, [{"client": "local", "tgt": ONE, "fun": "test.arg", "arg": texts}])
    assert texts == answer.value()["return"][0][ONE]["args"]


@needs(*MODULES)
def test_dates(api: ApiServer) -> None:
    """Dates in a YAML body are text as they are written, also those that no calendar has."""
    dates = ["2016-01-01", "2016-13-01", "2001-12-14t21:59:43.10-05:00"]
    chunk = {"client": "local", "tgt": ONE, "fun": "test.arg", **api.master.credentials()}
    body = yaml.safe_dump(chunk) + f"arg: [{', '.join(dates)}]\nkwarg: {{day: {dates[0]}}}\n"
    answer = api.send("POST", "/run", headers={"Content-Type": YAML}, body=body.encode())
    found = answer.value()["return"][0][ONE]
    assert (dates, dates[0]) == (found["args"], found["kwargs"]["day"])


@needs(*MODULES)
def test_keys_that_are_there_twice(api: ApiServer, token: str) -> None:
    """One of two values would be lost: 400, and the line."""
    for path in ("/login", "/run", "/hook/x"):
        headers = {"X-Auth-Token": token, "Content-Type": YAML}
        answer = api.send("POST", path, headers=headers, body=b"a: 1\nb: 2\na: 3\n")
        assert 400 == answer.status
        assert "the key 'a' twice in one mapping in line 3" in answer.body.decode()


@needs(*MODULES)
@pytest.mark.parametrize("kind", ["utf-16", "utf-32", "latin-1"])
def test_encodings(api: ApiServer, kind: str) -> None:
    """YAML is UTF-8 or UTF-16; anything else is 400."""
    body = "{username: é, password: 1, eauth: file}".encode(kind)
    answer = api.send("POST", "/login", headers={"Content-Type": YAML}, body=body)
    assert (401 if kind == "utf-16" else 400) == answer.status


@needs(*MODULES)
@pytest.mark.parametrize(
    "body", [b"!!bool x", b"!!int ''", b"!!float ''", b"a\0b", b"!!timestamp x: [", b"%TAG ! x"]
)
def test_values_that_are_none(api: ApiServer, body: bytes) -> None:
    """A tag that says what its value is not is 400, not a defect."""
    answer = api.send("POST", "/login", headers={"Content-Type": YAML}, body=body)
    assert 400 == answer.status, answer
