"""Threads do not each keep what was freed."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import ctypes, sys, threading
from saltapi.process.memory import keep_less

keep_less()
barrier = threading.Barrier(16)

def work():
    barrier.wait()
    ctypes.CDLL(None).malloc(5000)  # without Python's lock
    barrier.wait()

threads = [threading.Thread(target=work) for _ in range(16)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
file = ctypes.c_void_p(libc.fopen(sys.argv[1].encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
"""


def areas(path: Path, **environment: str) -> int:
    subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path)], check=True, env={**os.environ, **environment}
    )
    return path.read_text().count("<heap nr=")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc alone has them")
def test_few_areas(tmp_path: Path) -> None:
    """Sixteen threads have two areas; where the environment says so they have more."""
    assert 2 == areas(tmp_path / "few")
    assert 2 < areas(tmp_path / "many", MALLOC_ARENA_MAX="8")
