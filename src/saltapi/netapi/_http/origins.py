"""
Which pages may use what a browser sends by itself: the session cookie, and what a login proxy adds.

A browser adds the cookie to whatever a page of the same site sends here, be it a form that nobody
has seen, and a login proxy adds its user's token of an identity provider. So what changes something
and comes with one of them must come from a page of our own, or of an origin that `cors_origin`
names. The Fetch Metadata standard and RFC 6454 say how one sees it;
what sends neither header is no browser.
"""

from collections.abc import Collection, Mapping
from typing import Any

from saltapi.errors import OriginRefused
from saltapi.netapi._http.answers import COOKIE
from saltapi.netapi._http.proxies import HOST

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
JWT_DOTS = 2
DEFAULT_PORTS = {"http": ":80", "https": ":443"}
REFUSED = (
    "Pages of this origin may not do that: cors_origin in the master config lists those that may."
)


def check_origin(
    environ: Mapping[str, Any],
    cors_origins: Collection[str],
    *,
    takes_cookies: bool = True,
    gives_cookie: bool = False,
) -> None:
    """
    Return if the page that sends a request, if it is one, may send it.

    Args:
        environ: The WSGI environ of the request, as `_proxies.believe` leaves it.
        cors_origins: The origins that may, beside our own.
        takes_cookies: Whether the session cookie counts.
        gives_cookie: Whether the answer has a cookie: then it counts also without one.

    Raises:
        OriginRefused: It is a page of another origin.
    """
    if environ["REQUEST_METHOD"] in SAFE_METHODS:
        return
    if gives_cookie or (takes_cookies and _uses_cookie(environ)) or _is_provided(environ):
        _check(environ, cors_origins)


def check_handshake(environ: Mapping[str, Any], cors_origins: Collection[str]) -> None:
    """Same as `check_origin`, for the handshake of a WebSocket, which any page can read."""
    _check(environ, cors_origins)


def _check(environ: Mapping[str, Any], cors_origins: Collection[str]) -> None:
    # As for answers (`_answers.cors_headers`), `*` is for pages that have a token of their own.
    everybody = "*" in cors_origins and not (_uses_cookie(environ) or _is_provided(environ))
    if not everybody and _is_foreign(environ) and environ.get("HTTP_ORIGIN") not in cors_origins:
        raise OriginRefused(REFUSED)


def _uses_cookie(environ: Mapping[str, Any]) -> bool:
    """Return whether the session may be that of the cookie; no page can add the header unasked."""
    return COOKIE in environ.get("HTTP_COOKIE", "") and not (
        environ.get("HTTP_X_AUTH_TOKEN", "").strip()
    )


def _is_provided(environ: Mapping[str, Any]) -> bool:
    """Return whether the session may be that of an identity provider's token, a JWT."""
    scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    is_jwt = scheme.lower() == "bearer" and token.count(".") >= JWT_DOTS
    return is_jwt and not environ.get("HTTP_X_AUTH_TOKEN", "").strip()


def _is_foreign(environ: Mapping[str, Any]) -> bool:
    # The browser's own word comes first: it knows what proxies have made of the host.
    site = environ.get("HTTP_SEC_FETCH_SITE", "").strip().lower()
    if site not in {"", "none"}:  # none: it was no page, but the user
        return bool(site != "same-origin")
    origin = environ.get("HTTP_ORIGIN")
    return origin is not None and not _is_own(origin, environ)


def _is_own(origin: str, environ: Mapping[str, Any]) -> bool:
    """Return whether *origin* is ours; plain HTTP is not, where we have TLS."""
    scheme, _, host = origin.lower().partition("://")
    if scheme not in DEFAULT_PORTS or (scheme, environ["wsgi.url_scheme"]) == ("http", "https"):
        return False
    port = DEFAULT_PORTS[scheme]
    wanted = str(environ.get(HOST) or environ.get("HTTP_HOST", "")).lower()
    return bool(host) and host.removesuffix(port) == wanted.removesuffix(port)
