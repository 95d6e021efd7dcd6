"""Against `oidc-provider` of npm, a certified provider: code, device, refresh, rotation, logout."""

import http.server
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPResponse
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qs, parse_qsl, urlencode, urljoin, urlsplit
from urllib.request import HTTPCookieProcessor, HTTPRedirectHandler, Request, build_opener

import pytest

from saltapi.bridge.oidc import keys as keys_of
from saltapi.bridge.oidc.authorization import (
    Attempt,
    authorization_url,
    check_answer,
    end_session_url,
    exchange,
)
from saltapi.bridge.oidc.tokens import Untrusted
from saltapi.bridge.oidc.verifier import Verifier
from saltapi.config.oidc import IssuerSection, issuers_of
from saltapi_client.device import Provider as Device
from saltapi_client.errors import AuthenticationFailed
from tests.waiting import eventually, scaled

HERE = Path(__file__).parents[2] / "provider"
REDIRECT_URL = "http://127.0.0.1:1/v1/login/oidc/callback"
LOGOUT_URL = "http://127.0.0.1:1/v1/login/oidc/logged-out"
SECRET = "s3cret/+ of the client"
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
CLIENTS = {"saltapi": "RS256", "ec": "ES256", "ed": "EdDSA"}

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or not (HERE / "node_modules").is_dir(),
    reason="needs node, and `npm --prefix tests/provider ci`, as `make generators` does",
)


class _Stay(HTTPRedirectHandler):
    """Follows no redirection."""

    def redirect_request(self, *_args: Any) -> None:
        """Follow none."""


@dataclass
class Provider:
    """The running provider, and what it has posted to us."""

    url: str
    secret_file: Path
    posted: list[dict[str, str]]

    def section(self, client: str = "saltapi") -> IssuerSection:
        """Return the config that trusts it."""
        options = {
            "issuer": self.url,
            "audience": "salt",
            "client_id": client,
            "client_secret_file": str(self.secret_file),
            "redirect_url": REDIRECT_URL,
            "logout_redirect_url": LOGOUT_URL,
            "groups_claim": "groups",
            "authorized_parties": ["saltctl"],
        }
        return issuers_of({"saltapi_oidc": [options]})[0]

    def post(self, path: str, **form: str) -> Any:
        """Return what it answers to a form."""
        request = Request(f"{self.url}{path}", urlencode(form).encode())  # noqa: S310 - http, loopback
        with build_opener().open(request, timeout=10) as answer:
            return json.load(answer)


