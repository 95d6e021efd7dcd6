"""
The requests of the differential suite.

In paths, headers and bodies `%NAME%` stands for a value that differs from server to server or
from run to run: `%TOKEN%` (of a session), `%FRESH%` (of a session of its own), `%SALT_TOKEN%`,
`%LOW_TOKEN%` (of the user who may run only test.ping), `%USER%`, `%PASSWORD%`, `%LOW_PASSWORD%`,
`%JID%` (of a job that has run), `%MASTER%` (the master's name for its own key), `%SIDE%`.
"""

import itertools
import json
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from saltapi.check.against import safe
from saltapi.check.against.request import (
    ACCEPTS,
    COOKIE,
    FORM,
    JSON,
    TOKEN,
    WRONG_TOKENS,
    YAML,
    Request,
    json_request,
    request,
)

CREDENTIALS = {"username": "%USER%", "password": "%PASSWORD%", "eauth": "file"}
PING = {"client": "local", "tgt": "*", "fun": "test.ping"}
GHOST = {**PING, "timeout": 2, "gather_job_timeout": 2}

URLS = [
    "/",
    "/login",
    "/logout",
    "/token",
    "/minions",
    "/minions/minion-1",
    "/jobs",
    "/jobs/%JID%",
    "/keys",
    "/keys/minion-1",
    "/run",
    "/events",
    "/hook",
    "/hook/some/tag",
    "/stats",
    "/app",
    "/static/none",
    "/favicon.ico",
    "/nope",
]
OTHER_PATHS = [
    "/index",
    "/minions/",
    "/minions?mid=minion-1",
    "/minions/nobody",
    "/minions/minion-1/more",
    "/minions?foo=bar",
    "/jobs/",
    "/jobs?timeout=5",
    "/jobs/20001122334455667788",
    "/jobs/nojid",
    "/keys/",
    "/keys/nobody",
    "/keys?mid=minion-1",
    "/login/",
    "/login?foo=bar",
    "/logout/more",
    "/run/more",
    "/stats/",
    "/stats/more",
    "/hook/",
    "/nope/more",
    "/LOGIN",
    "//",
    "//login",
    "/./login",
    "/../login",
    "/%%6cogin",
    "/login%%2f",
    "/minions/..%%2f..",
    "/minions/%%00",
    "/minions/%%ff",
    "/minions/%%C3%%A9",
    "/?foo=bar",
    "/minions/a b",
    "/" + "x" * 5000,
]
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]

