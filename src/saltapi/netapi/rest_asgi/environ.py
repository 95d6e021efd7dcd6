"""A request as ASGI has it, in the words of CGI (RFC 3875) that the shared helpers know."""

from collections.abc import Iterable, Mapping
from typing import Any

from starlette.types import Scope

from saltapi.engine.sessions.login_proxies import LoginProxy
from saltapi.netapi._http.proxies import believe, key_of

AUTHORIZATION = "HTTP_AUTHORIZATION"
HEADERS = {
    b"authorization": AUTHORIZATION,
    b"cf-access-jwt-assertion": "HTTP_CF_ACCESS_JWT_ASSERTION",
    b"cookie": "HTTP_COOKIE",
    b"forwarded": "HTTP_FORWARDED",
    b"host": "HTTP_HOST",
    b"origin": "HTTP_ORIGIN",
    b"sec-fetch-site": "HTTP_SEC_FETCH_SITE",
    b"x-auth-token": "HTTP_X_AUTH_TOKEN",
    b"x-forwarded-access-token": "HTTP_X_FORWARDED_ACCESS_TOKEN",
    b"x-forwarded-for": "HTTP_X_FORWARDED_FOR",
    b"x-forwarded-host": "HTTP_X_FORWARDED_HOST",
    b"x-forwarded-proto": "HTTP_X_FORWARDED_PROTO",
}
"""The headers that these helpers look at."""


def environ_of(scope: Scope, more: Mapping[bytes, str] | None = None) -> dict[str, Any]:
    """
    Return what a WSGI server's environ says about a request, as far as it is asked for.

    Args:
        scope: Of HTTP or WebSocket.
        more: Headers that are asked for beside `HEADERS`.
    """
    wanted = {**HEADERS, **more} if more else HEADERS
    client = scope.get("client")
    tls_facts = (scope.get("extensions") or {}).get("tls") or {}
    name = scope.get("state", {}).get("client_common_name") or _common_name(
        tls_facts.get("client_cert_name") or ""
    )
    environ = {
        "REQUEST_METHOD": scope.get("method", "GET"),
        "PATH_INFO": scope["path"].encode().decode("latin-1"),
        "REMOTE_ADDR": client[0] if client else "",
        "SSL_CLIENT_S_DN_CN": name,
        "wsgi.url_scheme": "https" if scope.get("scheme") in {"https", "wss"} else "http",
    }
    for header, value in scope["headers"]:
        key = wanted.get(header)
        if key is not None:
            text = value.decode("latin-1")
            environ[key] = f"{environ[key]}, {text}" if key in environ else text
    return environ


def believed(
    scope: Scope, trusted_proxies: Iterable[str], login_proxy: LoginProxy | None = None
) -> tuple[Scope, dict[str, Any]]:
    """
    Return *scope* and its environ, as the client's where a trusted proxy holds the connection.

    Args:
        scope: Of HTTP or WebSocket; not changed.
        trusted_proxies: What the option lists.
        login_proxy: Whose names of users count; None for nobody's.
    """
    environ = environ_of(scope, _headers_of(login_proxy))
    before = (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"])
    sent = environ.get(AUTHORIZATION)
    believe(environ, trusted_proxies, login_proxy)
    if environ.get(AUTHORIZATION) != sent:
        others = [(name, text) for name, text in scope["headers"] if name != b"authorization"]
        given = (b"authorization", environ[AUTHORIZATION].encode("latin-1"))
        scope = {**scope, "headers": [*others, given]}
    address, scheme = environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]
    if (address, scheme) == before:
        return scope, environ
    if scope["type"] == "websocket":
        scheme = "wss" if scheme == "https" else "ws"
    return {**scope, "client": (address, 0) if address else None, "scheme": scheme}, environ


def _headers_of(login_proxy: LoginProxy | None) -> dict[bytes, str]:
    """Return the headers in which a login proxy names its user, by their keys of the environ."""
    names = (login_proxy.user_header, login_proxy.groups_header) if login_proxy is not None else ()
    return {name.lower().encode(): key_of(name) for name in names if name}


def _common_name(distinguished_name: str) -> str | None:
    """Return the common name in a distinguished name (RFC 4514), as the ASGI TLS extension has."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    if not distinguished_name:
        return None
    try:
        name = x509.Name.from_rfc4514_string(distinguished_name)
    except ValueError:
        return None
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else None
