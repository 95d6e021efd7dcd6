"""
An identity provider for attacks: it signs whatever it is told to, and can be slow, wrong or away.

`Issuer` serves its metadata and its keys on loopback. The tokens of real providers are made by
`oidc-provider` (tests/provider.py); here are those that no provider would make.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

AUDIENCE = "salt"
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

    def __init__(self, algorithm: str = "RS256", kid: str = "key-1") -> None:
        self.algorithm = algorithm
        self.key: Key = MAKERS[algorithm](kid)
        self.keys: list[Any] = [self.key.as_dict(private=False)]
        self.delay_seconds = 0.0
        self.is_away = False
        self.metadata: dict[str, Any] = {}
        self.asked: list[str] = []
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked.append(self.path)
                time.sleep(issuer.delay_seconds)
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

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def discovery(self) -> dict[str, Any]:
        """Return the metadata."""
        return {"issuer": self.url, "jwks_uri": f"{self.url}/keys", **self.metadata}

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
def running(algorithm: str = "RS256", kid: str = "key-1") -> Iterator[Issuer]:
    """Have an issuer while something is done."""
    issuer = Issuer(algorithm, kid)
    issuer.start()
    try:
        yield issuer
    finally:
        issuer.stop()
