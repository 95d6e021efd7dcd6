"""The page between a login at a provider and SaltGUI."""

import html
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.apis import OURS, ApiServer
from tests.oidc_master import OidcMaster
from tests.wire import Answer

BEGIN, CALLBACK = "/v1/login/oidc", "/v1/login/oidc/callback"
PAGE = "<!doctype html><title>SaltGUI</title>"
FRIEND = "https://friend.example.com"


@pytest.fixture(scope="module")
def gui(oidc_master: OidcMaster) -> Iterator[ApiServer]:
    """The module with a single-page app, as SaltGUI's guide sets it up."""
    home = oidc_master.directory / "saltgui"
    (home / "static").mkdir(parents=True)
    (home / "index.html").write_text(PAGE)
    section = {"app": str(home / "index.html"), "static": str(home / "static")}
    options = {"cors_origin": [FRIEND], "root_prefix": "/salt", "trusted_proxies": ["127.0.0.1"]}
    with ApiServer(oidc_master, OURS, {**section, **options}, module="rest_asgi") as server:
        yield server


def land(
    gui: ApiServer,
    query: dict[str, str],
    headers: dict[str, str] | None = None,
    scheme: str = "http",
    **claims: Any,
) -> Answer:
    """Log in, and return the answer at the end; *headers* are those of the last request."""
    assert isinstance(gui.master, OidcMaster)
    proxy = {"X-Forwarded-Proto": scheme}
    begun = gui.send("GET", f"/salt{BEGIN}?{urlencode(query)}", headers=proxy)
    assert 303 == begun.status, begun
    cookie = str(begun.header("Set-Cookie")).partition(";")[0]
    brings = gui.master.issuer.approve(str(begun.header("Location")), **claims)
    sent = {"Cookie": cookie, **proxy, **(headers or {})}
    return gui.send("GET", f"/salt{CALLBACK}?{urlencode(brings)}", headers=sent)


def data_of(answer: Answer) -> dict[str, str]:
    """Return what the page gives its script."""
    found = re.findall(r'data-([a-z]+)="([^"]*)"', answer.body.decode())
    return {name: html.unescape(text) for name, text in found}


def test_session(gui: ApiServer) -> None:
    """The page has the session as `/login` answers it, with the token that the cookie has."""
    answer = land(gui, {"app": "saltgui"}, groups=["ops"])
    found = data_of(answer)
    session = json.loads(found["session"])

    assert 200 == answer.status, answer
    assert {"token", "start", "expire", "user", "eauth", "perms"} == session.keys()
    assert ("alice", "oidc") == (session["user"], session["eauth"])
    assert session["perms"]
    cookies = [text for name, text in answer.headers if name.lower() == "set-cookie"]
    assert any(f"session_id={session['token']}" in text for text in cookies)
    assert ("/salt/", "/salt/") == (found["next"], found["root"])
    assert "/salt/static/scripts" == found["saltgui"]
    headers = {"X-Auth-Token": session["token"]}
    assert 200 == gui.send("GET", "/salt/v1/whoami", headers=headers).status


@pytest.mark.parametrize(("scheme", "policy"), [("http", None), ("https", "same-origin")])
def test_opener(gui: ApiServer, scheme: str, policy: str | None) -> None:
    """Its window is its own where there is TLS; elsewhere browsers complain of the wish."""
    answer = land(gui, {"app": "saltgui"}, scheme=scheme, groups=["ops"])

    assert (200, policy) == (answer.status, answer.header("Cross-Origin-Opener-Policy"))


def test_nobody_else_gets_it(gui: ApiServer) -> None:
    """The page is stored nowhere, framed by nobody, and runs no script but ours."""
    answer = land(gui, {"app": "saltgui"})
    policy = str(answer.header("Content-Security-Policy"))

    assert "no-store" == answer.header("Cache-Control")
    assert "DENY" == answer.header("X-Frame-Options")
    assert "no-referrer" == answer.header("Referrer-Policy")
    assert "same-origin" == answer.header("Cross-Origin-Resource-Policy")
    assert answer.header("Access-Control-Allow-Origin") is None
    for part in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"):
        assert part in policy
    assert not {"unsafe-inline", "unsafe-eval", "*"} & set(re.findall(r"[\w*-]+", policy))
    assert 1 == answer.body.count(b"<script")


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Dest": "empty"},
        {"Sec-Fetch-Dest": "iframe"},
        {"Sec-Fetch-Dest": "script"},
        {"Origin": FRIEND},
        {"Origin": "null"},
    ],
    ids=str,
)
def test_no_window(gui: ApiServer, headers: dict[str, str]) -> None:
    """What is no window of the browser's is sent on, and gets no token to read."""
    answer = land(gui, {"app": "saltgui"}, headers)

    assert (303, "/salt/", b"") == (answer.status, answer.header("Location"), answer.body)


def test_not_asked_for(gui: ApiServer) -> None:
    """Without `app=saltgui` a login ends with the cookie alone."""
    answer = land(gui, {"next": "/salt/docs"})

    assert (303, "/salt/docs", b"") == (answer.status, answer.header("Location"), answer.body)


@pytest.mark.parametrize("where", ["//evil.example.com", "/\\evil.example.com", "javascript:x"])
def test_open_redirect(gui: ApiServer, where: str) -> None:
    """It leads to this server alone."""
    query = urlencode({"app": "saltgui", "next": where})

    assert 400 == gui.send("GET", f"/salt{BEGIN}?{query}").status


def test_what_is_put_in(gui: ApiServer) -> None:
    """Names and addresses are text in the page, whatever is in them."""
    where = "/salt/?x=\"><script>alert(1)</script>&y='{session}"
    name = "<img/src=x>\"'"
    answer = land(gui, {"app": "saltgui", "next": where}, sub=name)

    assert 1 == answer.body.count(b"<script")
    assert b"<img" not in answer.body
    assert (where, name) == (
        data_of(answer)["next"],
        json.loads(data_of(answer)["session"])["user"],
    )


def test_another_app(gui: ApiServer) -> None:
    """No other page can be asked for."""
    assert 400 == gui.send("GET", f"/salt{BEGIN}?app=other").status


def test_script(gui: ApiServer) -> None:
    """The script of the page is to be had, and has nothing of anybody."""
    answer = gui.send("GET", "/salt/v1/login/oidc/landing.js", headers={"Accept": "*/*"})

    assert (200, "text/javascript") == (answer.status, answer.media_type)
