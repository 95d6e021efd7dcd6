"""
Documents of an identity provider, fetched within bounds: of time, of size, and of where they are.

Whatever the other side does, a fetch ends after `FETCH_SECONDS`: it may be a login that waits, or
one of the master's few workers. (What looks names up has the time-outs of the machine.)
"""

import contextlib
import http.client
import json
import logging
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from saltapi.config.oidc import provider_url

log = logging.getLogger(__name__)

FETCH_SECONDS = 5.0
ANSWER_LIMIT_BYTES = 512 * 1024
AGENT = "saltapi"


class Unreachable(Exception):
    """An identity provider does not answer, or not with what it should; the text is for the log."""


class Refusal(Unreachable):
    """It answers that it does not want to, with a word of RFC 6749, section 5.2."""

    def __init__(self, url: str, status: int, word: str) -> None:
        """
        Args:
            url: What was asked.
            status: The HTTP status.
            word: The error's name, `invalid_grant` for example; "" without one.
        """
        super().__init__(f"{url} answers {status} {word}".rstrip())
        self.word = word


def fetch_json(
    url: str,
    *,
    ca_file: str = "",
    form: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Any:
    """
    Return the JSON document at *url*; redirections are not followed.

    Args:
        url: https, or http on loopback.
        ca_file: The file with the authorities to trust; "" for those of the system.
        form: What is sent by POST; without it the request is a GET.
        headers: More headers of the request.

    Raises:
        Unreachable: Within `FETCH_SECONDS` there was no such document, or it is too large.
        Refusal: The answer is an error.
    """
    try:
        provider_url(url)
        with _deadline() as clock:
            status, body = _exchange(url, ca_file, form, headers or {}, clock)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise Unreachable(f"{url} cannot be read: {error or type(error).__name__}") from error
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        if status == http.HTTPStatus.OK:
            raise Unreachable(f"{url} is no JSON") from error
        found = {}
    if status != http.HTTPStatus.OK:
        word = found.get("error") if isinstance(found, dict) else ""
        raise Refusal(url, status, word[:100] if isinstance(word, str) else "")
    return found


class _Clock:
    """Ends a connection when its time is over, also one on which something comes now and then."""

    def __init__(self) -> None:
        self.connection: socket.socket | None = None
        self.is_over = False

    def ring(self) -> None:
        self.is_over = True
        if self.connection is not None:
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def _deadline() -> Iterator[_Clock]:
    clock = _Clock()
    timer = threading.Timer(FETCH_SECONDS, clock.ring)
    timer.daemon = True
    timer.start()
    try:
        yield clock
        if clock.is_over:
            raise TimeoutError("it takes too long")
    except (OSError, ValueError, http.client.HTTPException):
        if clock.is_over:
            raise TimeoutError("it takes too long") from None
        raise
    finally:
        timer.cancel()


def _exchange(
    url: str,
    ca_file: str,
    form: Mapping[str, str] | None,
    headers: Mapping[str, str],
    clock: _Clock,
) -> tuple[int, bytes]:
    parts = urlsplit(url)
    host, is_tls = str(parts.hostname), parts.scheme == "https"
    port = parts.port or (443 if is_tls else 80)
    clock.connection = socket.create_connection((host, port), timeout=FETCH_SECONDS)
    try:
        if is_tls:
            context = ssl.create_default_context(cafile=ca_file or None)
            secured = context.wrap_socket(
                clock.connection, server_hostname=host, do_handshake_on_connect=False
            )
            clock.connection = secured
            secured.do_handshake()
        if clock.is_over:
            raise TimeoutError
        connection = http.client.HTTPConnection(parts.netloc, timeout=FETCH_SECONDS)
        connection.sock = clock.connection
        sent = None if form is None else urlencode(form)
        own = {"Accept": "application/json", "User-Agent": AGENT, "Connection": "close"}
        if form is not None:
            own["Content-Type"] = "application/x-www-form-urlencoded"
        connection.request(
            "GET" if form is None else "POST", parts.path or "/", sent, {**own, **headers}
        )
        answer = connection.getresponse()
        body = answer.read(ANSWER_LIMIT_BYTES + 1)
        if len(body) > ANSWER_LIMIT_BYTES:
            raise ValueError(f"it is larger than {ANSWER_LIMIT_BYTES} bytes")
        return answer.status, body
    finally:
        clock.connection.close()