class Browser:
    """A browser with cookies, which goes where it is sent until it leaves the provider."""

    def __init__(self) -> None:
        self._opener = build_opener(HTTPCookieProcessor(CookieJar()), _Stay())

    def _open(self, request: str | Request) -> HTTPResponse | HTTPError:
        try:
            found: HTTPResponse = self._opener.open(request, timeout=10)
        except HTTPError as error:
            return error
        return found

    def goes(self, request: str | Request) -> tuple[str, str]:
        """Return where it ends, and the page that it gets there, if it is one of the provider's."""
        url = request if isinstance(request, str) else request.full_url
        for _ in range(20):
            answer = self._open(request)
            where = answer.headers.get("Location")
            if where is None:
                return url, answer.read().decode()
            url = request = urljoin(url, where)
            if url.startswith((REDIRECT_URL, LOGOUT_URL)):
                return url, ""
        raise AssertionError(f"It is sent on and on, now to {url}.")


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Provider]:
    posted: list[dict[str, str]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            posted.append(dict(parse_qsl(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    (tmp_path / "secret").write_text(SECRET)
    asked = {
        "redirect_url": REDIRECT_URL,
        "logout_redirect_url": LOGOUT_URL,
        "backchannel_url": f"http://127.0.0.1:{server.server_port}/logout",
        "client_id": "saltapi",
        "secret": SECRET,
    }
    process = subprocess.Popen(
        ["node", "server.mjs"],
        cwd=HERE,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(asked))
        process.stdin.close()
        yield Provider(process.stdout.readline().strip(), tmp_path / "secret", posted)
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
        server.shutdown()
        server.server_close()
        thread.join()


def logged_in(
    verifier: Verifier, section: IssuerSection, browser: Browser
) -> tuple[Attempt, dict[str, str], str]:
    """Return the attempt of a browser that logs in, what it brings back, and the ID token."""
    attempt, metadata = Attempt.begin(), verifier.keys[section.issuer].metadata()
    url, page = browser.goes(authorization_url(section, metadata, attempt))
    assert url.startswith(REDIRECT_URL), (url, page)
    brings = dict(parse_qsl(urlsplit(url).query))
    check_answer(section, metadata, said_issuer=brings["iss"])
    assert attempt.state == brings["state"]
    return attempt, brings, exchange(section, metadata, brings["code"], attempt)


@pytest.mark.parametrize("client", CLIENTS)
def test_code(provider: Provider, client: str) -> None:
    """Who logs in there is known here, with groups, by each kind of key."""
    section = provider.section(client)
    verifier = Verifier([section])
    attempt, brings, token = logged_in(verifier, section, Browser())
    found = verifier.identify_login(token, issuer=section.issuer, nonce=attempt.nonce)

    assert ("alice", ("ops",)) == (found.user, found.groups)
    # A code is good once, and only for who has begun; a token only for its own attempt.
    metadata = verifier.keys[section.issuer].metadata()
    with pytest.raises(Untrusted):
        exchange(section, metadata, brings["code"], attempt)
    with pytest.raises(Untrusted):
        verifier.identify_login(token, issuer=section.issuer, nonce=Attempt.begin().nonce)


def test_stolen_code(provider: Provider) -> None:
    """A code that another attempt brings is refused: it has not the verifier."""
    section = provider.section()
    verifier = Verifier([section])
    metadata = verifier.keys[section.issuer].metadata()
    attempt = Attempt.begin()
    url, _ = Browser().goes(authorization_url(section, metadata, attempt))
    code = parse_qs(urlsplit(url).query)["code"][0]

    with pytest.raises(Untrusted):
        exchange(section, metadata, code, Attempt.begin())


def test_device(provider: Provider) -> None:
    """A token of the device flow is taken as bearer's, and so is that of its refresh token."""
    section = provider.section()
    verifier = Verifier([section])
    begun = provider.post("/device/auth", client_id="saltctl", scope="openid offline_access")
    browser = Browser()
    url, page = browser.goes(begun["verification_uri_complete"])
    form = dict(parse_qsl(urlsplit(url).query)) | _fields(page) | {"confirm": "yes"}
    browser.goes(Request(urljoin(url, urlsplit(url).path), urlencode(form).encode()))  # noqa: S310 - http, loopback
    grant = {"client_id": "saltctl", "grant_type": DEVICE_GRANT}
    given = provider.post("/token", device_code=begun["device_code"], **grant)

    assert "alice" == verifier.identify(given["access_token"]).user
    again = provider.post(
        "/token",
        client_id="saltctl",
        grant_type="refresh_token",
        refresh_token=given["refresh_token"],
    )
    assert "alice" == verifier.identify(again["access_token"]).user


def test_rotation(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a rotation tokens by the new key are good, and those by the old one are not."""
    section = provider.section()
    verifier = Verifier([section])
    attempt, _, old = logged_in(verifier, section, Browser())
    with build_opener().open(Request(f"{provider.url}/rotate", b""), timeout=10):  # noqa: S310 - http, loopback
        pass
    monkeypatch.setattr(keys_of, "RETRY_SECONDS", 0.0)
    again, _, new = logged_in(verifier, section, Browser())

    assert verifier.identify_login(new, issuer=section.issuer, nonce=again.nonce).user == "alice"
    with pytest.raises(Untrusted):
        verifier.identify_login(old, issuer=section.issuer, nonce=attempt.nonce)


def test_logout(provider: Provider) -> None:
    """Who logs out there is logged out here: the provider says so, and it can be believed."""
    section = provider.section()
    verifier, browser = Verifier([section]), Browser()
    _, _, token = logged_in(verifier, section, browser)
    subject, session_id = verifier.session_of(token)
    url, page = browser.goes(f"{provider.url}/session/end?client_id=saltapi")
    form = {**_fields(page), "logout": "yes"}
    browser.goes(Request(urljoin(url, "/session/end/confirm"), urlencode(form).encode()))  # noqa: S310 - http, loopback
    eventually(lambda: bool(provider.posted), scaled(10))
    issuer, user, session, token_id = verifier.logged_out(provider.posted[0]["logout_token"])

    assert (section.issuer, subject, session_id) == (issuer, user, session)
    assert token_id


def test_logout_from_here(provider: Provider) -> None:
    """Who is sent there to log out is known by the ID token, and comes back, with the state."""
    section = provider.section()
    verifier, browser = Verifier([section]), Browser()
    _, _, token = logged_in(verifier, section, browser)
    metadata = verifier.keys[section.issuer].metadata()
    url, page = browser.goes(end_session_url(section, metadata, token, "the state"))
    form = {**_fields(page), "logout": "yes"}
    back, _ = browser.goes(Request(urljoin(url, "/session/end/confirm"), urlencode(form).encode()))  # noqa: S310 - http, loopback

    assert {"state": ["the state"]} == parse_qs(urlsplit(back).query)
    assert back.startswith(LOGOUT_URL)
    eventually(lambda: bool(provider.posted), scaled(10))


def _fields(page: str) -> dict[str, str]:
    """Return the hidden fields of the form in a page."""
    found = {}
    for part in page.split("<input")[1:]:
        facts = dict(
            piece.split("=", 1) for piece in part.partition(">")[0].split() if "=" in piece
        )
        facts = {name: text.strip("\"'/") for name, text in facts.items()}
        if facts.get("type") == "hidden":
            found[facts["name"]] = facts.get("value", "")
    return found


def test_device_by_client(provider: Provider) -> None:
    """What saltctl does gets a token that is taken, and another one by the refresh token."""
    section = provider.section().model_copy(update={"device_client_id": "saltctl"})
    verifier = Verifier([section])
    client = Device("x", provider.url, "saltctl", ["openid"], section.audiences, local=True)

    def show(begun: Mapping[str, Any]) -> None:
        approve(str(begun["verification_uri_complete"]))

    given = client.log_in(show, keeps=True)
    assert "alice" == verifier.identify(given.token).user
    assert given.refresh_token is not None
    again = client.refreshed(given.refresh_token)
    assert "alice" == verifier.identify(again.token).user
    assert again.refresh_token != given.refresh_token
    with pytest.raises(AuthenticationFailed):
        client.refreshed(given.refresh_token)


def approve(url: str) -> None:
    """Log in with a browser where the device flow says."""
    browser = Browser()
    url, page = browser.goes(url)
    form = dict(parse_qsl(urlsplit(url).query)) | _fields(page) | {"confirm": "yes"}
    browser.goes(Request(urljoin(url, urlsplit(url).path), urlencode(form).encode()))  # noqa: S310 - http, loopback
