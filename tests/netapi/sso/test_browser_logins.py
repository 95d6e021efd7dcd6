"""Logging in by a browser at an identity provider, and out again."""

import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.issuer import CLIENT
from tests.netapi.sso.door import Doors
from tests.oidc_master import REDIRECT_URL
from tests.waiting import eventually, scaled
from tests.wire import Answer

BEGIN = "/v1/login/oidc"
CALLBACK = "/v1/login/oidc/callback"
LOGOUT = "http://schemas.openid.net/event/backchannel-logout"


@dataclass
class Browser:
    """A browser that has begun to log in: where it was sent, and the cookie that it keeps."""

    doors: Doors
    url: str
    cookie: str

    @property
    def asked(self) -> dict[str, str]:
        """What the provider is asked for."""
        return {name: values[0] for name, values in parse_qs(urlsplit(self.url).query).items()}

    def comes_back(self, brings: dict[str, str], *, cookie: str | None = None) -> Answer:
        """Bring the provider's answer."""
        headers = {"Cookie": self.cookie if cookie is None else cookie}
        return self.doors.send(
            "rest_asgi", "GET", f"{CALLBACK}?{urlencode(brings)}", headers=headers
        )


def begin(doors: Doors, **query: str) -> Browser:
    """Begin to log in."""
    answer = doors.send("rest_asgi", "GET", f"{BEGIN}?{urlencode(query)}")
    assert 303 == answer.status, answer
    cookie = str(answer.header("Set-Cookie")).partition(";")[0]
    return Browser(doors, str(answer.header("Location")), cookie)


def session_of(answer: Answer) -> str:
    """Return the session's cookie."""
    cookies = [text for name, text in answer.headers if name.lower() == "set-cookie"]
    return next(text for text in cookies if text.startswith("session_id=")).partition(";")[0]


def status_of(doors: Doors, cookie: str) -> int:
    """Return what somebody with a session's cookie gets."""
    return doors.send("rest_asgi", "GET", "/v1/whoami", headers={"Cookie": cookie}).status


def test_login(doors: Doors) -> None:
    """Who logs in at the provider has a session, with the groups that the provider names."""
    browser = begin(doors, next="/docs?x=1")
    back = browser.comes_back(doors.master.issuer.approve(browser.url, groups=["ops"]))

    assert (303, "/docs?x=1") == (back.status, back.header("Location"))
    cookie = session_of(back)
    headers = {"Cookie": cookie}
    found = doors.send("rest_asgi", "GET", "/v1/whoami", headers=headers).value()
    assert ("alice", "oidc", ["ops"]) == (found["user"], found["eauth"], found["groups"])
    text = next(text for name, text in back.headers if text.startswith("session_id="))
    assert all(part in text for part in ("HttpOnly", "SameSite=Lax"))


def test_what_is_asked(doors: Doors) -> None:
    """The provider is asked for a code, with PKCE, a state and a nonce, and the exact address."""
    one, other = begin(doors), begin(doors)

    assert {
        "response_type": "code",
        "client_id": CLIENT,
        "redirect_uri": REDIRECT_URL,
        "scope": "openid profile email",
        "code_challenge_method": "S256",
    }.items() <= one.asked.items()
    for name in ("state", "nonce", "code_challenge"):
        assert 43 == len(one.asked[name])
        assert one.asked[name] != other.asked[name]
        assert one.asked[name] not in one.cookie


def test_offered(doors: Doors) -> None:
    """It is said at which providers one can log in."""
    found = doors.send("rest_asgi", "GET", "/v1/login").value()["providers"]

    assert [("Example", f"{BEGIN}?provider=0")] == [(each["name"], each["url"]) for each in found]
    assert 404 == doors.send("rest_asgi", "GET", f"{BEGIN}?provider=1").status
    document = doors.send("rest_asgi", "GET", "/openapi.json").value()
    assert BEGIN in document["paths"]  # by which the console knows that it can offer it


def changed(doors: Doors, browser: Browser, **brings: Any) -> dict[str, str]:
    """Return a good answer of the provider, but for these parts."""
    good = doors.master.issuer.approve(browser.url)
    return {name: text for name, text in {**good, **brings}.items() if text is not None}


def another(doors: Doors) -> dict[str, str]:
    """Return the answer to another browser's login."""
    return doors.master.issuer.approve(begin(doors).url)


