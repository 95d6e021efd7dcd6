"""The requests that change nothing, so that they may go to a master in use."""

import itertools
from collections.abc import Iterator
from typing import Any

from saltapi.check.against.request import (
    ACCEPTS,
    COOKIE,
    TOKEN,
    WRONG_TOKENS,
    Request,
    json_request,
    request,
)

METHODS = ["GET", "HEAD", "OPTIONS"]
SHARED_URLS = [
    "/",
    "/login",
    "/minions",
    "/minions/%MINION%",
    "/jobs",
    "/keys",
    "/run",
    "/events",
    "/hook",
    "/nope",
]
CHERRYPY_URLS = [
    *SHARED_URLS,
    "/logout",
    "/token",
    "/keys/%MINION%",
    "/hook/some/tag",
    "/app",
    "/static/none",
    "/favicon.ico",
]
URLS = {"rest_cherrypy": CHERRYPY_URLS, "rest_tornado": SHARED_URLS}
"""URLs of each of Salt's modules that are asked for."""
SIGNED_IN = {
    "rest_cherrypy": [
        *("/", "/login", "/minions/%MINION%", "/minions/nobody", "/jobs", "/keys"),
        *("/keys/%MINION%", "/keys/nobody", "/run", "/events", "/hook", "/nope"),
        *("/jobs/20001122334455667788", "/jobs/nojid"),
    ],
    "rest_tornado": ["/", "/login", "/minions/%MINION%", "/jobs", "/run", "/events", "/nope"],
}
"""URLs that are asked for with a token; not `/minions`, which asks every minion for its grains."""
NOT_IN_TORNADO = {"bad-type", "list-as-glob", "full", "timeout", "timeout-text", "compound-funs"}
"""Chunks of the corpus that say nothing about rest_tornado."""


def chunks(tgt: str, minion: str) -> dict[str, dict[str, Any]]:
    """Return commands that change nothing, by name: for *tgt*, a glob, or the one *minion*."""
    ping = {"client": "local", "tgt": tgt, "fun": "test.ping"}
    runner = {"client": "runner", "fun": "test.arg"}
    return {
        "ping": ping,
        "one": {**ping, "tgt": minion},
        "no-nodegroup": {**ping, "tgt": "none", "tgt_type": "nodegroup"},
        "no-match": {**ping, "tgt": "nobody"},
        "bad-type": {**ping, "tgt_type": "zodiac"},
        "list-as-glob": {**ping, "tgt": [minion], "timeout": 2, "gather_job_timeout": 2},
        "args": {**ping, "fun": "test.arg", "arg": ["a", 1, {"b": [None, 1.5, True]}]},
        "arg-scalar": {**ping, "fun": "test.echo", "arg": "text"},
        "arg-kwarg": {**ping, "fun": "test.arg", "arg": ["a=1", "b"], "kwarg": {"c": "d"}},
        "kwarg": {**ping, "fun": "test.kwarg", "kwarg": {"a": 1, "ü": "é"}},
        "bad-args": {**ping, "fun": "test.echo", "arg": ["a", "b", "c"]},
        "raises": {**ping, "fun": "test.exception"},
        "unknown-fun": {**ping, "fun": "no.such"},
        "unicode": {**ping, "fun": "test.echo", "arg": ["grüße 😀 \u2028"]},
        "html": {**ping, "fun": "test.echo", "arg": ["</script><b>&"]},
        "false": {**ping, "fun": "test.false"},
        "none": {**ping, "fun": "test.echo", "arg": [None]},
        "big-number": {**ping, "fun": "test.echo", "arg": [12345678901234567]},
        "full": {**ping, "full_return": True},
        "timeout": {**ping, "timeout": 30},
        "timeout-text": {**ping, "timeout": "30"},
        "compound-funs": {**ping, "fun": ["test.ping", "test.echo"], "arg": [[], ["x"]]},
        "metadata": {**ping, "metadata": {"who": "me"}},
        "extra-key": {**ping, "color": "red"},
        "async": {**ping, "client": "local_async"},
        "async-none": {**ping, "client": "local_async", "tgt": "nobody"},
        "runner": {**runner, "arg": ["a", 1], "kwarg": {"k": "v"}},
        "runner-keys": {**runner, "k": "v", "n": 1},
        "runner-text": {**runner, "arg": ["a", "k=v"]},
        "runner-full": {**runner, "arg": ["a"], "full_return": True},
        "runner-bad-args": {"client": "runner", "fun": "jobs.list_job"},
        "runner-async": {"client": "runner_async", "fun": "test.arg", "arg": ["a"]},
        "wheel": {"client": "wheel", "fun": "key.list_all"},
        "wheel-match": {"client": "wheel", "fun": "key.finger", "match": minion},
        "no-client": {"tgt": tgt, "fun": "test.ping"},
        "bad-client": {**ping, "client": "carrier-pigeon"},
        "no-fun": {"client": "local", "tgt": tgt},
        "no-tgt": {"client": "local", "fun": "test.ping"},
        "runner-no-fun": {"client": "runner"},
    }


