"""
Logging as the master config wants it: console, file or syslog, Salt's level names.

A log file that was moved away (logrotate) is opened again with the next record. The text of
every record passes `masking.redact`, the last line of defence against a credential in a log.
"""

import datetime
import io
import json
import logging
import logging.handlers
import os
import socket
import sys
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlsplit

from saltapi import trace
from saltapi.errors import CannotStart
from saltapi.masking import redact
from saltapi.types import Opts

LEVELS = {
    "all": logging.NOTSET,
    "garbage": 1,
    "trace": 5,
    "debug": logging.DEBUG,
    "profile": 15,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
    "quiet": 1000,
}
"""Salt's names of levels."""

LOG_FILE_MODE = 0o640
SYSLOG_SCHEMES = {"file", "tcp", "udp"}
CONSOLE_DATES = "%H:%M:%S"
FILE_DATES = "%Y-%m-%d %H:%M:%S"
CONSOLE_FORMAT = "[%(levelname)-8s] %(message)s"
FILE_FORMAT = (
    "%(asctime)s,%(msecs)03d [%(name)-17s:%(lineno)-4d][%(levelname)-8s][%(process)d] %(message)s"
)


class Redacting(logging.Handler):
    """
    A handler that hides credentials in what it writes, traceback included.

    It is the handler that does this because Salt's loggers replace formatters: when one with a
    long name is made, each handler gets a new formatter with a wider column for names.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of *record*, redacted."""
        text = super().format(record)
        # What is redacted as a whole may no longer be JSON; this formatter does it by itself.
        return text if isinstance(self.formatter, JsonFormatter) else redact(text)


class JsonFormatter(logging.Formatter):
    """
    One JSON object for each record: `time`, `level`, `logger`, `pid`, `message`, `exception`.

    What belongs to a request also has its `request_id`, and `user`, `jid` (a list) and `trace_id`
    as far as they are known by then.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with all texts redacted."""
        time = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line: dict[str, Any] = {
            "time": time.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "pid": record.process,
            "message": redact(record.getMessage()),
        }
        if record.exc_info:
            line["exception"] = redact(self.formatException(record.exc_info))
        current = trace.current.get()
        if current is not None:
            line.update(current.as_mapping())
        return json.dumps(line, default=str)


class Console(Redacting, logging.StreamHandler[TextIO]):
    """Standard error, as long as somebody reads it."""


class Syslog(Redacting, logging.handlers.SysLogHandler):
    """The system's log."""


class LogFile(Redacting, logging.handlers.WatchedFileHandler):
    """A log file that is followed when it is moved, and that never fails its caller."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write *record*; trouble with the file goes to standard error."""
        try:
            super().emit(record)
        except OSError:  # the file was moved away and cannot be created again
            self.handleError(record)

    def reopen(self) -> None:
        """Open the file again if it was moved, or could not be opened before."""
        self.acquire()
        try:
            if self.stream is None:
                self.stream = self._open()
            self.reopenIfNeeded()
        except OSError as error:
            sys.stderr.write(f"The log file {self.baseFilename} is lost: {error}\n")
        finally:
            self.release()

    def _open(self) -> io.TextIOWrapper:
        return open(
            self.baseFilename,
            "a",
            encoding="utf-8",
            opener=lambda path, flags: os.open(path, flags, LOG_FILE_MODE),
        )


def setup(opts: Opts, *, console: bool = True) -> None:
    """
    Send log records where the master's *opts* want them; what was set up before is dropped.

    Reads `api_log_format`, `log_level`, `log_file`, `log_level_logfile`, `log_fmt_console`,
    `log_fmt_logfile`, `log_datefmt`, `log_datefmt_logfile` and `log_granular_levels`.

    Args:
        opts: The master's options.
        console: Whether there is somebody to read standard error.

    Raises:
        CannotStart: A level or a format does not exist, or the log file cannot be opened.
    """
    console_level = level_of(opts.get("log_level"), "log_level")
    file_level = level_of(
        opts.get("log_level_logfile") or opts.get("log_level"), "log_level_logfile"
    )
    handlers: list[logging.Handler] = []
    if console:
        stderr = Console(sys.stderr)
        stderr.setLevel(console_level)
        stderr.setFormatter(
            _formatter(
                opts, "log_fmt_console", CONSOLE_FORMAT, opts.get("log_datefmt") or CONSOLE_DATES
            )
        )
        handlers.append(stderr)
    if opts.get("log_file") and file_level < LEVELS["quiet"]:
        destination = _destination(str(opts["log_file"]))
        destination.setLevel(file_level)
        destination.setFormatter(
            _formatter(
                opts, "log_fmt_logfile", FILE_FORMAT, opts.get("log_datefmt_logfile") or FILE_DATES
            )
        )
        handlers.append(destination)
    _replace_handlers(handlers)
    for name, level in (opts.get("log_granular_levels") or {}).items():
        logging.getLogger(name).setLevel(level_of(level, f"log_granular_levels.{name}"))


