"""What is read and written: Accept, content types, forms, compression."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.apis import ApiServer
from tests.netapi.conformance.client import JSON, PING, PONG, YAML, Client


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        (JSON, JSON),
        (YAML, YAML),
        ("APPLICATION/X-YAML", YAML),
        (f"{YAML}, {JSON}", JSON),
        (f"{JSON};q=0.5, {YAML}", YAML),
        (f"{YAML};q=0.9, {JSON};q=0.8", YAML),
        (f"{YAML};q=0.1, */*", JSON),
        (f"{JSON};q=0, */*", YAML),
        ("text/html, */*;q=0.1", JSON),
        (f"text/html, {YAML};q=0.2", YAML),
        ("text/html", None),
        ("text/yaml", None),
        ("application/yaml", None),
        ("image/png", None),
        (f"{JSON};q=0", None),
        ("nonsense", None),
    ],
)
def test_accept(api: ApiServer, accept: str | None, expected: str | None) -> None:
    """The format is the one that the client likes best; 406 if there is none."""
    path = "/run" if api.module == "rest_asgi" else "/"  # there browsers get the console at /
    answer = api.send("GET", path, headers={} if accept is None else {"Accept": accept})

    if expected is None:
        assert 406 == answer.status
    else:
        assert (200, expected) == (answer.status, answer.header("Content-Type"))
        assert "Welcome" == answer.value()["return"]
    assert "Accept" in (answer.header("Vary") or "")


@pytest.mark.parametrize("path", ["/", "/run", "/minions"])
def test_nothing_runs_before_accept_is_checked(client: Client, tmp_path: Path, path: str) -> None:
    """A command whose answer nobody would accept is not run."""
    file = tmp_path / "touched"
    chunk = {"client": "local", "tgt": "minion-1", "fun": "file.touch", "arg": [str(file)]}
    body = {**chunk, **(client.server.master.credentials() if path == "/run" else {})}

    assert 406 == client.send("POST", path, body, headers={"Accept": "image/png"}).status
    assert [PONG] == client.value("POST", "/", PING)["return"]
    assert not file.exists()


FORM = "application/x-www-form-urlencoded"
ECHO = {"client": "local", "tgt": "minion-1", "fun": "test.arg"}


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (JSON, json.dumps(PING)),
        (JSON, json.dumps([PING])),
        (f"{JSON}; charset=utf-8", json.dumps(PING)),
        ("APPLICATION/JSON", json.dumps(PING)),
        (JSON, "\ufeff" + json.dumps(PING)),
        (YAML, yaml.safe_dump([PING])),
        ("text/yaml", yaml.safe_dump(PING)),
        ("text/plain;charset=UTF-8", json.dumps(PING)),
        (FORM, "client=local&tgt=*&fun=test.ping"),
        (FORM, "fun=test.ping&arg&client=local&tgt=*"),
        (FORM, "client=local&tgt=minion-1%2Cminion-2&tgt_type=list&fun=test.ping&arg="),
    ],
)
def test_bodies(client: Client, content_type: str, body: str) -> None:
    """A command may be JSON, YAML, a form, or JSON labelled as text."""
    headers = {"Content-Type": content_type}
    answer = client.send("POST", "/", headers=headers, raw=body.encode())

    assert (200, {"return": [PONG]}) == (answer.status, answer.value())


@pytest.mark.parametrize(
    ("form", "args", "kwargs"),
    [
        ("arg=1", [1], {}),
        ("arg=one&arg=2", ["one", 2], {}),
        ("arg=1234&kwarg={'a': 'b'}", [1234], {"a": "b"}),
        ("arg=%5B1%2C+2%5D", [[1, 2]], {}),
        ("arg=a+b", ["a b"], {}),
    ],
)
def test_arguments_in_forms(
    client: Client, form: str, args: list[Any], kwargs: dict[str, Any]
) -> None:
    """Arguments in a form are read as on Salt's command line."""
    body = f"client=local&tgt=minion-1&fun=test.arg&{form}".encode()
    answer = client.send("POST", "/", headers={"Content-Type": FORM}, raw=body)
    found = answer.value()["return"][0]["minion-1"]
    given = {name: value for name, value in found["kwargs"].items() if not name.startswith("__")}

    assert (args, kwargs) == (found["args"], given)


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        (None, b"{}", 406),
        ("application/xml", b"<a/>", 406),
        ("multipart/form-data; boundary=x", b"--x--", 406),
        (JSON, b"{", 400),
        (JSON, b"NaN", 400),
        (JSON, b"[" * 100_000, 400),
        (JSON, b"\xff", 400),
        (JSON, b"1", 400),
        (JSON, b'"text"', 400),
        (JSON, b'["text"]', 400),
        (JSON, b"null", 400),
        (JSON, b"", 400),
        (YAML, b"a: [", 400),
        (YAML, b"!!python/object/apply:os.getpid []", 400),
        (YAML, b"a: &a [x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nd: *c", 400),
        ("text/plain", b"hello", 400),
        (FORM, b"a=%ff", 400),
        (FORM, b"", 400),
    ],
)
def test_wrong_bodies(client: Client, content_type: str | None, body: bytes, status: int) -> None:
    """A body that is no lowstate gets a sentence in JSON."""
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = client.send("POST", "/", headers=headers, raw=body)

    assert (status, JSON) == (answer.status, answer.media_type)
    assert status == answer.value()["status"]
    assert answer.value()["return"]


def test_gzip(client: Client) -> None:
    """A large answer is compressed for who wants that, a small one is not."""
    wants = {"Accept-Encoding": "gzip, deflate"}
    plain = client.send("GET", "/minions")
    packed = client.send("GET", "/minions", headers=wants)

    assert None is plain.header("Content-Encoding")
    assert "gzip" == packed.header("Content-Encoding")
    assert str(len(packed.body)) == packed.header("Content-Length")
    assert PONG.keys() == json.loads(gzip.decompress(packed.body))["return"][0].keys()
    assert None is client.send("GET", "/login", headers=wants).header("Content-Encoding")
    refused = client.send("GET", "/minions", headers={"Accept-Encoding": "gzip;q=0, *;q=0"})
    assert None is refused.header("Content-Encoding")
    assert "Accept-Encoding" in (plain.header("Vary") or "")


@pytest.mark.parametrize(
    ("timeout", "status"),
    [(60, 200), ("60", 200), ("2.5", 200), ("None", 200), ("", 200), ("soon", 400), ("-1", 400)],
)
def test_timeout_as_text(client: Client, timeout: Any, status: int) -> None:
    """A timeout may be a number in a text; what is none is refused before anything runs."""
    assert status == client.send("POST", "/", {**PING, "timeout": timeout}).status
