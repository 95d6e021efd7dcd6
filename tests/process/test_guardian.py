"""Nothing survives: the guardian of a program."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from saltapi.process.programs import Program
from tests.waiting import eventually

DAEMONIZER = """
import os, pathlib, sys, time
def sleep():
    pathlib.Path("pids", str(os.getpid())).touch()
    time.sleep(1000)
pathlib.Path("pids").mkdir()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        sleep()
    os._exit(0)
if os.fork() == 0:
    sleep()
sleep()
"""
"""Has one child and one grandchild that left its session and its parent, as daemons do."""
PROCESSES = 3


def program_in(directory: Path) -> Program:
    return Program(
        "sleeper", [sys.executable, "-c", DAEMONIZER], directory / "sleeper.log", directory
    )


def processes_in(directory: Path) -> list[psutil.Process]:
    """Return the processes of the program, when all of them are there."""
    pids = directory / "pids"
    eventually(lambda: pids.is_dir() and len(list(pids.iterdir())) == PROCESSES)
    return [psutil.Process(int(path.name)) for path in pids.iterdir()]


def any_left(processes: list[psutil.Process]) -> bool:
    return any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)


@pytest.mark.parametrize("end", [Program.stop, Program.kill])
def test_stop_and_kill_leave_nothing(tmp_path: Path, end: object) -> None:
    """A stopped program is gone with its daemonized children when `stop` returns."""
    program = program_in(tmp_path)
    program.start()
    processes = processes_in(tmp_path)
    assert callable(end)
    end(program)

    assert not any_left(processes)
    assert not program.running


def test_killed_parent_leaves_nothing(tmp_path: Path) -> None:
    """When the process that started a program is killed, the program and its children go."""
    code = (
        "import pathlib, sys, time; sys.path[:0] = sys.argv[2:];"
        "from tests.process.test_guardian import program_in;"
        "program_in(pathlib.Path(sys.argv[1])).start(); time.sleep(1000)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path), *sys.path])
    try:
        processes = processes_in(tmp_path)
        guardians = psutil.Process(parent.pid).children()
    finally:
        parent.kill()
        parent.wait()

    eventually(lambda: not any_left(processes + guardians))


def test_killed_guardian_takes_the_program_along(tmp_path: Path) -> None:
    """A program does not outlive its guardian, even if that one is killed."""
    program = program_in(tmp_path)
    program.start()
    processes = processes_in(tmp_path)
    guardian = psutil.Process(os.getpid()).children()
    first = min(processes, key=lambda process: process.create_time())
    for process in guardian:
        if first in process.children():
            process.kill()

    eventually(lambda: not any_left([first]))
    for process in processes:
        if process.is_running():
            process.kill()


def test_program_that_ends_by_itself(tmp_path: Path) -> None:
    """The exit status of a program is that of its guardian."""
    program = Program("seven", ["sh", "-c", "echo bye; exit 7"], tmp_path / "log", tmp_path)
    program.start()
    eventually(lambda: not program.running)

    assert 7 == program.exit_status
    assert "bye" == program.last_lines()


def test_program_killed_by_a_signal(tmp_path: Path) -> None:
    """A program that a signal ended has the status that shells give it."""
    program = Program("suicide", ["sh", "-c", "kill -9 $$"], tmp_path / "log", tmp_path)
    program.start()
    eventually(lambda: not program.running)

    assert 128 + signal.SIGKILL == program.exit_status


def test_frozen_program(tmp_path: Path) -> None:
    """A frozen program is there and does nothing until it is thawed."""
    program = program_in(tmp_path)
    program.start()
    processes = processes_in(tmp_path)
    program.freeze()
    eventually(lambda: all(p.status() == psutil.STATUS_STOPPED for p in processes))
    program.thaw()
    eventually(lambda: all(p.status() == psutil.STATUS_SLEEPING for p in processes))
    program.stop()

    assert not any_left(processes)
