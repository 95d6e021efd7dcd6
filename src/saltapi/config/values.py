"""What options can hold: the units and types that the sections are made of."""

import ipaddress
import re
import sys
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from saltapi.config.webhooks import AnySecret

KIB = 1024
MIB = 1024 * KIB


def _absolute(path: str) -> str:
    if path and not Path(path).is_absolute():
        raise ValueError("must be an absolute path")
    return path


def proxy(entry: str) -> str:
    """Return an address, a network, or `unix`; it is no place for a mistake."""
    if entry != "unix":
        try:
            ipaddress.ip_network(entry, strict=False)
        except ValueError:
            raise ValueError(f"{entry[:60]!r} is no address and no network") from None
    return entry


Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0)]
SshDirectory = Annotated[str, AfterValidator(lambda path: _absolute(str(Path(path).expanduser())))]
"""A directory of keys; `~` is the home of the user of this process."""
BodyLimit = Annotated[int, Field(ge=0), AfterValidator(lambda limit: limit or sys.maxsize)]
"""How many bytes a body may have; 0 is no limit, as CherryPy has it."""
UrlPath = Annotated[str, AfterValidator(lambda path: "/" + path.strip("/"))]
"""A path in URLs: with a slash in front of it and none behind."""
AbsolutePath = Annotated[str, AfterValidator(_absolute)]
ClientNames = Annotated[
    list[str],
    BeforeValidator(lambda value: re.findall(r"\w+", value) if isinstance(value, str) else value),
]
"""A list; Salt takes a text with names in it, too."""
OneOrMore = Annotated[list[str] | str | None, Field(description="a text or a list of texts")]
EventPolicy = Literal["own", "permitted", "all"] | list[str]
"""Which events a user sees: a word of `saltapi.engine.events.acl`, or globs of tags."""
ReturnerOption = str | Annotated[dict[str, list[str]], Field(min_length=1)]
"""The name of a returner, or the name with the keyword arguments that it may have."""
ReturnersOption = Annotated[
    list[ReturnerOption],
    Field(description="a list of returners, or of mappings of a returner to a list of arguments"),
]
EventAclOption = Annotated[
    EventPolicy | dict[str, EventPolicy],
    Field(description="own, permitted, all, a list of tag globs, or a mapping of users to these"),
]
HookSecrets = Annotated[
    list[AnySecret],
    BeforeValidator(lambda value: value if isinstance(value, list) else [value]),
    Field(min_length=1),
]
"""The secrets of one path: one, or several while they are changed."""


def as_list(value: list[str] | str | None) -> list[str]:
    """Return the list that an option stands for."""
    return [value] if isinstance(value, str) else value or []
