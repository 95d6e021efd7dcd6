"""
The audit log: one JSON line for each login, command, key operation, hook and refusal.

Lines are written by a thread of their own, each with one `write` to a file that is open for
appending, so that several processes can share the file.
"""

import asyncio
import contextlib
import datetime
import logging
import os
import queue
import re
import stat
import threading
import time
from concurrent.futures import Future
from typing import Any

from saltapi import formats, trace
from saltapi.config import KIB, ServiceSection
from saltapi.engine.audit import activity
from saltapi.engine.audit.activity import Act
from saltapi.engine.audit.redaction import Redaction
from saltapi.errors import (
    AddressRefused,
    AuditUnavailable,
    AuthenticationFailed,
    AuthorizationFailed,
    CannotStart,
    CertificateRefused,
    OriginRefused,
    SaltApiError,
    ServiceBusy,
    TooManyRequests,
)
from saltapi.masking import redact

log = logging.getLogger(__name__)

FILE_MODE = 0o600
QUEUE_LINES = 10_000
"""So many lines wait for a disk that is full or slow; those after them are lost."""
LINE_LIMIT_BYTES = 64 * KIB
TARGETS_SHOWN = 100
TEXT_LIMIT_CHARACTERS = 256
RETRY_SECONDS = 1.0
WRITE_TIMEOUT_SECONDS = 5.0
"""How long a command waits for its line with `audit_required`."""
CLOSE_TIMEOUT_SECONDS = 5.0
UNAVAILABLE = (
    "Nothing runs now, because the server cannot write its audit log; its disk may be full."
)

REFUSALS = (
    AddressRefused,
    AuditUnavailable,
    AuthenticationFailed,
    AuthorizationFailed,
    CertificateRefused,
    OriginRefused,
    ServiceBusy,
    TooManyRequests,
)
REFUSAL_STATUSES = {401: "authentication", 403: "authorization", 429: "too_many_requests"}
_CONTROL = re.compile("[\x7f-\x9f\u2028\u2029]")
"""What JSON lets stand as it is, and what some programs take for the end of a line."""
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class AuditFile:
    """Appends lines to a file, from a thread of its own; a file that was moved is made again."""

    def __init__(self, path: str) -> None:
        """
        Raises:
            CannotStart: The file cannot be written.
        """
        self.path = path
        self.failing = False
        """Whether a line is waiting until it can be written."""
        self.lost_lines = 0
        self._queue: queue.Queue[tuple[bytes, Future[None] | None] | None] = queue.Queue(
            QUEUE_LINES
        )
        self._descriptor: int | None = None
        self._identity: tuple[int, int] | None = None
        self._is_torn = False
        self._has_failed = False
        self._stop = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        try:
            self._open()
        except OSError as error:
            raise CannotStart(
                f"audit_log: the file {path} cannot be written: {error.strerror}."
            ) from error

    def start(self) -> None:
        """Begin to write; idempotent, from any thread."""
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="saltapi-audit", daemon=True)
                self._thread.start()

    def put(self, line: bytes) -> None:
        """Have *line* written soon; it is lost if too many wait already."""
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait((line, None))
            return
        self.lost_lines += 1
        if self.lost_lines == 1:
            log.error("The audit log %s cannot be written fast enough; lines are lost.", self.path)

    async def write(self, line: bytes) -> None:
        """
        Return when *line* is in the file.

        Raises:
            AuditUnavailable: It cannot be written now.
        """
        written: Future[None] = Future()
        if self.failing:
            raise AuditUnavailable(UNAVAILABLE)
        try:
            self._queue.put_nowait((line, written))
            async with asyncio.timeout(WRITE_TIMEOUT_SECONDS):
                await asyncio.wrap_future(written)
        except (queue.Full, TimeoutError, OSError) as error:
            raise AuditUnavailable(UNAVAILABLE) from error

    def close(self) -> None:
        """Write what waits, and end; idempotent."""
        if self._thread is not None:
            self._stop.set()
            with contextlib.suppress(queue.Full):  # then the thread sees the event
                self._queue.put_nowait(None)
            self._thread.join(CLOSE_TIMEOUT_SECONDS)
        if self._descriptor is not None and (self._thread is None or not self._thread.is_alive()):
            os.close(self._descriptor)
            self._descriptor = None

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            line, written = item
            if written is not None and not written.set_running_or_notify_cancel():
                continue  # nobody waits for it any more: what it announces was refused
            self._write(line, written)
            if self._stop.is_set() and self._queue.empty():
                return

    def _write(self, line: bytes, written: Future[None] | None) -> None:
        """Append *line*; one that nobody waits for is tried until it is written."""
        while True:
            try:
                self._append(line)
            except OSError as error:
                self._report(error)
                if written is not None:
                    written.set_exception(error)
                    return
                if self._stop.is_set():
                    self.lost_lines += 1
                    return
                self.failing = True
                self._stop.wait(RETRY_SECONDS)
                continue
            self.failing = False
            self._report(None)
            if written is not None:
                written.set_result(None)
            return

    def _report(self, error: OSError | None) -> None:
        """Log that writing has begun to fail, or works again."""
        if error is not None and not self._has_failed:
            log.error("The audit log %s cannot be written: %s", self.path, error)
        elif error is None and self._has_failed:
            log.warning("The audit log %s is written again.", self.path)
        self._has_failed = error is not None

    def _append(self, line: bytes) -> None:
        self._follow()
        if self.lost_lines:
            lost = {"time": now(), "event": "lost", "lines": self.lost_lines}
            self._write_once(encoded(lost))
            self.lost_lines = 0
        self._write_once(line)

    def _write_once(self, line: bytes) -> None:
        assert self._descriptor is not None  # noqa: S101 - `_follow` has opened it
        whole = b"\n" + line if self._is_torn else line
        count = os.write(self._descriptor, whole)
        self._is_torn = count < len(whole)
        if self._is_torn:
            raise OSError("only a part of a line could be written")

    def _follow(self) -> None:
        """Open the file again if another one, or none, has its name now."""
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            self._open()
            return
        if (found.st_dev, found.st_ino) != self._identity or self._descriptor is None:
            self._open()

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self.path, flags | os.O_NONBLOCK, FILE_MODE)
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            os.close(descriptor)
            raise OSError(0, "it is no regular file")
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._is_torn = False
        self._descriptor = descriptor
        self._identity = (found.st_dev, found.st_ino)


