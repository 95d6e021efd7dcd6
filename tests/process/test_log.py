import json
import logging
import logging.handlers
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import salt._logging  # noqa: F401 - it changes the record factory, once

from saltapi import trace
from saltapi.errors import CannotStart
from saltapi.masking import redact
from saltapi.process import log as logs
from tests.secret_cases import HARMLESS, TEXTS


@pytest.fixture(autouse=True)
def _root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, factory = list(root.handlers), root.level, logging.getLogRecordFactory()
    yield
    logging.setLogRecordFactory(factory)
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


def _setup(path: Path, **opts: Any) -> None:
    logs.setup({"log_file": str(path), "log_level": "info", **opts}, console=False)


@pytest.mark.parametrize("text", TEXTS)
def test_secrets_are_hidden(tmp_path: Path, text: str) -> None:
    """Whatever is named like a secret has its value hidden in the log, in texts and in JSON."""
    for name in ("text", "json"):
        _setup(tmp_path / name, api_log_format=name)
        logging.getLogger("x").warning("%s", text)
        written = (tmp_path / name).read_text()

        assert "SECRET" not in written
        assert "***" in written


@pytest.mark.parametrize("text", ["GET /events/" + "5ec7e7" * 8, "GET /all_events/" + "5ec7e7" * 8])
def test_tokens_in_urls_are_hidden(text: str) -> None:
    """A token in the path of a URL is hidden."""
    assert "5ec7e7" not in redact(text)


@pytest.mark.parametrize("text", HARMLESS)
def test_other_text_is_left_alone(text: str) -> None:
    """Text without a credential is not changed."""
    assert text == redact(text)


def test_what_is_around_a_credential_stays() -> None:
    """Only the value is hidden, so the record stays useful."""
    assert "eauth=pam password=*** fun=test.ping" == redact("eauth=pam password=x fun=test.ping")


def test_traceback_is_redacted(tmp_path: Path) -> None:
    """A credential in the text of an exception does not reach the file."""
    _setup(tmp_path / "api")
    try:
        int("token: abcdef")
    except ValueError:
        logging.getLogger("x").exception("failed")

    assert "with base 10: 'token: ***'" in (tmp_path / "api").read_text()
    assert "abcdef" not in (tmp_path / "api").read_text()


def test_formats_and_levels(tmp_path: Path) -> None:
    """The file has its own level and format; granular levels are honoured."""
    path = tmp_path / "new" / "api"
    _setup(
        path,
        log_level_logfile="trace",
        log_fmt_logfile="%(levelname)s %(name)s %(message)s %(bracketlevel)s",
        log_granular_levels={"noisy": "error"},
    )
    logging.getLogger("x").log(5, "fine")
    logging.getLogger("noisy").warning("noise")

    assert "TRACE x fine [TRACE   ]\n" == path.read_text()


def test_quiet_log_file(tmp_path: Path) -> None:
    """No log file is made when its level is quiet."""
    _setup(tmp_path / "api", log_level_logfile="quiet")

    assert not (tmp_path / "api").exists()


def test_log_file_is_not_for_everybody(tmp_path: Path) -> None:
    """A new log file can be read by its owner and group alone."""
    _setup(tmp_path / "api")

    assert 0 == (tmp_path / "api").stat().st_mode & 0o007


def test_moved_file_is_opened_again(tmp_path: Path) -> None:
    """After a move the next record goes to a new file; `reopen` makes it at once."""
    path = tmp_path / "api"
    _setup(path)
    path.rename(tmp_path / "api.1")
    logging.getLogger("x").warning("after")
    assert "after" in path.read_text()
    path.rename(tmp_path / "api.2")
    logs.reopen()

    assert path.exists()


def test_unwritable_file_does_not_fail_the_caller(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """When the file cannot be opened again, records are lost and the program goes on."""
    path = tmp_path / "logs" / "api"
    _setup(path)
    path.unlink()
    path.parent.rmdir()
    logging.getLogger("x").warning("lost")
    logs.reopen()

    assert "is lost" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("opts", "sentence"),
    [
        ({"log_level": "loud"}, "log_level cannot be 'loud'; use one of all, garbage"),
        ({"log_fmt_logfile": "%(nothing)s"}, "log_fmt_logfile is no format for log records"),
        ({"log_file": "/proc/no/api"}, "The log file /proc/no/api cannot be opened"),
        ({"log_file": "udp://localhost/LOG_NO"}, "the syslog facility LOG_NO, which does not"),
    ],
)
def test_wrong_options(tmp_path: Path, opts: dict[str, Any], sentence: str) -> None:
    """What cannot be done is said with the name of the option."""
    with pytest.raises(CannotStart, match=sentence):
        logs.setup({"log_file": str(tmp_path / "api"), **opts}, console=False)


