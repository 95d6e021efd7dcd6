"""The machine that the figures are of, and whether it is quiet enough for them."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from saltapi import __version__

QUIET_CPU_PERCENT = 10.0
LOOK_SECONDS = 1.0
PACKAGES = ["salt", "tornado", "cherrypy", "cheroot", "uvicorn", "uvloop", "fastapi", "pyzmq"]


def describe() -> dict[str, str]:
    """Return what the figures depend on, in words."""
    return {
        "processor": f"{_model()}, {os.cpu_count()} cores",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "saltapi": __version__,
        "packages": ", ".join(f"{name} {found}" for name in PACKAGES if (found := _version(name))),
        "load average": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def unrest() -> str:
    """Return why figures made now would not be worth much, "" if the machine is quiet."""
    percent = psutil.cpu_percent(interval=LOOK_SECONDS)
    if percent > QUIET_CPU_PERCENT:
        return f"The machine is busy with other things ({percent:.0f} % of its processors)."
    return ""


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