CHUNKS: dict[str, dict[str, Any]] = {
    **safe.chunks("*", "minion-1"),
    "list": {**PING, "tgt": ["minion-1", "minion-2"], "tgt_type": "list"},
    "list-text": {**PING, "tgt": "minion-1,minion-2", "tgt_type": "list"},
    "list-missing": {**GHOST, "tgt": ["minion-1", "ghost"], "tgt_type": "list"},
    "pcre": {**PING, "tgt": "minion-[12]", "tgt_type": "pcre"},
    "grain": {**PING, "tgt": "id:minion-2", "tgt_type": "grain"},
    "compound": {**PING, "tgt": "G@id:minion-2 or minion-1", "tgt_type": "compound"},
    "nodegroup": {**PING, "tgt": "first", "tgt_type": "nodegroup"},
    "expr-form": {**PING, "tgt": "minion-[12]", "expr_form": "pcre"},
    "batch-null": {**PING, "batch": None},
    "subset": {**PING, "client": "local_subset", "subset": 2},
    "subset-sub": {**PING, "client": "local_subset", "sub": 5},
    "batch": {**PING, "client": "local_batch", "batch": "50%"},
    "batch-int": {**PING, "client": "local_batch", "batch": 2},
    "batch-raw": {**PING, "client": "local_batch", "raw": True},
    "batch-none": {**PING, "client": "local_batch", "tgt": "nobody"},
    "runner-names": {
        "client": "runner",
        "fun": "test.arg",
        "arg": ["user=u", "password=p"],
        "kwarg": {"fun": "f", "token": "t", "cmd": "c", "client": "x", "full_return": 1},
    },
    "runner-names-beside": {
        "client": "runner",
        "fun": "test.arg",
        "user": "u",
        "key": "k",
        "cmd": "c",
        "print_event": True,
    },
    "runner-unknown": {"client": "runner", "fun": "no.such"},
    "runner-raises": {"client": "runner", "fun": "test.raise_exception"},
    "runner-lookup": {"client": "runner", "fun": "jobs.lookup_jid", "jid": "%JID%"},
    "runner-job": {"client": "runner", "fun": "jobs.list_job", "jid": "%JID%"},
    "runner-find": {
        "client": "runner",
        "fun": "jobs.list_jobs",
        "search_function": "test.fib",
    },
    "runner-grains": {"client": "runner", "fun": "cache.grains", "tgt": "minion-1"},
    "wheel-arg": {"client": "wheel", "fun": "key.finger", "arg": ["minion-1"]},
    "wheel-empty": {"client": "wheel", "fun": "key.list_all", "arg": []},
    "wheel-empty-kwarg": {"client": "wheel", "fun": "key.list_all", "arg": [], "kwarg": {}},
    "wheel-unknown": {"client": "wheel", "fun": "no.such"},
    "wheel-bad-args": {"client": "wheel", "fun": "key.finger"},
    "wheel-async": {"client": "wheel_async", "fun": "key.list_all"},
    "ssh": {"client": "ssh", "tgt": "*", "fun": "test.ping"},
    "destroy": {**PING, "client": "destroy"},
    "wheel-no-fun": {"client": "wheel"},
    "raw-shell": {**PING, "client": "ssh", "raw_shell": True},
    "listen": {**PING, "listen": True},
}
LOW_CHUNKS = ["ping", "args", "async", "batch", "subset", "runner", "runner-async", "wheel"]
"""Chunks sent also as somebody who may run only test.ping."""
FORM_BODIES = {
    "form": "client=local&tgt=*&fun=test.ping",
    "form-0.8.4": "fun=test.ping&arg&client=local&tgt=*",
    "form-arg": "client=local&tgt=*&fun=test.arg&arg=1&arg=a%%3Db&arg=%%5B1%%2C2%%5D",
    "form-one-arg": "client=local&tgt=*&fun=test.echo&arg=12",
    "form-kwarg": "client=local&tgt=*&fun=test.arg&arg=1234&kwarg=%%7B%%27a%%27%%3A+%%27b%%27%%7D",
    "form-plus": "client=local&tgt=*&fun=test.echo&arg=a+b%%20c",
    "form-unicode": "client=local&tgt=*&fun=test.echo&arg=%%C3%%BC",
    "form-brackets": "client=local&tgt=*&fun=test.arg&arg[]=one&arg[]=two",
    "form-runner": "client=runner&fun=test.arg&arg=a&arg=k%%3Dv",
    "form-twice": "client=local&client=local&tgt=*&fun=test.ping",
}
OTHER_BODIES: dict[str, tuple[str | None, str]] = {
    "text": ("text/plain", json.dumps([PING])),
    "text-charset": ("text/plain;charset=UTF-8", json.dumps(PING)),
    "json-charset": (f"{JSON}; charset=utf-8", json.dumps([PING])),
    "json-case": ("Application/JSON", json.dumps([PING])),
    "json-as-form": (FORM, json.dumps([PING])),
    "yaml": (YAML, "- client: local\n  tgt: '*'\n  fun: test.ping\n"),
    "yaml-dict": ("text/yaml", "client: local\ntgt: '*'\nfun: test.arg\narg: [1, yes, 2.5]\n"),
    "yaml-json": (YAML, json.dumps([PING])),
    "unlabelled": (None, json.dumps([PING])),
    "xml": ("application/xml", "<xml/>"),
    "two": (JSON, json.dumps([PING, {**PING, "tgt": "minion-1"}])),
    "mixed": (JSON, json.dumps([PING, CHUNKS["runner"], CHUNKS["wheel"]])),
    "empty-list": (JSON, "[]"),
    "second-wrong": (JSON, json.dumps([PING, {"client": "none"}])),
    "token-in-chunk": (JSON, json.dumps([{**PING, "token": "0" * 64}])),
    "duplicate-keys": (JSON, '{"client": "local", "tgt": "x", "tgt": "*", "fun": "test.ping"}'),
}

