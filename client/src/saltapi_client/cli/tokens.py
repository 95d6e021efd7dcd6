"""Sessions from one command to the next: in the system's keyring, or in a private file."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from saltapi_client.cli.places import locked, place, write_private
from saltapi_client.errors import ServerError
from saltapi_client.sessions import Session, TokenStore, session_from

SERVICE = "saltctl"
FILE = "sessions.json"


class FileStore:
    """Sessions in a file of mode 0600."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = path.with_name(f"{path.name}.lock")

    def get(self, name: str) -> Session | None:
        """Return the session that is kept under *name*."""
        with suppress(ServerError):  # somebody has changed the file
            return session_from(self._read().get(name))
        return None

    def put(self, name: str, session: Session) -> None:
        """Keep *session* under *name*."""
        with locked(self._lock):
            found = {**self._read(), name: session.document()}
            write_private(self._path, json.dumps(found))

    def delete(self, name: str) -> None:
        """Forget the session that is kept under *name*."""
        if name not in self._read():
            return
        with locked(self._lock):
            found = self._read()
            if found.pop(name, None) is not None:
                write_private(self._path, json.dumps(found))

    def _read(self) -> dict[str, Any]:
        with suppress(OSError, ValueError):
            found = json.loads(self._path.read_text(encoding="utf-8"))
            if isinstance(found, dict):
                return found
        return {}


class KeyringStore:
    """Sessions in the system's keyring; in the file, where the keyring fails."""

    def __init__(self, keyring: Any, fallback: FileStore) -> None:
        self._keyring = keyring
        self._fallback = fallback

    def get(self, name: str) -> Session | None:
        """Return the session that is kept under *name*."""
        text = None
        with suppress(self._keyring.errors.KeyringError):
            text = self._keyring.get_password(SERVICE, name)
        if not text:
            return self._fallback.get(name)
        with suppress(ValueError, ServerError):
            return session_from(json.loads(text))
        return None

    def put(self, name: str, session: Session) -> None:
        """Keep *session* under *name*."""
        try:
            self._keyring.set_password(SERVICE, name, json.dumps(session.document()))
        except self._keyring.errors.KeyringError:
            self._fallback.put(name, session)

    def delete(self, name: str) -> None:
        """Forget the session that is kept under *name*."""
        with suppress(self._keyring.errors.KeyringError):
            self._keyring.delete_password(SERVICE, name)
        self._fallback.delete(name)


def store() -> TokenStore:
    """Return where sessions are kept; SALTCTL_KEYRING=no leaves the keyring alone."""
    file, found = FileStore(place("state") / FILE), system_keyring()
    return file if found is None else KeyringStore(found, file)


def system_keyring() -> Keyring | None:
    """Return the system's keyring; None where there is none that keeps a secret."""
    if os.environ.get("SALTCTL_KEYRING") == "no" or find_spec("keyring") is None:
        return None
    import keyring
    import keyring.errors

    found = keyring.get_keyring()
    # Where there are several, what they are chained by says nothing of how good they are.
    found = max(getattr(found, "backends", [found]), key=lambda one: one.priority)
    # A priority below 1 is a backend that refuses, or that keeps its secrets in the open.
    return Keyring(found, keyring.errors) if found.priority >= 1 else None


class Keyring:
    """One backend of `keyring`, and the errors that it raises."""

    def __init__(self, backend: Any, errors: Any) -> None:
        self.errors = errors
        self.get_password = backend.get_password
        self.set_password = backend.set_password
        self.delete_password = backend.delete_password