class AuditLog:
    """The audit log of one module in one process."""

    def __init__(self, section: ServiceSection) -> None:
        """
        Raises:
            CannotStart: The file cannot be written.
        """
        self.required = section.audit_required
        self.redaction = Redaction(section.audit_arguments, section.audit_redact)
        self.file = AuditFile(section.audit_log) if section.audit_log else None
        if self.required and self.file is None:
            raise CannotStart("audit_required needs an audit_log: the path of a file.")

    def start(self) -> None:
        """Begin to write; idempotent."""
        if self.file is not None:
            self.file.start()

    async def close(self) -> None:
        """Write what waits, and end; idempotent."""
        if self.file is not None:
            await asyncio.to_thread(self.file.close)

    def record(self, current: trace.Trace, **facts: str) -> "RequestRecorder | None":
        """
        Return what keeps the acts of one request, None without an audit log.

        Args:
            current: The request's trace.
            facts: What each line of it says: `module`, `address`, `method` and `path`.
        """
        recorder = None
        if self.file is not None:
            self.file.start()  # a refusal may come before anything has started the engine
            recorder = RequestRecorder(self, self.file, current, facts)
        activity.recorder.set(recorder)  # also none: threads keep what was set for the last request
        return recorder


class RequestRecorder:
    """Writes the lines of one request."""

    def __init__(
        self, audit: AuditLog, file: AuditFile, current: trace.Trace, facts: dict[str, str]
    ) -> None:
        self._audit = audit
        self._file = file
        self._trace = current
        self._facts = facts
        self._began_at = time.monotonic()
        self._acts = 0
        self._noted: BaseException | None = None

    async def began(self, act: Act) -> None:
        """Same as `acts.Recorder.began`; with `audit_required` the line is in the file then."""
        self._acts += 1
        if self._audit.required:
            await self._file.write(self._line(act.event, {"outcome": "started"}, act))

    def ended(self, act: Act, error: BaseException | None) -> None:
        """Same as `acts.Recorder.ended`."""
        self._noted = error
        found = outcome(error)
        found["duration_ms"] = _since(act.began_at)
        self._file.put(self._line(act.event, found, act))

    def finish(self, status: int | None) -> None:
        """
        Note what the request ended with, as far as its acts do not say so.

        Every refusal leaves a line, and so does every request that may have changed something.

        Args:
            status: What it was answered with; None if there was no answer.
        """
        error = self._trace.error
        if isinstance(error, REFUSALS):
            if error is self._noted:
                return
            event, found = "refusal", outcome(error)
        elif error is None and status in REFUSAL_STATUSES:
            event, found = "refusal", {"outcome": "refused", "code": REFUSAL_STATUSES[status]}
        elif not self._acts and self._facts["method"] not in SAFE_METHODS:
            event, found = "request", outcome(error)
        else:
            return
        if status is not None:
            found["status"] = status
        found["duration_ms"] = _since(self._began_at)
        self._file.put(self._line(event, found, None))

    def _line(self, event: str, found: dict[str, Any], act: Act | None) -> bytes:
        current = self._trace
        line: dict[str, Any] = {
            "time": now(),
            "event": event,
            **found,
            "user": _short(current.user),
            "eauth": _short(current.eauth),
            "request_id": current.request_id,
            **{name: _short(fact) for name, fact in self._facts.items()},
        }
        if current.machine:
            line["token"] = current.machine
        if current.context is not None:
            line["trace_id"] = current.context.trace_id
        if act is None:
            return encoded(line)
        known = {
            "client": act.client,
            "function": act.fun,
            "target": _shown_target(act.tgt),
            "target_type": act.tgt_type,
            "jid": act.jids or None,
        }
        line.update({name: value for name, value in known.items() if value is not None})
        shown = self._audit.redaction.arguments(act.fun or "", act.arguments, act.named_arguments)
        text = encoded({**line, **shown})
        if len(text) <= LINE_LIMIT_BYTES:
            return text
        short = encoded({**line, "arguments_omitted_bytes": len(text)})
        if len(short) <= LINE_LIMIT_BYTES:
            return short
        for name in ("function", "target"):
            if isinstance(line.get(name), str | list):
                line[name] = str(line[name])[:TEXT_LIMIT_CHARACTERS] + "…"
        return encoded({**line, "arguments_omitted_bytes": len(text)})


