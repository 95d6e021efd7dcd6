"""
The HTTP door to a Salt master.

Public names (0.8.4, "Client interfaces"): `APIClient`, and `AsyncAPIClient` with the same
methods as coroutines.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from saltapi.engine.commands.asynchronous import AsyncAPIClient
    from saltapi.engine.commands.blocking import APIClient

__version__ = "0.9.0.dev0"
__all__ = ["APIClient", "AsyncAPIClient", "__version__"]


def __getattr__(name: str) -> Any:
    """Import the clients, and with them Salt, only when somebody asks for them."""
    if name == "APIClient":
        from saltapi.engine.commands.blocking import APIClient

        return APIClient
    if name == "AsyncAPIClient":
        from saltapi.engine.commands.asynchronous import AsyncAPIClient

        return AsyncAPIClient
    raise AttributeError(f"module 'saltapi' has no attribute {name!r}")
