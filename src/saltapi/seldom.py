"""
Log lines that people outside can cause without end: one a minute for each kind, all counted.

A kind is a word of ours, so there are only so many; `/metrics` shows how often each happened.
"""

import logging
import time
from collections import Counter
from typing import Literal, get_args

INTERVAL_SECONDS = 60.0

Kind = Literal[
    "forged_value",
    "job_index",
    "malformed_http",
    "out_of_descriptors",
    "refused_question",
    "tls_handshake",
    "unchecked_bearer",
    "unknown_token",
    "untrusted_user_header",
    "websocket_not_utf8",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
counts: Counter[Kind] = Counter()
"""How often each kind has happened in this process."""
_said: dict[Kind, tuple[float, int]] = {}
"""When a kind was last logged, on the monotonic clock, and how often it had happened by then."""


def warning(log: logging.Logger, kind: Kind, message: str, *values: object) -> None:
    """Count *kind*, and log *message* if that has not happened for a minute."""
    more = _due(kind)
    if more is not None:
        message += more
        log.warning(message, *values)


def quiet(logger: str, message: str, kind: Kind) -> None:
    """Have what others log under *logger*, beginning with *message*, be of the kind *kind*."""
    log = logging.getLogger(logger)
    if not any(isinstance(one, _Quiet) and one.kind == kind for one in log.filters):
        log.addFilter(_Quiet(message, kind))


class _Quiet(logging.Filter):
    def __init__(self, message: str, kind: Kind) -> None:
        super().__init__()
        self.message = message
        self.kind = kind

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether *record* is to be logged; a traceback says nothing of an outsider."""
        if not str(record.msg).startswith(self.message):
            return True
        more = _due(self.kind)
        if more is None:
            return False
        record.msg, record.exc_info = f"{record.msg}{more}", None
        return True


def _due(kind: Kind) -> str | None:
    """Count *kind*; return None while it is too early to log it, else what to add to the line."""
    counts[kind] += 1
    now = time.monotonic()
    said_at, count = _said.get(kind, (now - INTERVAL_SECONDS, counts[kind] - 1))
    if now - said_at < INTERVAL_SECONDS:
        return None
    _said[kind] = now, counts[kind]
    more = counts[kind] - count - 1
    return f" ({more} more since the last such line)" if more else ""
