"""What every request has to pass, whichever server it comes through."""

from collections.abc import Mapping
from typing import Any

from saltapi.config import HttpSection
from saltapi.engine.sessions.addresses import check_address
from saltapi.netapi._http.origins import check_origin
from saltapi.netapi._http.proxies import REFUSAL
from saltapi.process import tls


def check_admitted(
    environ: Mapping[str, Any],
    section: HttpSection,
    *,
    takes_cookies: bool = True,
    gives_cookie: bool = False,
) -> None:
    """
    Return if a request is taken: by its address, its certificate, and the page that sends it.

    Args:
        environ: The WSGI environ, as `_proxies.believe` leaves it.
        section: The module's options.
        takes_cookies: Whether the module takes the session cookie.
        gives_cookie: Whether the answer may have one.

    Raises:
        BadRequest, AddressRefused, CertificateRefused, OriginRefused
    """
    check_readable(environ)
    check_address(section.authorized_ips, environ.get("REMOTE_ADDR") or "")
    tls.check_common_name(section, environ)
    check_origin(
        environ, section.cors_origins, takes_cookies=takes_cookies, gives_cookie=gives_cookie
    )


def check_readable(environ: Mapping[str, Any]) -> None:
    """
    Return if it can be said whose a request is.

    Raises:
        BadRequest: What a trusted proxy says about it cannot be read.
    """
    if REFUSAL in environ:
        raise environ[REFUSAL]
