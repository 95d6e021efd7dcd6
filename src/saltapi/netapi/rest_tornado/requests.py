"""A request as Tornado has it, in the words of CGI (RFC 3875) that the shared helpers know."""

from typing import Any
from urllib.parse import unquote_to_bytes

from tornado.httputil import HTTPServerRequest

from saltapi.process.tls import common_name


def environ_of(request: HTTPServerRequest) -> dict[str, Any]:
    """Return what a WSGI server's environ says about *request*, without its body."""
    certificate = request.get_ssl_certificate() if request.protocol == "https" else None
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method or "",
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(request.path).decode("latin-1"),
        "REMOTE_ADDR": request.remote_ip,
        "SERVER_PROTOCOL": request.version,
        "wsgi.url_scheme": request.protocol,
        "SSL_CLIENT_S_DN_CN": common_name(certificate),
    }
    for name, value in request.headers.get_all():
        if "_" in name:  # it would look like one with a hyphen
            continue
        key = f"HTTP_{name.upper().replace('-', '_')}"
        environ[key] = f"{environ[key]}, {value}" if key in environ else value
    return environ
