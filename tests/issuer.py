"""
An identity provider for attacks: it signs whatever it is told to, and can be slow, wrong or away.

`Issuer` serves its metadata and its keys on loopback, and gives ID tokens for codes.
"""

import base64
import hashlib
import json
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, quote_plus, urlencode, urlsplit

from joserfc import jws
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

AUDIENCE, CLIENT, SECRET, DEVICE = "salt", "saltapi", "s3cret/+", "saltctl"
MAKERS: dict[str, Callable[[str], Key]] = {
    "RS256": lambda kid: RSAKey.generate_key(2048, {"kid": kid}),
    "ES256": lambda kid: ECKey.generate_key("P-256", {"kid": kid}),
    "EdDSA": lambda kid: OKPKey.generate_key("Ed25519", {"kid": kid}),
}


class _Unchecked(jws.JWSRegistry):
    """Lets everything be signed."""

    max_header_length = max_payload_length = 10_000_000

    def get_alg(self, name: str) -> Any:
        return self.algorithms[name]

    def check_header(self, header: Any) -> None:
        """Let it be."""


class Issuer:
    """One issuer; `keys` is what it publishes, and `answers` what it says in place of that."""

    def __init__(
        self,
        algorithm: str = "RS256",
        kid: str = "key-1",
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.algorithm = algorithm
        self.key: Key = MAKERS[algorithm](kid)
        self.keys: list[Any] = [self.key.as_dict(private=False)]
        self.delay_seconds = 0.0
        self.is_away = False
        self.metadata: dict[str, Any] = {}
        self.asked: list[str] = []
        self.device_errors: list[str] = []
        self.lands_at, self.lands_as = "", dict[str, Any]()
        """Where browsers come back to, and who that is; without it there is no page for them."""
        self.refresh_token = ""
        self.revoked: list[str] = []
        self.codes: dict[str, tuple[dict[str, str], dict[str, Any]]] = {}
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked.append(self.path)
                time.sleep(issuer.delay_seconds)
                where = issuer.sent_on(f"{issuer.url}{self.path}")
                if where is not None:
                    self.send_response(303)
                    self.send_header("Location", where)
                    self.end_headers()
                    return
                documents = {
                    "/.well-known/openid-configuration": issuer.discovery(),
                    "/keys": {"keys": issuer.keys},
                }
                if issuer.is_away or self.path not in documents:
                    self.send_error(503)
                    return
                body = json.dumps(documents[self.path]).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                issuer.asked.append(self.path)
                time.sleep(issuer.delay_seconds)
                form = dict(
                    parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode())
                )
                if self.path == "/revocation":
                    issuer.revoked.append(form["token"])
                    self.send_response(503 if issuer.is_away else 200)  # RFC 7009: no body
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                if form.get("client_id") == DEVICE:
                    status, answer = issuer.device(form)
                else:
                    status, answer = issuer.redeem(form, self.headers.get("Authorization"))
                body = json.dumps(answer).encode()
                self.send_response(503 if issuer.is_away else status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self.url = self.url.replace("http:", "https:")

    def discovery(self) -> dict[str, Any]:
        """Return the metadata."""
        endpoints = {
            f"{name}_endpoint": f"{self.url}/{name}"
            for name in (
                "authorization",
                "token",
                "device_authorization",
                "end_session",
                "revocation",
            )
        }
        return {"issuer": self.url, "jwks_uri": f"{self.url}/keys", **endpoints, **self.metadata}

    def approve(self, url: str, **claims: Any) -> dict[str, str]:
        """Return what a browser brings back whose user logs in at *url*, as these claims say."""
        asked = dict(parse_qsl(urlsplit(url).query))
        assert url.startswith(f"{self.url}/authorization?"), url
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked, {"aud": CLIENT, "nonce": asked["nonce"], **claims}
        return {"state": asked["state"], "code": code, "iss": self.url}

    def sent_on(self, url: str) -> str | None:
        """Return where a browser is sent from one of the issuer's pages; None if it is none."""
        page, query = urlsplit(url).path, dict(parse_qsl(urlsplit(url).query))
        if self.lands_at and page == "/authorization":
            brings, back = self.approve(url, **self.lands_as), query["redirect_uri"]
        elif self.lands_at and page == "/end_session":
            brings, back = {"state": query["state"]}, query["post_logout_redirect_uri"]
        else:
            return None
        return f"{self.lands_at}{urlsplit(back).path}?{urlencode(brings)}"

    def redeem(self, form: Mapping[str, str], authorization: str | None) -> tuple[int, Any]:
        """Answer at the token endpoint: a code is good once, for who has asked for it."""
        asked, claims = self.codes.pop(form.get("code", ""), ({}, {}))
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        # RFC 6749, section 2.3.1: each of them is encoded as in a form.
        pair = base64.b64encode(f"{CLIENT}:{quote_plus(SECRET)}".encode()).decode()
        if authorization != f"Basic {pair}":
            return 401, {"error": "invalid_client"}
        if (
            form.get("grant_type") != "authorization_code"
            or asked.get("code_challenge") != challenge
            or asked.get("redirect_uri") != form.get("redirect_uri")
        ):
            return 400, {"error": "invalid_grant"}
        return 200, {"id_token": self.token(**claims), "access_token": "x", "token_type": "Bearer"}

    def device(self, form: Mapping[str, str]) -> tuple[int, Any]:
        """Answer a device: first `device_errors`, one by one; a refresh token is good once."""
        if "grant_type" not in form:
            shown = {"user_code": "WDJB-MJHT", "verification_uri": f"{self.url}/device"}
            return 200, {"device_code": "d", "expires_in": 60, "interval": 1, **shown}
        if self.device_errors:
            return 400, {"error": self.device_errors.pop(0)}
        if form["grant_type"] == "refresh_token" and form["refresh_token"] != self.refresh_token:
            return 400, {"error": "invalid_grant"}
        self.refresh_token = secrets.token_urlsafe(16)
        return 200, {"id_token": self.token(aud=DEVICE), "refresh_token": self.refresh_token}

    def options(self, **more: Any) -> dict[str, Any]:
        """Return the entry of `saltapi_oidc` that trusts it."""
        return {"issuer": self.url, "audience": AUDIENCE, "groups_claim": "groups", **more}

    def claims(self, **claims: Any) -> dict[str, Any]:
        """Return the claims of a good token, changed by *claims*; what is None is left out."""
        now = time.time()
        found = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "alice",
            "iat": int(now),
            "exp": int(now) + 600,
            **claims,
        }
        return {name: value for name, value in found.items() if value is not None}

    def token(
        self,
        *,
        key: Key | None = None,
        header: Mapping[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """Return a token of these claims."""
        own = {"alg": self.algorithm, "kid": self.key.kid, "typ": "JWT", **(header or {})}
        own = {name: value for name, value in own.items() if value is not None}
        return sign(own, self.claims(**claims), key or self.key)

    def start(self) -> None:
        """Serve."""
        self._thread.start()

    def stop(self) -> None:
        """Serve no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def sign(header: Mapping[str, Any], claims: Any, key: Key | None) -> str:
    """Return a JWT with this header, whatever it says."""
    payload = claims if isinstance(claims, str) else json.dumps(claims)
    registry = _Unchecked(algorithms=[str(header["alg"])], strict_check_header=False)
    return jws.serialize_compact(dict(header), payload, key, registry=registry)


@contextmanager
def running(
    algorithm: str = "RS256", kid: str = "key-1", context: ssl.SSLContext | None = None
) -> Iterator[Issuer]:
    """Have an issuer while something is done; with TLS where there is a *context*."""
    issuer = Issuer(algorithm, kid, context)
    issuer.start()
    try:
        yield issuer
    finally:
        issuer.stop()
