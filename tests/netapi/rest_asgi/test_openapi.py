"""The OpenAPI document: complete, valid, and true of the running server."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from saltapi import config
from saltapi.demo import PrivateMaster
from saltapi.netapi.rest_asgi import openapi, problems
from saltapi.netapi.rest_asgi.app import create_app
from tests.apis import OURS, ApiServer
from tests.waiting import scaled

Operation = tuple[str, str, dict[str, Any]]

FUZZ_SECONDS = 100.0
SECTION = {"static": str(Path(__file__).parent), "static_path": "/static"}
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "ignored_auth",
    "unsupported_method",
    "allow_header_conformance",
)
LEFT_OUT = (
    "logout",  # ends the session that all requests have
    "end_session",
    "make_key",  # leaves keys at the master
    "listen",  # streams that do not end, from here on
    "listen_below",
    "open_websocket",
    "open_websocket_below",
    "events",
    "fleet_events",
    "job_events",
)

NO_API = ("/console/{name}", "/v1/login/")
"""What browsers are sent to by a page, or by an identity provider."""


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    """The application with every URL that there can be; it is not started."""
    path = tmp_path_factory.mktemp("openapi") / "master"
    path.write_text(json.dumps({"root_dir": str(path.parent), "rest_asgi": SECTION}))
    return create_app(config.load(path)).api


@pytest.fixture(scope="module")
def document(api: FastAPI) -> dict[str, Any]:
    """The document of the application."""
    return openapi.document(api.routes)


@pytest.fixture(scope="module")
def server(master: PrivateMaster) -> Iterator[ApiServer]:
    """A server whose logins are not throttled: many wrong ones are tried."""
    options = {"api_login_failures": 0}
    with ApiServer(master, OURS, SECTION, module="rest_asgi", options=options) as server:
        yield server


@pytest.fixture(scope="module")
def operations(document: dict[str, Any]) -> list[Operation]:
    """Method, path and description of every operation."""
    return [
        (method, path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]


def resolved(document: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    """Return *value*, or what it refers to."""
    found: Any = value
    while "$ref" in found:
        keys = found["$ref"].removeprefix("#/").split("/")
        found = document
        for key in keys:
            found = found[key]
    assert isinstance(found, dict)
    return found


def has_example(document: dict[str, Any], described: dict[str, Any]) -> bool:
    """Return whether a media type has an example, of its own or in its schema."""
    schema = resolved(document, described.get("schema", {}))
    return any(key in place for place in (described, schema) for key in ("example", "examples"))


def test_is_valid(document: dict[str, Any]) -> None:
    """It is an OpenAPI 3.1 document."""
    assert document["openapi"].startswith("3.1.")
    schemathesis.openapi.from_dict(document).validate()


def test_every_url(document: dict[str, Any]) -> None:
    """Every URL that the module answers is in the document."""
    assert {
        "/", "/run", "/login", "/logout", "/token", "/minions", "/minions/{mid}", "/jobs",
        "/jobs/{jid}", "/keys", "/keys/{mid}", "/events", "/events/{token}", "/hook", "/hook/{tag}",
        "/stats", "/app", "/static/{name}", "/favicon.ico", "/v1/run", "/v1/jobs", "/v1/jobs/{jid}",
        "/v1/jobs/{jid}/events", "/v1/jobs/{jid}/rerun", "/v1/events", "/v1/events/ticket",
        "/v1/minions", "/v1/minions/{mid}", "/v1/minions/events", "/v1/functions",
        "/v1/whoami", "/v1/check", "/livez", "/readyz", "/metrics", "/openapi.json", "/docs",
    } <= set(document["paths"])  # fmt: skip


def test_every_route(api: FastAPI, document: dict[str, Any]) -> None:
    """No route is left out of the document, but for the files of the console's page."""
    found = {
        (context.path_format, method.lower())
        for context in iter_route_contexts(api.routes)
        for method in context.methods or ()
        if not str(context.path_format).startswith(NO_API)
    }
    paths = document["paths"]

    assert 40 < len(found)
    assert set() == {(path, m) for path, m in found if m not in paths.get(path or "", {})}


