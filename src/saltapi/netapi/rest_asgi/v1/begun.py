"""What a browser keeps while it is at an identity provider: a cookie of ten minutes at most."""

import http.cookies
from typing import Any

from fastapi import Request, Response

BEGUN_SECONDS = 600
PATH = "/v1/login/oidc"


def kept_by(request: Request, name: str) -> str:
    """Return what the browser has kept; "" without it."""
    return request.cookies.get(_cookie_name(request, name), "")


def keep(request: Request, response: Response, name: str, kept: str) -> None:
    """Let *response* have the browser keep something below a name; "" takes it back."""
    full = _cookie_name(request, name)
    cookie: Any = http.cookies.SimpleCookie({full: kept})[full]
    is_secure = request.url.scheme == "https"
    cookie["path"] = "/" if is_secure else f"{request.scope['saltapi.base']}{PATH}"
    cookie["max-age"] = BEGUN_SECONDS if kept else 0
    cookie["httponly"] = True
    cookie["samesite"] = "Lax"  # it comes along when the provider sends the browser back
    if is_secure:
        cookie["secure"] = True
    response.headers.append("Set-Cookie", cookie.OutputString())


def sent_on(url: str) -> Response:
    """Return the answer that sends a browser to *url*, and lets nobody know from where."""
    headers = {"Location": url, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    return Response(b"", 303, headers)


def console_of(request: Request, path: str) -> str:
    """Return the path of the console, which the option `console_path` has below the module's."""
    return f"{request.scope['saltapi.base']}{path.rstrip('/')}/"


def _cookie_name(request: Request, name: str) -> str:
    """Return the cookie's name: with TLS one that no other host can set."""
    return f"__Host-{name}" if request.url.scheme == "https" else name
