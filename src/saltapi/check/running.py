"""What runs on this machine already: another API, who has a port, who has the pid file."""

from collections.abc import Iterator
from pathlib import Path

from saltapi.check.line import Line
from saltapi.process.others import Process, apis, holder, listener
from saltapi.types import Opts


def processes(opts: Opts) -> Iterator[Line]:
    """Tell which APIs run, and whose the pid file is."""
    pid_file = Path(opts["pidfile"])
    owner = holder(pid_file)
    if owner is not None and not owner.api:
        yield Line(
            "error",
            f"api_pidfile {pid_file} is the pid file of {_named(owner)}: saltapi does not take it."
            " Set api_pidfile to a file of its own.",
            ("api_pidfile",),
        )
    for process in apis():
        said = f", says {pid_file}" if process == owner else ""
        yield Line("note", f"{process.api} runs as process {process.pid}{said}.")
    if owner is not None and owner.api:
        yield Line(
            "warning",
            f"{owner.api}, process {owner.pid}, holds {pid_file}, so no second one starts. Stop it,"
            " or restart it, to use what is checked here.",
        )


def port(name: str, host: str, number: int, opts: Opts) -> Iterator[Line]:
    """Tell who has the port that a module would listen on."""
    process = listener(host, number)
    if process is None:
        return
    running = holder(Path(opts["pidfile"]))
    if running is not None and running.api and _descends(process, running):
        yield Line("ok", f"{name}: port {number} is that of {running.api} as it runs now.")
        return
    yield Line(
        "error",
        f"{name}: port {number} is in use by {_named(process)}. Stop that, or set another port.",
        (name, "port"),
    )


def _named(process: Process) -> str:
    if not process.pid:
        return "a process that only root can see"
    return f"{process.name} (process {process.pid})"


def _descends(process: Process, ancestor: Process) -> bool:
    """Tell whether *process* is *ancestor* or was started by it."""
    while process.pid > 1:
        if process == ancestor:
            return True
        process = Process(process.parent)
    return False
