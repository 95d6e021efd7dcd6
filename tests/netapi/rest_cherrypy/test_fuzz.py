"""
Every URL, method, header and body, put together at random.

Whatever is sent: the answer is HTTP, it is no 500 while the master is up, and an error comes in a
format that the client accepts.
"""

import contextlib
import http.client
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from saltapi.demo import PrivateMaster
from saltapi.formats import OUTPUT_TYPES, quality
from tests.apis import OURS, ApiServer
from tests.wire import STREAM_TYPE, Answer, encode_request, exchange

EXAMPLES = 500
TYPES = [
    "application/json",
    "application/x-yaml",
    "text/yaml",
    "text/plain",
    "application/x-www-form-urlencoded",
    "application/json; charset=utf-8",
    "application/octet-stream",
    "multipart/form-data; boundary=x",
    "",
]
ACCEPTS = [
    "application/json",
    "*/*",
    "application/x-yaml, */*;q=0.1",
    "application/json",
    "application/x-yaml",
    "text/html",
    "*/*",
    "text/html, application/x-yaml;q=0.5",
    "application/json;q=0",
    "text/event-stream",
    "x/y",
    ";;q=,",
    "",
]
URLS = [
    "/",
    "/login",
    "/logout",
    "/token",
    "/minions",
    "/jobs",
    "/keys",
    "/run",
    "/events",
    "/ws",
    "/hook",
    "/stats",
    "/app",
    "/static",
    "/favicon.ico",
]
METHODS = ["GET"] * 6 + ["POST"] * 6 + ["HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "PROPFIND"]
NAMES = [
    "client",
    "fun",
    "tgt",
    "tgt_type",
    "arg",
    "kwarg",
    "timeout",
    "batch",
    "full_return",
    "token",
    "eauth",
    "username",
    "password",
    "jid",
    "match",
    "ret",
    "mid",
    "x",
]

header_text = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=30)
url_text = st.text(st.characters(codec="ascii", exclude_categories=["Cc", "Zs"]), max_size=12)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=10)
    | st.sampled_from(["test.ping", "test.arg", "test.echo", "nobody", "minion-1", "local"])
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3)
    ),
    max_leaves=6,
)
chunks = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(NAMES, values),
        "client": st.sampled_from(
            ["local", "local_async", "local_batch", "runner", "wheel", "wheel_async", "ssh", "x"]
        ),
        "fun": st.sampled_from(["test.ping", "test.arg", "key.list_all", "no.such", "", "x"]),
        "tgt": st.sampled_from(["nobody", "minion-1", ["minion-1"], "", 1]),
        "timeout": st.sampled_from([1, "1", None, -1, "x"]),
        "token": st.sampled_from(["%TOKEN%", "", "0" * 64, None]),
    },
)


def as_json(value: Any) -> tuple[str, bytes]:
    """Return *value* as a JSON body, with its label."""
    return "application/json", json.dumps(value).encode()


def as_yaml(value: Any) -> tuple[str, bytes]:
    """Return *value* as a YAML body, with its label."""
    return "application/x-yaml", yaml.safe_dump(value).encode()


def as_form(value: dict[str, Any]) -> tuple[str, bytes]:
    """Return *value* as a form, with its label."""
    return "application/x-www-form-urlencoded", urlencode(value, doseq=True).encode()


lowstates = chunks | st.lists(chunks, max_size=2)
labelled = (
    st.builds(as_json, lowstates | values)
    | st.builds(as_yaml, lowstates)
    | st.builds(as_form, chunks)
)
rubbish = st.binary(max_size=40) | st.sampled_from(
    [b"username=u&password=p&eauth=file", b"a=%ff&b=%zz&=&", b"{", b"- [", b"&a *a", b"[" * 50_000]
)
bodies = st.none() | labelled | st.tuples(st.sampled_from(TYPES) | header_text, rubbish)
paths = st.builds(
    lambda base, tail, query: base + tail + query,
    st.sampled_from(URLS),
    st.one_of(
        st.just(""),
        st.builds("/{}".format, url_text),
        st.sampled_from(["/", "/minion-1", "/a/b", "/..%2f", "/%00", "/%ff", "//", "/%TOKEN%"]),
    ),
    st.one_of(
        st.just(""),
        st.sampled_from(["?", "?x=1", "?token=%TOKEN%", "?mid=nobody", "?since=0", "?%ff=%ff"]),
        st.builds("?{}".format, url_text),
    ),
)
headers = st.fixed_dictionaries(
    {"X-Auth-Token": st.sampled_from(["%TOKEN%"] * 8 + ["%LOW%", "0" * 64, "", "é", '"'])},
    optional={
        "Accept": st.sampled_from([*ACCEPTS, "é", "a/b;q=x", ",,"]),
        "Accept-Encoding": st.sampled_from(["gzip", "gzip;q=0", "*", "br"]),
        "Cookie": st.sampled_from(["session_id=%TOKEN%", "session_id=", "=;", "a"]) | header_text,
        "Authorization": st.sampled_from(["Bearer %TOKEN%", "Bearer", "Basic !"]) | header_text,
        "Origin": st.sampled_from(["http://x.example", "null", ""]),
        "Last-Event-ID": header_text,
        "Range": st.sampled_from(["bytes=0-1", "bytes=9-", "bytes=x"]),
        "If-Modified-Since": header_text,
        "Expect": st.sampled_from(["100-continue", "x"]),
        "Upgrade": st.just("websocket"),
        "X-Forwarded-For": header_text,
    },
)