def outcome(error: BaseException | None) -> dict[str, Any]:
    """Return `outcome` (`ok`, `failed` or `refused`) and the `code` of an error."""
    if error is None:
        return {"outcome": "ok"}
    if isinstance(error, SaltApiError):
        word = "refused" if isinstance(error, REFUSALS) else "failed"
        return {"outcome": word, "code": error.code}
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        return {"outcome": "failed", "code": "cancelled"}
    return {"outcome": "failed", "code": SaltApiError.code}


def encoded(line: dict[str, Any]) -> bytes:
    """Return *line* as it stands in the file."""
    text = formats.dump_json(line).decode()
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode() + b"\n"


def now() -> str:
    """Return the time in UTC (RFC 3339), with milliseconds."""
    text = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _short(text: str | None) -> str | None:
    return text if text is None else text[:TEXT_LIMIT_CHARACTERS]


def _since(began_at: float) -> float:
    return round((time.monotonic() - began_at) * 1000, 1)


def _shown_target(tgt: str | list[str] | None) -> str | list[str] | None:
    if isinstance(tgt, str):
        return redact(tgt)
    if tgt is not None and len(tgt) > TARGETS_SHOWN:
        return [*tgt[:TARGETS_SHOWN], f"… and {len(tgt) - TARGETS_SHOWN} more"]
    return tgt
