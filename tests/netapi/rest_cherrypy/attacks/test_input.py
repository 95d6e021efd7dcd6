"""Attacks by what the server itself reads: paths, tags, bodies."""

import http.client
import re
import select
import socket
from pathlib import Path

import pytest

from tests.apis import ApiServer
from tests.netapi.rest_cherrypy.attacks.attack import ONE_MODULE, STREAM_SECONDS, TRAVERSALS, post
from tests.waiting import scaled
from tests.wire import encode_request

# Paths


@pytest.mark.parametrize("mid", ["../x", "/etc/passwd", "a/../../b", "x\n", "x\0", "", ".", ".."])
def test_cve_2024_38824_names_of_minions(api: ApiServer, token: str, mid: str) -> None:
    """A minion id that would be a path is 400 and makes no key."""
    answer = post(api, "/keys", {**api.master.credentials(), "mid": mid})
    assert 400 == answer.status
    keys = api.send("GET", "/keys", headers={"X-Auth-Token": token}).value()["return"]
    assert ["minion-1", "minion-2"] == sorted(keys["minions"])


@pytest.mark.parametrize("base", ["/minions/", "/jobs/", "/keys/", "/app/", "/static/", "/hook/"])
@pytest.mark.parametrize("path", TRAVERSALS)
def test_cve_2024_38824_paths(api: ApiServer, token: str, base: str, path: str) -> None:
    """No URL leads to a file of the master."""
    answer = api.send("GET", base + path, headers={"X-Auth-Token": token})
    assert answer.status in {200, 400, 404, 405}
    assert b"root:" not in answer.body


@pytest.mark.parametrize(
    "jid",
    [
        "..%2f..%2fproc%2fself%2ffd%2f0",
        "20001122334455667788%00",
        "20001122334455667788%0a",
        "%EF%BC%92" * 20,
        "9" * 20_000,
    ],
)
def test_cve_2025_22242_jid_as_a_path(api: ApiServer, token: str, jid: str) -> None:
    """What is no jid is 4xx and no path to anything."""
    answer = api.send("GET", f"/jobs/{jid}", headers={"X-Auth-Token": token})
    assert 400 <= answer.status < 500


# What the server itself reads and writes


@pytest.mark.parametrize("tag", ["a%0Adata:%20injected", "a%0D%0A%0D%0Adata:%20injected", "%85"])
def test_cve_2025_22236_lines_in_tags(api: ApiServer, token: str, tag: str) -> None:
    """An event whose tag has line breaks cannot put lines, or events, into a stream."""
    request = encode_request("GET", "/events", [("Host", "x"), ("X-Auth-Token", token)], None)
    with socket.create_connection(("127.0.0.1", api.port), scaled(STREAM_SECONDS)) as connection:
        connection.sendall(request)
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert b"retry: 400\n" == response.readline()
        post(api, f"/hook/{tag}", {}, token)
        post(api, "/hook/after", {}, token)
        lines: list[bytes] = []
        while b"tag: salt/netapi/hook/after\n" not in lines:
            lines.append(response.readline())
        response.close()
    assert all(re.match(rb"tag: |data: \{|:?\n|id: ", line) for line in lines)


@pytest.mark.parametrize(
    "body",
    [
        "!!python/object/apply:os.system ['touch {marker}']",
        "- !!python/object/new:subprocess.Popen [['touch', '{marker}']]",
        "!!python/module:os",
        "a: !!python/name:os.system",
    ],
)
@pytest.mark.parametrize("media_type", ["application/x-yaml", "text/yaml"])
def test_cve_2025_62348_yaml_tags(
    api: ApiServer, token: str, marker: Path, body: str, media_type: str
) -> None:
    """YAML that wants to be an object is 400."""
    headers = {"X-Auth-Token": token, "Content-Type": media_type}
    data = body.format(marker=marker).encode()
    for path in ("/", "/run", "/login", "/hook"):
        assert 400 == api.send("POST", path, headers=headers, body=data).status
    assert not marker.exists()


def test_yaml_that_grows(api: ApiServer, token: str) -> None:
    """Aliases that multiply are 400."""
    levels = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12))
    headers = {"X-Auth-Token": token, "Content-Type": "application/x-yaml"}
    body = f"a0: &a0 x\n{levels}\n".encode()
    for path in ("/", "/hook"):
        assert 400 == api.send("POST", path, headers=headers, body=body).status


@pytest.mark.parametrize("depth", [200, 100_000])
def test_json_that_is_deep(api: ApiServer, token: str, depth: int) -> None:
    """JSON that is nested deeply is 400."""
    headers = {"X-Auth-Token": token, "Content-Type": "application/json"}
    body = b"[" * depth + b"]" * depth
    assert 400 == api.send("POST", "/hook", headers=headers, body=body).status


def test_large_body(api: ApiServer, token: str) -> None:
    """A body beyond `max_request_body_size` is 413 and fires nothing (D3)."""
    answer = post(api, "/hook/large", {"a": "x" * 1_100_000}, token)
    assert 413 == answer.status


@ONE_MODULE
def test_bodies_of_strangers(api: ApiServer, token: str) -> None:
    """Without a session bodies are short, but where it is in them who somebody is."""
    large = {"client": "local", "tgt": "minion-1", "fun": "test.echo", "arg": "x" * 100_000}
    for other in (None, "0" * 64):
        for path in ("/", "/login", "/minions", "/hook/x", "/nowhere"):
            answer = post(api, path, large, other)
            assert 413 == answer.status
            assert "65536 bytes, which is the most without a session" in answer.value()["return"]
    assert 200 == post(api, "/hook/x", large, token).status
    assert {"return": [{"minion-1": "x" * 100_000}]} == post(api, "/", large, token).value()
    answer = post(api, "/run", {**large, **api.master.credentials()})
    assert {"return": [{"minion-1": "x" * 100_000}]} == answer.value()


@ONE_MODULE
@pytest.mark.parametrize(
    "half",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nX: ",
        b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{",
        b"POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{",
    ],
    ids=["head", "body", "chunk"],
)
def test_unfinished_requests(api: ApiServer, half: bytes) -> None:
    """More unfinished requests than there are threads keep nobody waiting."""
    held = [socket.create_connection(("127.0.0.1", api.port)) for _ in range(150)]
    for connection in held:
        connection.sendall(half)
    assert 200 == api.send("GET", "/").status
    assert [] == select.select(held, [], [], 0)[0], "the answer came when the others had ended"
    for connection in held:
        connection.close()