def level_of(name: Any, option: str = "log_level") -> int:
    """
    Return the number of the level called *name*; none at all means warning.

    Raises:
        CannotStart: There is no such level; the text names *option*.
    """
    try:
        return LEVELS[str(name or "warning").lower()]
    except KeyError:
        raise CannotStart(f"{option} cannot be {name!r}; use one of {', '.join(LEVELS)}.") from None


def reopen() -> None:
    """Open log files again that were moved away since the last record."""
    for handler in logging.root.handlers:
        if isinstance(handler, LogFile):
            handler.reopen()


def leave_console() -> None:
    """Stop logging to standard error: nobody reads it any more."""
    for handler in list(logging.root.handlers):
        if isinstance(handler, Console):
            logging.root.removeHandler(handler)
    if not logging.root.handlers:  # without any, Python falls back to standard error
        logging.root.addHandler(logging.NullHandler())


def create_file(path: str, uid: int, gid: int) -> None:
    """
    Create the log file *path* for another user, unless something is there already.

    A file that exists keeps its owner: it could be a link that the other user has made.

    Raises:
        CannotStart: The file cannot be created.
    """
    if urlsplit(path).scheme in SYSLOG_SCHEMES:
        return
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags, LOG_FILE_MODE)
    except FileExistsError:
        return
    except OSError as error:
        raise _cannot_open(path, error) from error
    try:
        os.fchown(descriptor, uid, gid)
    finally:
        os.close(descriptor)


def _replace_handlers(handlers: list[logging.Handler]) -> None:
    root = logging.getLogger()
    old, root.handlers[:] = list(root.handlers), handlers or [logging.NullHandler()]
    for handler in old:
        # Salt collects what it logs while the config is read; hand it on instead of losing it.
        if hasattr(handler, "sync_with_handlers"):
            for new in handlers:
                new.addFilter(lambda record, new=new: record.levelno >= new.level)  # type: ignore[misc]
            handler.sync_with_handlers(handlers)
        handler.close()
    root.setLevel(min((handler.level for handler in handlers), default=LEVELS["quiet"]))


def _formatter(opts: Opts, option: str, default: str, datefmt: str) -> logging.Formatter:
    if opts.get("api_log_format") == "json":
        return JsonFormatter()
    text = str(opts.get(option) or default)
    # Importing this makes the fields of Salt's formats known, `bracketlevel` and others.
    from salt._logging.impl import SaltColorLogRecord, set_log_record_factory

    if "%(color" in text:
        set_log_record_factory(SaltColorLogRecord)
    probe = logging.getLogRecordFactory()("saltapi", logging.INFO, "", 1, "", (), None)
    try:
        formatter = logging.Formatter(text, datefmt=datefmt)
        formatter.format(probe)
    except (ValueError, KeyError, TypeError) as error:
        raise CannotStart(f"{option} is no format for log records: {error}.") from error
    return formatter


def _destination(target: str) -> logging.Handler:
    """Return the handler for *target*: a path, or `file://`, `udp://`, `tcp://` for syslog."""
    url = urlsplit(target)
    try:
        if url.scheme in SYSLOG_SCHEMES:
            return _syslog(url.scheme, url.hostname, url.port, Path(url.path or "/"))
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        return LogFile(target)
    except OSError as error:
        raise _cannot_open(target, error) from error


def _syslog(scheme: str, host: str | None, port: int | None, path: Path) -> logging.Handler:
    facility = "LOG_USER"
    if path.name.upper().startswith("LOG_"):
        facility, path = path.name.upper(), path.parent
    number = getattr(logging.handlers.SysLogHandler, facility, None)
    if not isinstance(number, int):
        raise CannotStart(f"log_file names the syslog facility {facility}, which does not exist.")
    if scheme == "file":
        return Syslog(str(path.resolve()), number)
    kind = socket.SOCK_STREAM if scheme == "tcp" else socket.SOCK_DGRAM
    address = (host or "localhost", port or logging.handlers.SYSLOG_UDP_PORT)
    return Syslog(address, number, kind)


def _cannot_open(path: str, error: OSError) -> CannotStart:
    return CannotStart(
        f"The log file {path} cannot be opened: {error.strerror or error}."
        " Set api_logfile in the master config, or use --log-file."
    )
