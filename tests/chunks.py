"""Chunks that are right but for what a test changes."""

from typing import Any

from saltapi.config import EngineConfig
from saltapi.interfaces import INTERFACES
from saltapi.lowstate import Command, check

ALL = EngineConfig(netapi_enable_clients=list(INTERFACES))
TOKEN = "5ec7e7" * 8
LOCAL = {"client": "local", "tgt": "*", "fun": "test.ping", "token": TOKEN}
RUNNER = {"client": "runner", "fun": "jobs.active", "token": TOKEN}
WHEEL = {"client": "wheel", "fun": "key.list_all", "token": TOKEN}
HUGE = 10**5000
"""More digits than Python writes out; YAML can carry it, in hexadecimal."""


def local(**more: Any) -> Command:
    return check({**LOCAL, **more}, ALL)


def runner(**more: Any) -> Command:
    return check({**RUNNER, **more}, ALL)


def wheel(**more: Any) -> Command:
    return check({**WHEEL, **more}, ALL)
