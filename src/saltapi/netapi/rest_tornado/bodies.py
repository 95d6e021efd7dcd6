"""The body of one request, as it comes through Tornado."""

import asyncio
from typing import Any

from tornado.httputil import HTTPServerRequest
from tornado.web import RequestHandler, stream_request_body

from saltapi import errors
from saltapi.netapi._http.bodies import DRAINED_BYTES, STRANGERS, TOO_LARGE
from saltapi.netapi.rest_tornado.reception import LINGER_SECONDS, Reception


class NotLoggedIn(errors.AuthenticationFailed):
    """The URL is for sessions; who has none is sent to `/login` (302), as Salt's module does."""


@stream_request_body
class BodyHandler(RequestHandler):  # type: ignore[misc]
    """Base of all handlers: it collects the body, within what its client may send."""

    application: Any
    takes_strangers = False
    """Whether who it is stands in the body, or in how it is signed."""

    def __init__(self, application: Any, request: HTTPServerRequest, **options: Any) -> None:
        """Same as Tornado's."""
        self._parts: list[bytes] = []
        self._size_bytes = 0
        self._reception: Reception | None = getattr(request.connection.stream, "reception", None)
        self._limit_bytes: int = application.section.max_request_body_size
        self._strangers_bytes: int = application.engine.config.api_stranger_body_bytes
        self._too_large: errors.SaltApiError = errors.BodyTooLarge(
            TOO_LARGE.format(self._limit_bytes)
        )
        self._is_limit_known = self._strangers_bytes >= self._limit_bytes
        self.is_refused = False
        """Whether it was answered while the body came."""
        super().__init__(application, request, **options)

    @property
    def peer(self) -> str:
        """The address that the request comes from."""
        raise NotImplementedError

    async def find_token(self) -> str:
        """Return the session token that the request means; "" without one."""
        raise NotImplementedError

    def fail(
        self,
        status: int,
        sentence: str,
        error: errors.SaltApiError | None = None,
        *,
        written: tuple[str, bytes] | None = None,
        lingers: bool = False,
    ) -> None:
        """Answer with an error."""
        raise NotImplementedError

    @property
    def raw_body(self) -> bytes:
        """The request's body as it came."""
        return b"".join(self._parts)

    async def prepare(self) -> None:
        """Begin, before the body has come; one that is far too large is not waited for."""
        headers = self.request.headers
        text = headers.get("Content-Length", "")
        length = int(text) if text.isdecimal() else 0
        if self._reception is not None and (length or "Transfer-Encoding" in headers):
            self._reception.begin_body(self, self.peer)
        if length > self._strangers_bytes:
            await self._find_limit()
        if length > self._limit_bytes + DRAINED_BYTES:
            self._fail_too_large()

    async def data_received(self, chunk: bytes) -> None:
        """Collect the body; of one that is too large no more than is worth draining."""
        self._size_bytes += len(chunk)
        if self._size_bytes > self._strangers_bytes:
            await self._find_limit()
        if self.is_refused:
            return
        if self._size_bytes <= self._limit_bytes:
            self._parts.append(chunk)
            return
        self._parts.clear()
        if self._reception is not None:
            self._reception.intake.drop()
        if self._size_bytes > self._limit_bytes + DRAINED_BYTES:
            self._fail_too_large()

    def check_size(self) -> None:
        """
        Return if the body is no longer than it may be.

        Raises:
            BodyTooLarge
            NotLoggedIn: It is, for a stranger with a token that is no session's.
            SaltApiError: Whether it is no stranger could not be found out.
        """
        if self._size_bytes <= self._limit_bytes:
            return
        if isinstance(self._too_large, errors.AuthenticationFailed):
            raise NotLoggedIn(str(self._too_large)) from self._too_large
        raise self._too_large

    def end_body(self) -> None:
        """Note that the body is complete; again is nothing."""
        if self._reception is not None:
            self._reception.complete()

    def refuse_body(self, error: errors.SaltApiError) -> None:
        """Answer with *error* while the body comes, and take no more of it."""
        if self.is_refused:
            return
        self.is_refused = True
        self._parts.clear()
        if self._finished or self._headers_written:
            self.request.connection.stream.close()
        else:
            self.fail(error.status, str(error), error, lingers=True)

    def finish_later(self, body: bytes) -> None:
        """Send *body*; the connection ends when the client had time to read it."""
        self.set_header("Content-Length", str(len(body)))
        self.set_header("Connection", "close")
        self.write(body)
        self.flush()
        asyncio.get_running_loop().call_later(LINGER_SECONDS, self._leave)

    def _leave(self) -> None:
        if not self._finished and not self.request.connection.stream.closed():
            self.finish()

    async def _find_limit(self) -> None:
        """Find out, once, whether the body may be as long as bodies may be at all."""
        if self._is_limit_known:
            return
        self._is_limit_known = True
        if self.takes_strangers:
            return
        problem: errors.SaltApiError = errors.BodyTooLarge(STRANGERS.format(self._strangers_bytes))
        if self._reception is not None:
            self._reception.is_paused = True
        try:
            token = await self.find_token()
            if token:
                await self.application.engine.api.identify(token, peer=self.peer)
                return
        except errors.SaltApiError as error:
            problem = error
        finally:
            if self._reception is not None:
                self._reception.is_paused = False
        self._limit_bytes, self._too_large = self._strangers_bytes, problem

    def _fail_too_large(self) -> None:
        if not self._finished:
            self.fail(self._too_large.status, str(self._too_large), self._too_large)