LOGINS: dict[str, tuple[str, str]] = {
    "form": (FORM, urlencode(CREDENTIALS, safe="%")),
    "json": (JSON, json.dumps(CREDENTIALS)),
    "list": (JSON, json.dumps([CREDENTIALS])),
    "yaml": (YAML, json.dumps(CREDENTIALS)),
    "text": ("text/plain;charset=UTF-8", json.dumps(CREDENTIALS)),
    "expire": (JSON, json.dumps({**CREDENTIALS, "token_expire": 600})),
    "low": (JSON, json.dumps({**CREDENTIALS, "username": "low", "password": "%LOW_PASSWORD%"})),
    "scoped": (
        JSON,
        json.dumps({**CREDENTIALS, "username": "scoped", "password": "%SCOPED_PASSWORD%"}),
    ),
    "extra": (JSON, json.dumps({**CREDENTIALS, "client": "local", "colour": "red"})),
    "wrong": (JSON, json.dumps({**CREDENTIALS, "password": "wrong"})),
    "unknown-eauth": (JSON, json.dumps({**CREDENTIALS, "eauth": "astrology"})),
    "no-password": (JSON, json.dumps({"username": "%USER%", "eauth": "file"})),
    "no-username": (JSON, json.dumps({"password": "%PASSWORD%", "eauth": "file"})),
    "no-eauth": (JSON, json.dumps({"username": "%USER%", "password": "%PASSWORD%"})),
}

MALFORMED_URLS = ["/", "/run", "/minions", "/login", "/token", "/hook", "/keys"]
MALFORMED_TYPES = [JSON, FORM, YAML, "text/plain", "text/yaml", None, "application/octet-stream"]
MALFORMED_BODIES = [
    b"",
    b"{",
    b"[]",
    b"{}",
    b"null",
    b"true",
    b"1",
    b'"x"',
    b'["x"]',
    b"[[]]",
    b"[null]",
    b"[{}]",
    b'{"client": 1}',
    b'{"client": null, "fun": [], "tgt": {}}',
    b'{"client": "local"}',
    b'[{"client": "local", "tgt": "*", "fun": "test.ping", "eauth": ""}]',
    b'[{"client": "local", "tgt": "*", "fun": "test.ping", "token": ""}]',
    b'[{"client": "local", "tgt": "*", "fun": "test.ping", "token": null}]',
    b'[{"client": "local", "tgt": "*", "fun": "test.ping", "token": []}]',
    b'[{"client": "local", "tgt": "*", "fun": "test.ping", "token": "0x1"}]',
    b"\xff\xfe\x00",
    b"%ZZ=1&%",
    b"a: b: c",
    b"- !!python/object/apply:os.getcwd []",
    b"&a [*a]",
    b"client=&&==&tgt",
    b"[" * 60 + b"]" * 60,
    b"NaN",
    b"\x00",
    b"--boundary\r\n\r\n",
]
MALFORMED_COUNT = 320

RAW: dict[str, bytes] = {
    "lower-case-method": b"get / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "unknown-method": b"FROBNICATE / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "trace": b"TRACE / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "no-host": b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
    "http-1.0": b"GET / HTTP/1.0\r\n\r\n",
    "http-2.0": b"GET / HTTP/2.0\r\nHost: x\r\nConnection: close\r\n\r\n",
    "no-version": b"GET /\r\n\r\n",
    "absolute": b"GET http://x/login HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "asterisk": b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "no-slash": b"GET login HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "no-colon": b"GET / HTTP/1.1\r\nHost: x\r\nnonsense\r\nConnection: close\r\n\r\n",
    "bad-length": b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n"
    b"Connection: close\r\n\r\n",
    "negative-length": b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n"
    b"Connection: close\r\n\r\n",
    "chunked": b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "unknown-coding": b"POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n"
    b"Connection: close\r\n\r\n",
    "large-header": b"GET / HTTP/1.1\r\nHost: x\r\nX-Large: " + b"x" * 30_000 + b"\r\n"
    b"Connection: close\r\n\r\n",
    "latin-1-header": b"GET / HTTP/1.1\r\nHost: x\r\nX-Name: \xe9\xff\r\nConnection: close\r\n\r\n",
    "bad-cookie": b"GET /minions HTTP/1.1\r\nHost: x\r\nCookie: ;;=;\x01=a;session_id\r\n"
    b"Connection: close\r\n\r\n",
}


def corpus() -> list[Request]:
    """Return all requests; the same ones each time."""
    groups = (
        commands(),  # first: some of them take long
        anonymous(),
        signed_in(),
        accepts(),
        tokens(),
        logins(),
        endings(),
        cross_origin(),
        malformed(),
        raw(),
    )
    requests = list(itertools.chain.from_iterable(groups))
    twice = [name for name, count in Counter(r.name for r in requests).items() if count > 1]
    assert [] == twice
    return requests


def anonymous() -> Iterator[Request]:
    """Every URL with every method, without a session."""
    for path, method in itertools.product(URLS, METHODS):
        yield request(f"anonymous {method} {path}", method, path)
    for path in OTHER_PATHS:
        yield request(f"anonymous GET {path[:40]}", "GET", path.replace("%%", "%"))