def test_words(document: dict[str, Any], operations: list[Operation]) -> None:
    """Every operation has an id of its own, a short summary, and tags that are explained."""
    explained = {tag["name"] for tag in document["tags"]}

    assert sorted({o["operationId"] for *_, o in operations}) == sorted(
        o["operationId"] for *_, o in operations
    )
    for method, path, operation in operations:
        place = f"{method} {path}"
        assert 0 < len(operation["summary"]) <= 80, place
        assert not operation["summary"].endswith("."), place
        assert operation["tags"], place
        assert set(operation["tags"]) <= explained, place
        assert operation["operationId"].islower(), place


def test_parameters(operations: list[Operation]) -> None:
    """Every parameter says what it is."""
    for method, path, operation in operations:
        for parameter in operation.get("parameters", ()):
            assert parameter.get("description"), f"{method} {path} {parameter['name']}"


def test_bodies(document: dict[str, Any], operations: list[Operation]) -> None:
    """Every body is described as JSON, and as nothing else, with an example."""
    for method, path, operation in operations:
        if "requestBody" not in operation:
            continue
        content = operation["requestBody"]["content"]
        assert ["application/json"] == list(content), f"{method} {path}"
        assert "schema" in content["application/json"], f"{method} {path}"
        assert has_example(document, content["application/json"]), f"{method} {path}"


def test_answers(document: dict[str, Any], operations: list[Operation]) -> None:
    """Every good answer has a description of its own, a schema and an example."""
    for method, path, operation in operations:
        good = {s: r for s, r in operation["responses"].items() if s < "300"}
        assert good, f"{method} {path}"
        for status, response in good.items():
            place = f"{method} {path} {status}"
            assert response["description"] not in {"", "Successful Response"}, place
            assert "X-Request-Id" in response["headers"], place
            for media_type, described in response.get("content", {}).items():
                assert described.get("schema"), f"{place} {media_type}"
            first = next(iter(response.get("content", {}).values()), None)
            is_file = first is not None and first["schema"].get("format") == "binary"
            assert first is None or is_file or has_example(document, first), place


def test_errors(document: dict[str, Any], operations: list[Operation]) -> None:
    """Below /v1 errors are problem documents, elsewhere what rest_cherrypy answers."""
    for method, path, operation in operations:
        assert {"403", "429", "500", "503"} <= set(operation["responses"]), f"{method} {path}"
        for status, response in operation["responses"].items():
            if status < "400":
                continue
            content = resolved(document, response)["content"]
            expected = "application/problem+json" if path.startswith("/v1/") else "application/json"
            assert expected in content, f"{method} {path} {status}"
        if operation.get("security"):
            assert "401" in operation["responses"], f"{method} {path}"
        if "requestBody" in operation:
            assert {"400", "406", "413"} <= set(operation["responses"]), f"{method} {path}"
        if path.startswith("/v1/") and path != "/v1/login":
            assert operation["security"], f"{method} {path}"


@pytest.mark.parametrize("kind", openapi.kinds(), ids=lambda kind: kind.code)
def test_every_code(document: dict[str, Any], kind: Any) -> None:
    """Every error is in the document, with its status, its title and an example."""
    status = problems.status_of(kind, of_v1=True)
    response = document["components"]["responses"][f"problem_{status}"]
    example = response["content"]["application/problem+json"]["examples"][kind.code]["value"]

    assert kind.code in document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]
    assert (status, kind.code) == (example["status"], example["code"])
    assert problems.TITLES[kind.code] == example["title"]
    carries = kind.retry_after_seconds is not None or kind.code == "too_many_requests"
    assert not carries or "Retry-After" in response["headers"]


