"""What Salt loads as an eauth module: the file `fuzz_users` says who there is, in which groups."""

import json
from pathlib import Path
from typing import Any

__virtualname__ = "fuzz"


def _users() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(
        Path(globals()["__opts__"]["fuzz_users"]).read_text()
    )
    return found


def auth(username: str, password: str) -> bool:
    """Return whether it is the user's password."""
    return username in _users() and password == _users()[username]["password"]


def groups(username: str, *_args: Any, **_kwargs: Any) -> list[str]:
    """Return the groups that the user is in."""
    return list(_users().get(username, {}).get("groups", []))