def signed_in() -> Iterator[Request]:
    """Every URL with a session, by header and by cookie."""
    for path in [*URLS, *OTHER_PATHS]:
        sent = path.replace("%%", "%")
        order = 1 if path.startswith("/jobs") else 0
        yield request(f"header GET {path[:40]}", "GET", sent, TOKEN, order=order)
    for path in URLS:
        order = 1 if path.startswith("/jobs") else 0
        yield request(f"cookie GET {path}", "GET", path, COOKIE, order=order)
        if path not in {"/logout", "/minions"}:
            for method in ("HEAD", "PUT", "DELETE", "OPTIONS"):
                yield request(f"header {method} {path}", method, path, TOKEN, order=order)
    yield request(
        "header and cookie", "GET", "/keys", {**TOKEN, "Cookie": "session_id=" + "0" * 40}
    )
    yield request("salt token", "GET", "/keys", {"X-Auth-Token": "%SALT_TOKEN%"})
    yield request("events salt token", "GET", "/events", {"X-Auth-Token": "%SALT_TOKEN%"})
    for query in ("token=%TOKEN%", "salt_token=%SALT_TOKEN%", "foo=bar"):
        name = query.partition("=")[0]
        yield request(f"events ?{name}", "GET", f"/events?{query}")
        yield request(f"events ?{name} and token", "GET", f"/events?{query}", TOKEN)
    yield request("events path", "GET", "/events/%TOKEN%")
    yield request("null with GET", "GET", "/keys", {**TOKEN, "Content-Type": JSON}, "null")


def accepts() -> Iterator[Request]:
    """Every Accept on answers of every kind."""
    for accept in ACCEPTS:
        header = {"Accept": accept}
        yield request(f"accept {accept} welcome", "GET", "/", header)
        yield request(f"accept {accept} unauthorized", "GET", "/minions", header)
        yield request(f"accept {accept} missing", "GET", "/nope", header)
        yield json_request(f"accept {accept} command", "/", [PING], {**TOKEN, **header})
        yield json_request(f"accept {accept} refused", "/", [{}], {**TOKEN, **header})


def tokens() -> Iterator[Request]:
    """Tokens that are none, everywhere that a token may be."""
    for token in ["", *WRONG_TOKENS]:
        name = f"{token[:12]} ({len(token)})"
        yield request(f"wrong token {name!r} GET", "GET", "/minions", {"X-Auth-Token": token})
        yield json_request(f"wrong token {name!r} POST", "/", [PING], {"X-Auth-Token": token})
        yield request(
            f"wrong cookie {name!r} GET", "GET", "/keys", {"Cookie": f"session_id={token}"}
        )
        yield json_request(f"wrong token {name!r} in chunk", "/run", [{**PING, "token": token}])
        yield request(f"wrong token {name!r} events", "GET", "/events", {"X-Auth-Token": token})
    value: Any
    for value in (None, True, 1, [], {}):
        yield json_request(f"token {value!r} in chunk", "/run", [{**PING, "token": value}])
    yield json_request("session token in chunk", "/run", [{**PING, "token": "%TOKEN%"}])
    yield json_request("session token for run", "/run", [PING], TOKEN)


def commands() -> Iterator[Request]:
    """Every client interface, every body type."""
    for name, chunk in CHUNKS.items():
        yield json_request(f"command {name}", "/", [chunk], TOKEN)
    for name in ("ping", "async", "runner", "wheel", "no-fun", "no-match", "bad-client"):
        chunk = CHUNKS[name]
        yield json_request(f"run {name} salt token", "/run", [{**chunk, "token": "%SALT_TOKEN%"}])
        yield json_request(f"run {name} anonymous", "/run", [chunk])
        yield json_request(f"minions {name}", "/minions", chunk, TOKEN)
    for name in ("ping", "batch", "subset", "runner-async", "wheel"):
        yield json_request(f"run {name} credentials", "/run", {**CHUNKS[name], **CREDENTIALS})
    for name in LOW_CHUNKS:
        yield json_request(f"low {name}", "/", CHUNKS[name], {"X-Auth-Token": "%LOW_TOKEN%"})
    yield json_request("run wrong password", "/run", [{**PING, **CREDENTIALS, "password": "wrong"}])
    for name, text in FORM_BODIES.items():
        headers = {**TOKEN, "Content-Type": FORM}
        yield request(f"body {name}", "POST", "/", headers, text.replace("%%", "%"))
    for name, (media_type, text) in OTHER_BODIES.items():
        yield request(f"body {name}", "POST", "/", {**TOKEN, "Content-Type": media_type}, text)
    yield request("body none", "POST", "/", TOKEN)
    yield request("body empty", "POST", "/", {**TOKEN, "Content-Type": JSON}, "")
    yield request(
        "minions form",
        "POST",
        "/minions/",
        {**COOKIE, "Content-Type": FORM},
        "tgt=*&fun=test.ping",
    )
    for name, headers in {"token": TOKEN, "cookie": COOKIE}.items():
        for path in ("/hook", "/hook/", "/hook/a/b", "/hook/a/b/?q=1"):
            yield request(
                f"hook {path} {name}",
                "POST",
                path,
                {**headers, "Content-Type": FORM},
                "foo=Foo&bar=Bar!",
            )