def test_nothing_of_the_framework(document: dict[str, Any]) -> None:
    """No answer is described that FastAPI would give and we do not."""
    text = json.dumps(document)

    assert "HTTPValidationError" not in text
    assert "Successful Response" not in text


def test_names(document: dict[str, Any]) -> None:
    """Every component has the name that its title says, so that generators find no two of one."""
    schemas = document["components"]["schemas"]

    assert {name: name for name in schemas} == {
        name: schema.get("title", name) for name, schema in schemas.items()
    }


# The running server


def fuzz(server: ApiServer, user: str | None, *options: str) -> None:
    """Let schemathesis try the server with a session of *user*; fail with what it finds."""
    command = [
        *(sys.executable, "-P", "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json"),
        *("-H", f"X-Auth-Token: {server.login(user)}", "--checks", ",".join(CHECKS)),
        *("--generation-deterministic", "--request-timeout", str(scaled(30)), "--no-color"),
        *("--warnings", "off"),
        *(text for name in LEFT_OUT for text in ("--exclude-operation-id", name)),
        *options,
    ]
    done = subprocess.run(
        command,
        cwd=server.directory,
        capture_output=True,
        text=True,
        timeout=scaled(FUZZ_SECONDS),
        check=False,
    )

    assert 0 == done.returncode, done.stdout[-8000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
    assert "An unexpected error occurred" not in server.log()


@pytest.mark.long
def test_true_for_somebody_who_may_do_little(server: ApiServer) -> None:
    """Whatever is sent below /v1, the answer is one that the document describes."""
    fuzz(server, "low", "--phases", "examples,coverage", "--include-path-regex", "^/v1/")


def test_true_for_somebody_who_may_do_everything(server: ApiServer) -> None:
    """What is sent to any URL is answered as the document says."""
    fuzz(server, None, "--phases", "examples,fuzzing", "--max-examples", "3")


@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.parametrize("place", ["minions", "keys", "functions", "jobs"])
def test_true_of_the_fleet(server: ApiServer, place: str) -> None:
    """Whatever is asked of minions, keys, functions and jobs, the answer is as described."""
    phases = ("--phases", "examples,coverage,fuzzing", "--max-examples", "25")
    fuzz(server, None, *phases, "--include-path-regex", f"^/v1/{place}")


def test_records(server: ApiServer, document: dict[str, Any]) -> None:
    """The records of streams are what the document says."""
    headers = {"X-Auth-Token": server.login(), "Accept": "application/x-ndjson"}
    lowstate = [
        {"tgt": "*", "fun": "test.ping"},
        {"tgt": "*", "fun": "test.ping", "client": "local_async"},
        {"client": "runner", "fun": "test.arg", "arg": [1]},
    ]
    answer = server.send("POST", "/v1/run", headers=headers, json_body=lowstate)
    records = [json.loads(line) for line in answer.body.splitlines()]

    assert {"job", "return", "summary"} <= {record["type"] for record in records}
    schema = {"$ref": "#/components/schemas/RunRecord", "components": document["components"]}
    validator = jsonschema_rs.Draft202012Validator(schema)
    for record in records:
        assert [] == [error.message for error in validator.iter_errors(record)], record


@pytest.mark.parametrize("headers", [{}, {"X-Auth-Token": "f" * 64}, {"Authorization": "Bearer x"}])
def test_strangers(server: ApiServer, operations: list[Operation], headers: dict[str, str]) -> None:
    """Everything that wants a session is 401 to strangers, whatever else they send."""
    tried = 0
    for method, path, operation in operations:
        if not operation.get("security") or "426" in operation["responses"]:
            continue
        url = path.replace("{", "").replace("}", "")
        body = {"wrong": 1} if "requestBody" in operation else None
        answer = server.send(method.upper(), url, headers=headers, json_body=body)
        tried += 1

        assert 401 == answer.status, f"{method} {path}: {answer}"
        assert "Session" == answer.header("WWW-Authenticate"), f"{method} {path}"
    assert 20 < tried
