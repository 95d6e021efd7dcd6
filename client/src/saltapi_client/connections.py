"""
HTTP connections to one server: kept alive, through a proxy where there is one, with TLS.

On `http.client`, because a command line that starts often is done before an HTTP library is
loaded (measured in docs/dependencies.md).
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import os
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from saltapi_client.errors import ConnectionLost, Error, NotReachable, Usage

IDLE_CONNECTIONS = 4
"""How many connections are kept for the next request."""
READ_BYTES = 65536
LINE_LIMIT_BYTES = 512 * 1024 * 1024
"""The longest line of a stream: a return that is larger than any event can be."""
TIMEOUTS = (TimeoutError, socket.timeout)
"""One and the same since Python 3.10."""


@dataclass(frozen=True)
class Tls:
    """
    How TLS is spoken.

    Attributes:
        ca: A file of certificates to trust, in place of the system's.
        cert: A file with a client certificate, and its key unless `key` has it.
        key: The file with the key of `cert`.
        verify: Whether the server's certificate is checked at all.
    """

    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    verify: bool = True

    def context(self) -> ssl.SSLContext:
        """
        Return the context of the connections.

        Raises:
            Usage: A file cannot be read, or is no certificate.
        """
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.cert:
                context.load_cert_chain(self.cert, self.key)
        except OSError as error:
            named = ", ".join(name for name in (self.ca, self.cert, self.key) if name)
            raise Usage(f"Cannot use the certificates in {named}: {error}") from error
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


class Response:
    """
    An answer: its head has come.

    Attributes:
        status: The HTTP status.
        headers: The headers; look them up in any case.
    """

    def __init__(
        self,
        pool: Connections,
        connection: http.client.HTTPConnection,
        answer: http.client.HTTPResponse,
    ) -> None:
        self._pool = pool
        self._connection = connection
        self._answer = answer
        self._reading = threading.Lock()
        self.status = answer.status
        self.headers: Mapping[str, str] = answer.headers  # type: ignore[assignment]

    def read(self) -> bytes:
        """
        Return the whole body; the connection is free for the next request then.

        Raises:
            ConnectionLost: It ended before.
        """
        try:
            body = self._answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise lost(error) from error
        self._pool.give_back(self._connection, self._answer)
        return body

    def read_at_most(self, limit_bytes: int, seconds: float) -> bytes:
        """
        Return the whole body of a server that is not trusted to be short or quick.

        Raises:
            ConnectionLost: It ended before, is longer, or takes longer.
        """
        until, body = time.monotonic() + seconds, b""
        try:
            while data := self._answer.read1(READ_BYTES):
                body += data
                if len(body) > limit_bytes or time.monotonic() > until:
                    raise ConnectionLost(f"It takes over {limit_bytes} bytes or {seconds} s.")
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise lost(error) from error
        finally:
            self.close()
        return body

    def lines(self) -> Iterator[bytes]:
        """
        Yield the lines of the body as they come, without their ends.

        A last line that has no end is left out: it was cut off.

        Raises:
            ConnectionLost: It ended before the body did.
        """
        rest = b""
        try:
            while True:
                with self._reading:
                    data = self._answer.read1(READ_BYTES)
                if not data:
                    break
                if b"\n" not in data:
                    rest += data
                    if len(rest) > LINE_LIMIT_BYTES:
                        raise ConnectionLost(f"A line is longer than {LINE_LIMIT_BYTES} bytes.")
                    continue
                *whole, rest = (rest + data).split(b"\n")
                yield from whole
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise lost(error) from error
        finally:
            self.close()

    def close(self) -> None:
        """End the connection; somebody who reads from it in another thread finds it at its end."""
        sock = self._connection.sock
        if sock is not None:
            with contextlib.suppress(OSError):  # it has ended by itself
                sock.shutdown(socket.SHUT_RDWR)
        if self._reading.acquire(blocking=False):  # else the reader closes it
            self._connection.close()
            self._reading.release()


class Connections:
    """Connections to one server; can be used by several threads."""

    def __init__(
        self,
        url: str,
        *,
        tls: Tls | None = None,
        proxy: str | None = None,
        timeout_seconds: float = 30.0,
    ) -> None:
        """
        Args:
            url: Where the API is: `https://host:port`, with a path if it is below one.
            tls: How TLS is spoken, for an `https` URL.
            proxy: The URL of an HTTP proxy; None for what the environment says, "" for none.
            timeout_seconds: How long to wait for a connection, and for an answer unless a request
                says otherwise.

        Raises:
            Usage: The URL cannot be one.
        """
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise Usage(f"{url!r} is no URL of an API; it begins with https:// or http://")
        try:
            self._port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError as error:
            raise Usage(f"{url!r} has no port that can be one: {error}") from error
        if parts.username or parts.password:
            raise Usage("The URL has a user or a password in it; log in with them instead")
        self._secure = parts.scheme == "https"
        self._host = parts.hostname
        self._base = parts.path.rstrip("/")
        self._tls = tls or Tls()
        self._context: ssl.SSLContext | None = None
        self._proxy = urlsplit(proxy_of(parts.scheme, self._host) if proxy is None else proxy)
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()
        self.timeout_seconds = timeout_seconds
        self.url = url.rstrip("/")

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout_seconds: float | None = None,
        fresh: bool = False,
    ) -> Response:
        """
        Send a request and return the answer when its head has come.

        Args:
            method: GET, POST, …
            path: Below the URL, with its query.
            headers: Beside those that HTTP needs.
            body: The body.
            timeout_seconds: The longest silence, of the answer's body too.
            fresh: Whether a new connection is used. One that was idle may have ended while the
                request was on its way, which cannot be told from one that ended after it.

        Raises:
            NotReachable: The request was not sent.
            ConnectionLost: It was, and no answer came.
        """
        seconds = self.timeout_seconds if timeout_seconds is None else timeout_seconds
        connection = self._take(fresh)
        is_new = connection.sock is None
        head = dict(headers or {})
        target = self._base + path
        if self._proxy.hostname and not self._secure:
            target = f"http://{self._authority()}{target}"
            head.update(self._proxy_headers())
        try:
            if is_new:
                self._connect(connection)
            connection.sock.settimeout(seconds)
            send(connection, method, target, head, body)
            answer = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            if not is_new and not fresh and method in {"GET", "HEAD"}:  # it was idle for too long
                again = {"headers": headers, "body": body, "timeout_seconds": seconds}
                return self.request(method, path, **again, fresh=True)  # type: ignore[arg-type]
            raise lost(error) from error
        except BaseException:
            connection.close()
            raise
        return Response(self, connection, answer)

    def give_back(
        self, connection: http.client.HTTPConnection, answer: http.client.HTTPResponse
    ) -> None:
        """Keep *connection* for the next request, if it goes on after *answer*."""
        with self._lock:
            if (
                connection.sock is not None
                and not answer.will_close
                and len(self._idle) < IDLE_CONNECTIONS
            ):
                self._idle.append(connection)
                return
        connection.close()

    def close(self) -> None:
        """Close what is idle; what is in use is closed by its user."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _take(self, fresh: bool) -> http.client.HTTPConnection:
        if not fresh:
            with self._lock:
                if self._idle:
                    return self._idle.pop()
        host, port = self._host, self._port
        if self._proxy.hostname:
            host, port = self._proxy.hostname, self._proxy.port or 80
        if not self._secure:
            return http.client.HTTPConnection(host, port, timeout=self.timeout_seconds)
        if self._context is None:
            self._context = self._tls.context()
        made = http.client.HTTPSConnection(
            host, port, timeout=self.timeout_seconds, context=self._context
        )
        if self._proxy.hostname:
            made.set_tunnel(self._host, self._port, headers=self._proxy_headers())
        return made

    def _connect(self, connection: http.client.HTTPConnection) -> None:
        try:
            connection.connect()
        except ssl.SSLCertVerificationError as error:
            connection.close()
            raise NotReachable(
                f"The certificate of {self.url} is not to be trusted: {error.verify_message}; name"
                " the file of its authority with --ca.",
                code="certificate",
            ) from error
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            why = "it does not answer" if isinstance(error, TIMEOUTS) else str(error)
            raise NotReachable(f"Cannot connect to {self.url}: {why}") from error
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def _authority(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{host}:{self._port}"

    def _proxy_headers(self) -> dict[str, str]:
        if self._proxy.username is None:
            return {}
        pair = f"{unquote(self._proxy.username)}:{unquote(self._proxy.password or '')}"
        return {"Proxy-Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def proxy_of(scheme: str, host: str) -> str:
    """Return the proxy that the environment, or the system, has for a URL; "" for none."""
    named = any(name.lower() in {f"{scheme}_proxy", "all_proxy"} for name in os.environ)
    if not named and sys.platform not in {"darwin", "win32"}:
        return ""
    from urllib.request import getproxies, proxy_bypass

    if proxy_bypass(host):
        return ""
    found = getproxies()
    return found.get(scheme) or found.get("all") or ""


def send(
    connection: http.client.HTTPConnection,
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes | None,
) -> None:
    """
    Send a request.

    Raises:
        Usage: HTTP has no such method, path or header.
    """
    try:
        connection.request(method, target, body=body, headers=headers)
    except (http.client.InvalidURL, ValueError) as error:
        raise Usage(f"This cannot be sent: {error}") from error


def lost(error: Exception) -> Error:
    """Return the error of a request that was sent and has no answer."""
    if isinstance(error, TIMEOUTS):
        return ConnectionLost("No answer came in time.", code="timeout")
    text = str(error) or type(error).__name__
    return ConnectionLost(f"The connection was lost: {text}")