def logins() -> Iterator[Request]:
    """All ways to send credentials."""
    for name, (media_type, body) in LOGINS.items():
        yield request(f"login {name}", "POST", "/login", {"Content-Type": media_type}, body)
    for name in ("form", "json", "list", "low", "wrong", "no-password", "no-eauth"):
        media_type, body = LOGINS[name]
        yield request(f"token {name}", "POST", "/token", {"Content-Type": media_type}, body)
    for accept in (YAML, "text/html"):
        headers = {"Accept": accept, "Content-Type": JSON}
        yield request(f"login accept {accept}", "POST", "/login", headers, LOGINS["json"][1])


def endings() -> Iterator[Request]:
    """Requests that change something; each with a session, or a key, of its own."""
    fresh = {"X-Auth-Token": "%FRESH%"}
    yield request("logout", "POST", "/logout", fresh)
    yield request("logout cookie", "POST", "/logout", {"Cookie": "session_id=%FRESH%"})
    yield request("logout null", "POST", "/logout", {**fresh, "Content-Type": JSON}, "null")
    yield request("logout anonymous", "POST", "/logout")
    yield request("logout GET", "GET", "/logout", fresh)
    keys = {**CREDENTIALS, "mid": "made-%SIDE%"}
    form = {"Content-Type": FORM}
    yield request("keys form", "POST", "/keys", form, urlencode(keys, safe="%"), order=2)
    yield request("keys again", "POST", "/keys", form, urlencode(keys, safe="%"), order=3)
    yield request(
        "keys token",
        "POST",
        "/keys",
        {"Content-Type": JSON},
        json.dumps({"mid": "token-%SIDE%", "token": "%SALT_TOKEN%", "keysize": 2048}),
        order=2,
    )
    sized = {**keys, "mid": "sized-%SIDE%", "keysize": 2048}
    yield request("keys size", "POST", "/keys", form, urlencode(sized, safe="%"), order=2)
    wrong = {**keys, "mid": "wrong-%SIDE%", "password": "wrong"}
    yield request("keys wrong", "POST", "/keys", form, urlencode(wrong, safe="%"), order=2)
    no_mid = urlencode(CREDENTIALS, safe="%")
    yield request("keys no mid", "POST", "/keys", form, no_mid, order=2)
    session = "mid=session-%SIDE%"
    yield request("keys session", "POST", "/keys", {**TOKEN, **form}, session, order=2)


def cross_origin() -> Iterator[Request]:
    """What browsers send for pages of other origins."""
    origin = {"Origin": "http://other.example"}
    preflight = {
        **origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-auth-token",
    }
    for path in ("/", "/login", "/run", "/minions", "/hook", "/stats"):
        yield request(f"preflight {path}", "OPTIONS", path, preflight)
    yield request(
        "preflight DELETE", "OPTIONS", "/run", {**preflight, "Access-Control-Request-Method": "PUT"}
    )
    yield request("origin GET", "GET", "/", origin)
    yield json_request("origin command", "/", [PING], {**TOKEN, **origin})
    yield request("origin refused", "GET", "/minions", origin)


def malformed() -> Iterator[Request]:
    """A fixed choice of all that comes of putting odd bodies under odd labels."""
    everything = list(itertools.product(MALFORMED_URLS, MALFORMED_TYPES, MALFORMED_BODIES))
    chosen = random.Random(84).sample(everything, MALFORMED_COUNT)  # noqa: S311
    for path, media_type, body in chosen:
        number = MALFORMED_BODIES.index(body)
        yield request(
            f"malformed {path} {media_type} {number}",
            "POST",
            path,
            {**TOKEN, "Content-Type": media_type},
            body,
        )


def raw() -> Iterator[Request]:
    """Requests that are hardly HTTP."""
    for name, data in RAW.items():
        method = data.split(b" ", 1)[0].decode()
        yield Request(f"raw {name}", method=method, raw=data)