@pytest.fixture(scope="module")
def api(master: PrivateMaster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A server with everything switched on, and no limit for failed logins."""
    static = tmp_path_factory.mktemp("static")
    (static / "file.txt").write_text("text")
    section = {"static": str(static), "collect_stats": True}
    with ApiServer(master, OURS, section, options={"api_login_failures": 0}) as server:
        yield server


class Tokens:
    """Sessions that are there again after a logout."""

    def __init__(self, api: ApiServer) -> None:
        self._api = api
        self.token = api.login()
        self.low = api.login("low")

    def fill(self, text: str) -> str:
        """Return *text* with the tokens filled in."""
        return text.replace("%TOKEN%", self.token).replace("%LOW%", self.low)

    def renew(self) -> None:
        """Log in again, after something that may have been a logout."""
        self.token = self._api.login()
        self.low = self._api.login("low")


@pytest.fixture(scope="module")
def tokens(api: ApiServer) -> Tokens:
    """The sessions of the module."""
    return Tokens(api)


SETTINGS = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.mark.timeout(300)
@SETTINGS
@given(method=st.sampled_from(METHODS), path=paths, sent=headers, body=bodies)
def test_no_request_is_a_500(
    api: ApiServer,
    tokens: Tokens,
    method: str,
    path: str,
    sent: dict[str, str],
    body: tuple[str, bytes] | None,
) -> None:
    """No request gets a 500 while the master is up, and errors are in a format that is accepted."""
    send(api, tokens, method, path, sent, body)


@pytest.mark.long
@pytest.mark.timeout(300)
@SETTINGS
@given(
    path=st.sampled_from(["/", "/run", "/minions", "/login", "/token", "/hook/x", "/keys"]),
    sent=headers,
    body=labelled,
)
def test_no_command_is_a_500(
    api: ApiServer, tokens: Tokens, path: str, sent: dict[str, str], body: tuple[str, bytes]
) -> None:
    """The same for POST requests that are nearly right."""
    if path == "/keys":  # it would make some
        body = body[0], body[1].replace(b"%TOKEN%", b"%LOW%")
    send(api, tokens, "POST", path, sent, body)


def send(
    api: ApiServer,
    tokens: Tokens,
    method: str,
    path: str,
    sent: dict[str, str],
    body: tuple[str, bytes] | None,
) -> None:
    """Send a request and check its answer."""
    data = None
    if body is not None:
        data = tokens.fill(body[1].decode("latin-1")).encode("latin-1")
        sent = {**sent, "Content-Type": body[0], "Content-Length": str(len(data))}
    pairs = [("Host", "127.0.0.1"), ("Connection", "close")]
    pairs += [(name, tokens.fill(value)) for name, value in sent.items()]
    answer = exchange(api.port, encode_request(method, tokens.fill(path), pairs, data))
    check(answer, method, sent.get("Accept"))
    if path.startswith("/logout"):
        tokens.renew()


def check(answer: Answer, method: str, accept: str | None) -> None:
    """Fail if *answer* is a fault of the server, or an error that the client cannot read."""
    assert answer.status < 500 or answer.status in {501, 505}, answer
    if answer.status < 400:
        return
    if method == "HEAD":
        assert b"" == answer.body
        return
    if "gzip" == answer.header("Content-Encoding"):
        return
    if answer.header("Server") is None:  # it was no HTTP, so nobody knows what is accepted
        accept = "application/json"
    ranked = {name: quality(accept or "*/*", name) for name in (*OUTPUT_TYPES, "text/html")}
    assert answer.media_type in ranked, answer
    assert ranked[answer.media_type] == max(ranked.values()) or not any(ranked.values()), answer
    if answer.media_type == "text/html":
        assert b"<p>" in answer.body
        return
    value = answer.value()
    assert answer.status == value["status"]
    assert value["return"]


def garbage(api: ApiServer, data: bytes) -> Answer | None:
    """Send bytes that may be no HTTP; None if the server just hangs up."""
    with contextlib.suppress(http.client.HTTPException, OSError):
        return exchange(api.port, data + b"\r\n\r\n")
    return None


@settings(max_examples=EXAMPLES // 2, derandomize=True)
@given(
    st.lists(
        st.sampled_from(
            [
                b"GET ",
                b"POST ",
                b"/",
                b"/login",
                b" HTTP/1.1",
                b" HTTP/1.0",
                b"\r\n",
                b"\n",
                b"Host: x",
                b"Connection: close",
                b"Content-Length: ",
                b"Transfer-Encoding: chunked",
                b"0",
                b"5",
                b"\r\n\r\n",
                b"\xff",
                b"\x00",
                b":",
                b"{}",
            ]
        )
        | st.binary(max_size=6),
        max_size=14,
    ).map(b"".join)
)
def test_rubbish(api: ApiServer, data: bytes) -> None:
    """Bytes that are hardly HTTP get a 4xx or the end of the connection, never a 500."""
    answer = garbage(api, data + b"\r\nConnection: close")
    assert answer is None or answer.status < 500 or answer.status in {501, 505}, answer
    if answer is not None and STREAM_TYPE not in (answer.header("Content-Type") or ""):
        assert answer.header("Content-Length") is not None


def test_it_still_works(api: ApiServer, tokens: Tokens) -> None:
    """After all that the server answers as before."""
    chunk: dict[str, Any] = {"client": "local", "tgt": "*", "fun": "test.ping"}
    answer = api.send("POST", "/", headers={"X-Auth-Token": tokens.token}, json_body=chunk)
    assert {"return": [{"minion-1": True, "minion-2": True}]} == answer.value()
