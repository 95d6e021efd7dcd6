"""
The option `saltapi_event_log`: how long the servers of `saltapi_store` keep the events of masters.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from saltapi.config.engine import EngineConfig
from saltapi.config.section import Section
from saltapi.config.shared_store import OPTION as STORE_OPTION
from saltapi.config.shared_store import store_of
from saltapi.config.values import KIB, MIB
from saltapi.errors import CannotStart

OPTION = "saltapi_event_log"
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
BYTES = {"": 1, "KIB": KIB, "MIB": MIB, "GIB": 1024 * MIB, "TIB": 1024 * 1024 * MIB}
NAME_CHARACTERS = 100
HISTORY_BYTES = MIB
"""The least that each process must keep of the last events: what is to be written is in there."""


def _seconds(value: Any) -> Any:
    """Return the seconds of a text like `7d`."""
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"\s*(\d+)\s*([smhdw]?)\s*", value)
    if found is None:
        raise ValueError("must be a number with s, m, h, d or w behind it, like 7d")
    return int(found[1]) * SECONDS[found[2] or "s"]


def _bytes(value: Any) -> Any:
    """Return the bytes of a text like `10GiB`."""
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"\s*(\d+)\s*([A-Za-z]*)\s*", value)
    if found is None or found[2].upper() not in BYTES:
        raise ValueError("must be a number with KiB, MiB, GiB or TiB behind it, like 10GiB")
    return int(found[1]) * BYTES[found[2].upper()]


class EventLogSection(Section):
    """How much is kept, and what the log calls this master."""

    title = OPTION

    max_age: Annotated[int, BeforeValidator(_seconds)] = Field(default=7 * 86_400, ge=60)
    max_bytes: Annotated[int, BeforeValidator(_bytes)] = Field(default=1024 * MIB, ge=MIB)
    master: str = Field(default="", max_length=NAME_CHARACTERS)


def event_log_of(opts: Mapping[str, Any]) -> EventLogSection | None:
    """
    Return the log that the master's *opts* want, with the name of this master; None without.

    The masters of a cluster (`cluster_id`) have one name: each of them hears the events of all.

    Raises:
        CannotStart: The option is wrong, or lacks another one.
    """
    written = opts.get(OPTION)
    if written is None or written is False:
        return None
    if written is True:
        written = {}
    if not isinstance(written, Mapping):
        raise CannotStart(f"{OPTION} must be True, or a mapping of options.")
    section = EventLogSection.parse(dict(written))
    for option, like in section.unknown().items():
        meant = f" Did you mean {like}?" if like else ""
        raise CannotStart(f"{OPTION}.{option} is not an option.{meant}")
    if store_of(opts) is None:
        raise CannotStart(f"{OPTION} needs {STORE_OPTION}: servers that keep the events.")
    if EngineConfig.of(dict(opts)).api_event_history_bytes < HISTORY_BYTES:
        raise CannotStart(f"{OPTION} needs {HISTORY_BYTES} api_event_history_bytes at least.")
    return section.model_copy(update={"master": section.master or _name_of(opts)})


def master_name_of(opts: Mapping[str, Any]) -> str:
    """
    Return what other masters call that of *opts*.

    Raises:
        CannotStart: The option is wrong, or lacks another one.
    """
    section = event_log_of(opts)
    return _name_of(opts) if section is None else section.master


def _name_of(opts: Mapping[str, Any]) -> str:
    return str(opts.get("cluster_id") or opts.get("id") or "master")[:NAME_CHARACTERS]
