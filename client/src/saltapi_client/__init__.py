"""
A client of the HTTP API of a Salt master: saltapi's `/v1`, and the URLs that every salt-api has.

    from saltapi_client import Client

    with Client("https://salt:8000", username="ops", password=secret, eauth="pam") as salt:
        for record in salt.run("web*", "state.apply", ["nginx"], progress="states"):
            print(record)

Names are loaded when they are asked for, so that the command starts quickly.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from saltapi_client.aio import AsyncClient
    from saltapi_client.client import Client
    from saltapi_client.errors import Error

__version__ = "0.9.0.dev0"
__all__ = ["AsyncClient", "Client", "Error", "__version__"]

_HOMES = {"AsyncClient": "aio", "Client": "client", "Error": "errors"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