def test_syslog(tmp_path: Path) -> None:
    """`udp://` sends records to syslog, with a facility if the URL names one."""
    logs.setup({"log_file": "udp://127.0.0.1:5140/LOG_DAEMON"}, console=False)
    (handler,) = logging.getLogger().handlers

    assert isinstance(handler, logging.handlers.SysLogHandler)
    assert ("127.0.0.1", 5140) == handler.address
    assert logging.handlers.SysLogHandler.LOG_DAEMON == handler.facility


def test_colours(capsys: pytest.CaptureFixture[str]) -> None:
    """Salt's coloured formats work on the console, and stop when the console is left."""
    logs.setup({"log_fmt_console": "%(colorlevel)s %(colormsg)s", "log_file": None})
    logging.getLogger("x").error("red")
    logs.leave_console()
    logging.getLogger("x").error("unseen")
    err = capsys.readouterr().err

    assert "red" in err
    assert "\x1b[" in err
    assert "unseen" not in err


def test_create_file_keeps_what_is_there(tmp_path: Path) -> None:
    """A new log file is created for the user; a link that stands there is not followed."""
    logs.create_file(str(tmp_path / "new"), os.getuid(), os.getgid())
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    logs.create_file(str(tmp_path / "link"), os.getuid(), os.getgid())

    assert (tmp_path / "new").exists()
    assert not (tmp_path / "elsewhere").exists()


def test_forked_child_logs(tmp_path: Path) -> None:
    """A forked process writes to the same file."""
    _setup(tmp_path / "api")
    pid = os.fork()
    if pid == 0:
        logging.getLogger("x").warning("from the child")
        os._exit(0)
    os.waitpid(pid, 0)

    assert "from the child" in (tmp_path / "api").read_text()


def _json_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_json_lines(tmp_path: Path) -> None:
    """With `api_log_format: json` each record is one JSON object, whatever is in it."""
    _setup(tmp_path / "log", api_log_format="json", log_fmt_logfile="%(message)s")
    trace.current.set(None)
    log = logging.getLogger("saltapi.test")
    log.warning('two\nlines of "%s"', "text")
    try:
        raise ValueError("password=SECRET")  # noqa: TRY301 - for its traceback
    except ValueError:
        log.exception("It failed.")
    first, second = _json_lines(tmp_path / "log")

    assert 'two\nlines of "text"' == first.pop("message")
    assert first.pop("time").endswith("+00:00")
    assert {"level": "warning", "logger": "saltapi.test", "pid": os.getpid()} == first
    assert "It failed." == second["message"]
    assert second["exception"].startswith("Traceback")
    assert "SECRET" not in second["exception"]


@pytest.mark.parametrize(
    "text",
    ["Authorization: Basic SECRET", 'password="SECRET"', "{'token': 'SECRET'}", "Cookie: SECRET\n"],
)
def test_json_lines_without_secrets(tmp_path: Path, text: str) -> None:
    """What is hidden leaves the line valid JSON."""
    _setup(tmp_path / "log", api_log_format="json")
    logging.getLogger("saltapi.test").warning("%s", text)
    (line,) = _json_lines(tmp_path / "log")

    assert "SECRET" not in line["message"]
    assert "***" in line["message"]


def test_json_lines_of_a_request(tmp_path: Path) -> None:
    """A record of a request says which: id, user, jobs and trace."""
    _setup(tmp_path / "log", api_log_format="json")
    context = trace.TraceContext.begin()
    found = trace.Trace(request_id="ab", user="fred", jids=["1"], context=context)
    token = trace.current.set(found)
    try:
        logging.getLogger("saltapi.test").warning("Something.")
    finally:
        trace.current.reset(token)
    (line,) = _json_lines(tmp_path / "log")

    wanted = {"request_id": "ab", "user": "fred", "jid": ["1"], "trace_id": context.trace_id}
    assert wanted.items() <= line.items()


def test_json_lines_stay(tmp_path: Path) -> None:
    """A logger with a long name, at which Salt replaces formats, changes nothing."""
    _setup(tmp_path / "log", api_log_format="json")
    logging.getLogger("saltapi." + "x" * 60).warning("Something.")
    (line,) = _json_lines(tmp_path / "log")

    assert "Something." == line["message"]
