"""rest_asgi for Salt's own `salt-api`: the same module, with the options that it has read."""

from saltapi.netapi import rest_asgi
from saltapi.types import Opts

__opts__: Opts = {}
"""The options of `salt-api`, put here by Salt's loader."""


def __virtual__() -> str | tuple[bool, str]:
    """Same as `rest_asgi.__virtual__`."""
    rest_asgi.__opts__ = __opts__
    return rest_asgi.__virtual__()


def start() -> None:
    """Same as `rest_asgi.start`."""
    rest_asgi.__opts__ = __opts__
    rest_asgi.start()