def corpus(module: str, tgt: str, minion: str) -> list[Request]:
    """
    Return the requests for one of Salt's modules.

    Only one of them goes to all of *tgt*; the others go to *minion* alone.
    """
    groups = (
        _commands(module, tgt, minion),
        _urls(module),
        _accepts(minion),
        _tokens(minion),
        _cross_origin(),
    )
    return list(itertools.chain.from_iterable(groups))


def _commands(module: str, tgt: str, minion: str) -> Iterator[Request]:
    left_out = NOT_IN_TORNADO if module == "rest_tornado" else set()
    for name, chunk in chunks(minion, minion).items():
        if name not in left_out:
            yield json_request(f"command {name}", "/", [chunk], TOKEN)
    everybody = chunks(tgt, minion)["ping"]
    with_token = {**everybody, "tgt": minion, "token": "%SALT_TOKEN%"}
    yield json_request("command everybody", "/", [everybody], TOKEN)
    yield json_request("run ping salt token", "/run", [with_token])
    yield json_request("run ping anonymous", "/run", [{**everybody, "tgt": minion}])


def _urls(module: str) -> Iterator[Request]:
    for path, method in itertools.product(URLS[module], METHODS):
        yield request(f"anonymous {method} {path}", method, path)
    for path in SIGNED_IN[module]:
        # The job cache is looked at when no command of ours changes it any more.
        order = 1 if path.startswith("/jobs") else 0
        name = "header" if module == "rest_cherrypy" else "token"
        yield request(f"{name} GET {path}", "GET", path, TOKEN, order=order)
        yield request(f"cookie GET {path}", "GET", path, COOKIE, order=order)


def _accepts(minion: str) -> Iterator[Request]:
    ping = chunks(minion, minion)["ping"]
    for accept in ACCEPTS:
        header = {"Accept": accept}
        yield request(f"accept {accept} welcome", "GET", "/", header)
        yield json_request(f"accept {accept} command", "/", [ping], {**TOKEN, **header})


def _tokens(minion: str) -> Iterator[Request]:
    ping = chunks(minion, minion)["ping"]
    for token in WRONG_TOKENS:
        name = f"{token[:12]} ({len(token)})"
        yield request(f"wrong token {name!r} GET", "GET", "/minions", {"X-Auth-Token": token})
        yield json_request(f"wrong token {name!r} in chunk", "/run", [{**ping, "token": token}])


def _cross_origin() -> Iterator[Request]:
    origin = {"Origin": "http://other.example"}
    preflight = {
        **origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-auth-token",
    }
    for path in ("/", "/login", "/run", "/hook"):
        yield request(f"preflight {path}", "OPTIONS", path, preflight)
    yield request("origin GET", "GET", "/", origin)