ATTACKS: dict[str, Any] = {
    "no state": lambda doors, one: changed(doors, one, state=None),
    "a stolen state and another code": lambda doors, one: {
        **another(doors),
        "state": one.asked["state"],
    },
    "another's answer": lambda doors, _: another(doors),
    "a code that is none": lambda doors, one: changed(doors, one, code="x"),
    "no code": lambda doors, one: changed(doors, one, code=None),
    "a long code": lambda doors, one: changed(doors, one, code="x" * 5000),
    "an error": lambda doors, one: changed(doors, one, error="access_denied"),
    "mix-up": lambda doors, one: changed(doors, one, iss="https://evil.example.com"),
    "another nonce": lambda doors, one: doors.master.issuer.approve(one.url, nonce="x"),
    "no nonce": lambda doors, one: doors.master.issuer.approve(one.url, nonce=None),
    "for another client": lambda doors, one: doors.master.issuer.approve(one.url, aud="other"),
    "for the API": lambda doors, one: doors.master.issuer.approve(one.url, aud="salt"),
    "expired": lambda doors, one: doors.master.issuer.approve(one.url, exp=int(time.time()) - 1),
    "of another issuer": lambda doors, one: doors.master.issuer.approve(
        one.url, iss="https://evil.example.com"
    ),
    "nobody": lambda doors, one: doors.master.issuer.approve(one.url, sub="*"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_attack(doors: Doors, name: str) -> None:
    """What the provider has not answered to this browser, now, makes no session."""
    browser = begin(doors)
    answer = browser.comes_back(ATTACKS[name](doors, browser))

    assert answer.status in {400, 401}, answer
    assert b"session_id" not in b"".join(text.encode() for _, text in answer.headers)


def test_another_browser(doors: Doors) -> None:
    """A page that sends somebody to the callback, with a code of its own, logs nobody in."""
    browser = begin(doors)
    brings = doors.master.issuer.approve(browser.url)

    for cookie in ("", "saltapi_login=", begin(doors).cookie, f"{browser.cookie[:-60]}x"):
        assert 401 == browser.comes_back(brings, cookie=cookie).status
    assert 303 == browser.comes_back(brings).status


def test_replayed(doors: Doors) -> None:
    """A code is good once."""
    browser = begin(doors)
    brings = doors.master.issuer.approve(browser.url)

    assert 303 == browser.comes_back(brings).status
    assert 401 == browser.comes_back(brings).status


@pytest.mark.parametrize(
    "where",
    ["//evil.example.com", "/\\evil.example.com", "https://evil.example.com", "docs", "", "/a b"],
)
def test_open_redirect(doors: Doors, where: str) -> None:
    """A login ends at this server."""
    answer = doors.send("rest_asgi", "GET", f"{BEGIN}?{urlencode({'next': where})}")

    assert 400 == answer.status, answer


def test_open_redirect_by_cookie(doors: Doors) -> None:
    """So does one whose cookie was made by somebody else."""
    browser = begin(doors)
    parts = browser.cookie.split(".")
    cookie = ".".join([*parts[:2], "Ly9ldmlsLmV4YW1wbGUuY29t"])  # //evil.example.com
    back = browser.comes_back(doors.master.issuer.approve(browser.url), cookie=cookie)

    assert (303, "/") == (back.status, back.header("Location"))


def test_away(doors: Doors) -> None:
    """While the provider is away, a login is 503 soon, and sessions go on."""
    issuer = doors.master.issuer
    browser = begin(doors)
    brings = issuer.approve(browser.url)
    cookie = f"session_id={doors.login()}"
    issuer.is_away = True
    try:
        began = time.monotonic()
        assert 503 == browser.comes_back(brings).status
        assert time.monotonic() - began < scaled(10)
        assert 200 == status_of(doors, cookie)
    finally:
        issuer.is_away = False


def logged_in(doors: Doors, **claims: Any) -> str:
    """Return the session's cookie of a browser that has logged in."""
    browser = begin(doors)
    return session_of(browser.comes_back(doors.master.issuer.approve(browser.url, **claims)))


def end(doors: Doors, *, header: Any = None, **claims: Any) -> int:
    """Say, as the provider, that a session is over, and return the status of the answer."""
    facts = {"aud": CLIENT, "jti": "1", "events": {LOGOUT: {}}, "sub": None, "exp": None, **claims}
    token = doors.master.issuer.token(header={"typ": "logout+jwt", **(header or {})}, **facts)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    body = urlencode({"logout_token": token}).encode()
    return doors.send("rest_asgi", "POST", f"{BEGIN}/logout", headers=headers, body=body).status


def test_logout_at_the_provider(doors: Doors) -> None:
    """A session that is over at the provider is over here, and no other one."""
    one, other = logged_in(doors, sid="s-1"), logged_in(doors, sid="s-2")
    bearer = doors.master.issuer.token(sub="bob", sid="s-3")
    headers = {"Authorization": f"Bearer {bearer}"}
    assert 200 == doors.send("rest_asgi", "GET", "/v1/whoami", headers=headers).status

    assert 200 == end(doors, sid="s-1")
    eventually(lambda: status_of(doors, one) == 401, scaled(5))
    assert 200 == status_of(doors, other)
    assert 200 == end(doors, sub="alice")
    eventually(lambda: status_of(doors, other) == 401, scaled(5))
    assert 200 == doors.send("rest_asgi", "GET", "/v1/whoami", headers=headers).status
    assert 200 == end(doors, sub="bob", sid="s-3")
    eventually(
        lambda: doors.send("rest_asgi", "GET", "/v1/whoami", headers=headers).status == 401,
        scaled(5),
    )


@pytest.mark.parametrize(
    "claims",
    [
        {"events": {}},
        {"nonce": "x"},
        {"aud": "other"},
        {"iss": "https://evil.example.com"},
        {"jti": None},
        {"iat": 1},
        {"sid": None},
        {"header": {"alg": "none"}},
        {"header": {"typ": "at+jwt"}},
    ],
    ids=str,
)
def test_forged_logout(doors: Doors, claims: Any) -> None:
    """What the provider has not said ends no session."""
    cookie = logged_in(doors, sid="s-9")

    assert 400 == end(doors, **{"sid": "s-9", **claims})
    assert 200 == status_of(doors, cookie)


def test_no_app(doors: Doors) -> None:
    """Where there is no `app`, no page hands out a token."""
    assert 400 == doors.send("rest_asgi", "GET", f"{BEGIN}?app=saltgui").status
    assert 404 == doors.send("rest_asgi", "GET", f"{BEGIN}/landing.js").status
    browser = begin(doors)
    cookie = f"{browser.cookie}.saltgui"
    back = browser.comes_back(doors.master.issuer.approve(browser.url), cookie=cookie)
    assert (303, b"") == (back.status, back.body)
