"""Ending a session at its identity provider, too (OpenID Connect RP-Initiated Logout)."""

import base64
import json
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.issuer import CLIENT
from tests.netapi.sso.door import Doors
from tests.netapi.sso.test_browser_logins import begin, session_of, status_of
from tests.oidc_master import LOGOUT_REDIRECT_URL
from tests.waiting import eventually, scaled
from tests.wire import Answer

BACK = "/v1/login/oidc/logged-out"


def logged_in(doors: Doors, **claims: Any) -> str:
    """Return the session's cookie of a browser that has logged in."""
    browser = begin(doors)
    return session_of(browser.comes_back(doors.master.issuer.approve(browser.url, **claims)))


def end(doors: Doors, cookie: str, **headers: str) -> Answer:
    """End a session, there too."""
    return doors.send("rest_asgi", "POST", "/v1/logout", headers={"Cookie": cookie, **headers})


def ended(doors: Doors, cookie: str) -> tuple[str, dict[str, str], str]:
    """End a session; return where the browser is sent, with what, and the cookie it keeps."""
    answer = end(doors, cookie)
    assert 200 == answer.status, answer
    url = urlsplit(answer.value()["provider_url"])
    kept = [text for name, text in answer.headers if name.lower() == "set-cookie"]
    cookie = next(text for text in kept if text.startswith("saltapi_logout="))
    asked = {name: values[0] for name, values in parse_qs(url.query).items()}
    return f"{url.scheme}://{url.netloc}{url.path}", asked, cookie


def come_back(doors: Doors, cookie: str, **query: str) -> Answer:
    """Come back from the provider."""
    headers = {"Cookie": cookie.partition(";")[0]}
    return doors.send("rest_asgi", "GET", f"{BACK}?{urlencode(query)}", headers=headers)


def test_logout(doors: Doors) -> None:
    """The session is over here; the browser is told where it ends there, and comes back."""
    cookie = logged_in(doors)
    answer = doors.send("rest_asgi", "GET", "/v1/whoami", headers={"Cookie": cookie})
    assert answer.value()["provider_logout"]
    url, asked, kept = ended(doors, cookie)

    eventually(lambda: status_of(doors, cookie) == 401, scaled(5))
    assert f"{doors.master.issuer.url}/end_session" == url
    assert (CLIENT, LOGOUT_REDIRECT_URL) == (asked["client_id"], asked["post_logout_redirect_uri"])
    assert "HttpOnly" in kept
    assert asked["state"] not in kept
    back = come_back(doors, kept, state=asked["state"])
    assert (303, "/") == (back.status, back.header("Location"))
    assert "Max-Age=0" in str(back.header("Set-Cookie"))


def test_whose_session(doors: Doors) -> None:
    """The provider is told whose session ends there, by the ID token that it has given."""
    cookie = logged_in(doors, sub="bob", sid="s-77")
    _, asked, _ = ended(doors, cookie)
    middle = asked["id_token_hint"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))

    assert ("bob", "s-77", CLIENT) == (claims["sub"], claims["sid"], claims["aud"])


def test_long_token(doors: Doors) -> None:
    """An ID token that is too long for a URL is left out; the provider asks its user."""
    cookie = logged_in(doors, filler="x" * 4_000)
    _, asked, _ = ended(doors, cookie)

    assert "id_token_hint" not in asked
    assert CLIENT == asked["client_id"]


@pytest.mark.parametrize("kind", ["password", "bearer", "again"])
def test_nothing_to_end_there(doors: Doors, kind: str) -> None:
    """A session that a browser has not brought from there ends here alone."""
    if kind == "password":
        session = doors.login()
        assert not doors.v1("GET", "/whoami", session).value()["provider_logout"]
        answer = doors.v1("POST", "/logout", session)
    elif kind == "bearer":
        headers = {"Authorization": f"Bearer {doors.master.issuer.token(sub='bob')}"}
        answer = doors.send("rest_asgi", "POST", "/v1/logout", headers=headers)
    else:
        cookie = logged_in(doors)
        ended(doors, cookie)
        eventually(lambda: status_of(doors, cookie) == 401, scaled(5))
        assert 401 == end(doors, cookie).status
        return

    assert (200, {"provider_url": None}) == (answer.status, answer.value())


def test_provider_away(doors: Doors) -> None:
    """A session ends here also where its provider cannot be asked, with what is known of it."""
    cookie = logged_in(doors)
    doors.master.issuer.is_away = True
    try:
        assert 200 == end(doors, cookie).status
    finally:
        doors.master.issuer.is_away = False
    eventually(lambda: status_of(doors, cookie) == 401, scaled(5))


@pytest.mark.parametrize("header", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://x.y"}])
def test_page_of_another_origin(doors: Doors, header: dict[str, str]) -> None:
    """A page elsewhere logs nobody out."""
    cookie = logged_in(doors)

    assert 403 == end(doors, cookie, **header).status
    assert 200 == status_of(doors, cookie)


def test_another_browser(doors: Doors) -> None:
    """Who is sent back without having logged out in this browser is told so, and goes nowhere."""
    cookie = logged_in(doors)
    _, asked, kept = ended(doors, cookie)

    for brought, state in ((kept, "x"), (kept, ""), ("", asked["state"]), ("saltapi_logout=", "")):
        answer = come_back(doors, brought, state=state)
        assert 400 == answer.status, answer
        assert answer.header("Location") is None
    assert 400 == come_back(doors, kept).status
    assert 400 == come_back(doors, kept, state="x" * 5_000).status
    back = come_back(doors, kept, state=asked["state"], next="//evil.example.com")
    assert back.header("Location") in {None, "/"}


def test_token_for_machines(doors: Doors) -> None:
    """A token for machines does not log out here, either."""
    token = doors.make(doors.login())

    assert 400 == doors.v1("POST", "/logout", token).status
    assert 200 == doors.v1("GET", "/whoami", token).status


def test_kept_by_hash(doors: Doors) -> None:
    """What is kept of an ID token is of no use without the session's."""
    logged_in(doors, sub="bob", marker="m" * 40)
    store = doors.master.directory / "master" / "cache" / "saltapi" / "tokens.sqlite"
    files = [path.read_bytes() for path in store.parent.glob("tokens.sqlite*")]

    assert not any(b"eyJ" in content for content in files)
