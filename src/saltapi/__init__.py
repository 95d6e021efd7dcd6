"""
The HTTP door to a Salt master.

Public names (0.8.4, "Client interfaces"): `APIClient`, and `AsyncAPIClient` with the same
methods as coroutines. `service` is for those who write netapi modules.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from saltapi.engine.commands.asynchronous import AsyncAPIClient
    from saltapi.engine.commands.blocking import APIClient
    from saltapi.process import lifecycle as service

__version__ = "0.9.0.dev0"
__all__ = ["APIClient", "AsyncAPIClient", "__version__", "service"]
_HOMES = {
    "APIClient": "saltapi.engine.commands.blocking",
    "AsyncAPIClient": "saltapi.engine.commands.asynchronous",
    "service": "saltapi.process.lifecycle",
}


def __getattr__(name: str) -> Any:
    """Import the clients, and with them Salt, only when somebody asks for them."""
    if name not in _HOMES:
        raise AttributeError(f"module 'saltapi' has no attribute {name!r}")
    module = importlib.import_module(_HOMES[name])
    return module if name == "service" else getattr(module, name)
