"""One request and its answer (RFC 9110's exchange), as the audit log and the metrics keep it."""

import time
from collections.abc import Mapping
from typing import Any

from saltapi import trace
from saltapi.engine.engine import Engine
from saltapi.errors import SaltApiError
from saltapi.netapi._http.logs import loggable_path

NO_ANSWER = 499
"""What requests are counted as whose client left before there was an answer, as nginx does."""
WEBSOCKET = "WEBSOCKET"
"""The method of a request that opens a WebSocket."""


class Exchange:
    """
    One request until its answer.

    It is made where the request is handled, in its thread or task: what is done there for it, and
    on the engine's loop, leaves its lines in the audit log.
    """

    def __init__(
        self,
        engine: Engine[Any],
        environ: dict[str, Any],
        current: trace.Trace,
        *,
        method: str | None = None,
    ) -> None:
        """
        Args:
            engine: What all requests share.
            environ: The WSGI environ, as `proxies.believe` leaves it.
            current: The request's trace.
            method: The method, where the environ does not say it.
        """
        self._metrics = engine.metrics
        self._trace = current
        self._method = method_of(environ) if method is None else method
        self._began_at = time.monotonic()
        self._recorder = engine.audit.record(
            current,
            module=engine.name,
            address=environ.get("REMOTE_ADDR") or "",
            method=self._method,
            path=loggable_path(environ),
        )
        self._has_ended = False
        self._metrics.begin()

    @property
    def seconds(self) -> float:
        """How long it has taken until now."""
        return time.monotonic() - self._began_at

    def note(self, error: SaltApiError) -> None:
        """Say that the request is answered with *error*."""
        self._trace.error = error
        self._metrics.error(error.code)

    def end(self, route: str | None, status: int | None, seconds: float | None = None) -> None:
        """
        Say that the request has been answered; idempotent.

        Args:
            route: The template of its URL, None for a URL that there is not.
            status: The status of the answer; None if there was none.
            seconds: How long it took until the answer began, unless that is now.
        """
        if self._has_ended:
            return
        self._has_ended = True
        taken = self.seconds if seconds is None else seconds
        self._metrics.answered(route, self._method, status or NO_ANSWER, taken)
        self._metrics.end()
        if self._recorder is not None:
            self._recorder.finish(status)
        # The trace stays with its thread until the next request, and with what was begun in it. An
        # error holds, by its traceback, all that there was of the request.
        self._trace.error = None


def method_of(environ: Mapping[str, Any]) -> str:
    """Return the method of a request; `WEBSOCKET` for one that opens a WebSocket."""
    method = str(environ["REQUEST_METHOD"])
    upgrades = str(environ.get("HTTP_UPGRADE", "")).lower() == "websocket"
    return WEBSOCKET if upgrades and method == "GET" else method


def template(route: str, *, whole: bool) -> str:
    """Return the template of a URL, without the last name in it unless that was given."""
    return route if whole else route.partition("/{")[0] or "/"
