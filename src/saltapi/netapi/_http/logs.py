"""The log files of one netapi module alone: `log_access_file` and `log_error_file`."""

import logging
import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from saltapi import trace
from saltapi.config import HttpSection
from saltapi.errors import CannotStart
from saltapi.process import log as logs

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

ACCESS = "saltapi.access"
"""The logger of the lines that requests end with."""
PROGRAM = "saltapi"
LINE_FORMAT = "%(asctime)s %(levelname)s %(message)s"
TOKEN_IN_PATH = re.compile(r"[0-9a-fA-F]{32,}")
TICKET_IN_QUERY = re.compile(r"\bticket=[^&\s\"']+")
access_log = logging.getLogger(ACCESS)


def open_logs(section: HttpSection) -> None:
    """
    Write the module's log files, beside what the master config's `log_level` has logged.

    With `debug` the error file gets everything, else warnings and errors.

    Raises:
        CannotStart: A file cannot be written.
    """
    if section.log_access_file:
        access_log.setLevel(logging.INFO)
        access_log.addHandler(_handler(section.log_access_file))
    level = logging.DEBUG if section.debug else logging.WARNING
    if section.debug:
        logging.getLogger(PROGRAM).setLevel(logging.DEBUG)
    if section.log_error_file:
        handler = _handler(section.log_error_file)
        handler.setLevel(level)
        handler.addFilter(_of_request)
        handler.setFormatter(logging.Formatter(f"{LINE_FORMAT}%(request)s"))
        for name in (PROGRAM, "cherrypy", "tornado"):
            logging.getLogger(name).addHandler(handler)


def log_access(environ: "WSGIEnvironment", status: str, seconds: float) -> None:
    """Write the line that the current request ends with."""
    access_log.info(
        '%s "%s %s" %s %.0f ms %s',
        environ.get("REMOTE_ADDR") or "-",
        one_line(environ.get("REQUEST_METHOD", "-")),
        loggable_path(environ),
        status,
        seconds * 1000,
        trace.current.get(),
    )


def loggable_path(environ: "WSGIEnvironment") -> str:
    """Return the request's path, encoded as in the URL, without a token in it."""
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    return without_token(quote(path, safe="/:@!$&'()*+,;=%~", encoding="latin-1"))


def without_token(text: str) -> str:
    """Return *text* without anything that looks like a token or a ticket."""
    return TICKET_IN_QUERY.sub("ticket=***", TOKEN_IN_PATH.sub("***", text))


def one_line(text: str) -> str:
    """Return *text* so that it cannot look like lines of a log of its own."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _of_request(record: logging.LogRecord) -> bool:
    """Say which request a record is about; leave out what the access file gets."""
    about = str(trace.current.get() or "-")
    record.request = "" if about in record.getMessage() else f" {about}"
    return record.name != ACCESS


def _handler(path: str) -> logs.LogFile:
    try:
        handler = logs.LogFile(path)
    except OSError as error:
        raise CannotStart(f"The log file {path} cannot be written: {error.strerror}.") from error
    handler.setFormatter(logging.Formatter(LINE_FORMAT))
    return handler
