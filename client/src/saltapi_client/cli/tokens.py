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
        self.path = path
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
            write_private(self.path, json.dumps(found))

    def delete(self, name: str) -> None:
        """Forget the session that is kept under *name*."""
        if name not in self._read():
            return
        with locked(self._lock):
            found = self._read()
            if found.pop(name, None) is not None:
                write_private(self.path, json.dumps(found))

    def _read(self) -> dict[str, Any]:
        with suppress(OSError, ValueError):
            found = json.loads(self.path.read_text(encoding="utf-8"))
            if isinstance(found, dict):
                return found
        return {}


class KeyringFailed(Exception):
    """The keyring is locked, or does not work."""


class KeyringStore:
    """Sessions in the system's keyring; in the file, with a sentence, where the keyring fails."""

    def __init__(self, keyring: Keyring, fallback: FileStore) -> None:
        self._keyring = keyring
        self._fallback = fallback
        self._said = False

    def get(self, name: str) -> Session | None:
        """Return the session that is kept under *name*."""
        text = None
        try:
            text = self._keyring.get_password(SERVICE, name)
        except KeyringFailed as error:
            kept = self._fallback.get(name)
            if kept is None:
                self._say(f"The keyring cannot be read ({error}).")
            return kept
        if not text:
            return self._fallback.get(name)
        with suppress(ValueError, ServerError):
            return session_from(json.loads(text))
        return None

    def put(self, name: str, session: Session) -> None:
        """Keep *session* under *name*."""
        try:
            self._keyring.set_password(SERVICE, name, json.dumps(session.document()))
        except KeyringFailed as error:
            self._fallback.put(name, session)
            where = self._fallback.path
            self._say(f"The keyring fails ({error}); the session is in {where}, for you alone.")
        else:
            self._fallback.delete(name)

    def delete(self, name: str) -> None:
        """Forget the session that is kept under *name*."""
        with suppress(KeyringFailed):
            self._keyring.delete_password(SERVICE, name)
        self._fallback.delete(name)

    def _say(self, sentence: str) -> None:
        from saltapi_client.cli.output.writing import say

        if not self._said:
            self._said = True
            say(f"saltctl: {sentence}")


def store() -> TokenStore:
    """Return where sessions are kept; SALTCTL_KEYRING=no leaves the keyring alone."""
    file, found = FileStore(place("state") / FILE), system_keyring()
    return file if found is None else KeyringStore(found, file)


def system_keyring() -> Keyring | None:
    """Return the system's keyring; None where there is none that keeps a secret."""
    if os.environ.get("SALTCTL_KEYRING") == "no" or find_spec("keyring") is None:
        return None
    import keyring

    found = keyring.get_keyring()
    # Where there are several, what they are chained by says nothing of how good they are.
    found = max(getattr(found, "backends", [found]), key=lambda one: one.priority)
    # A priority below 1 is a backend that refuses, or that keeps its secrets in the open.
    return Keyring(found) if found.priority >= 1 else None


class Keyring:
    """One backend of the library `keyring`; each function raises `KeyringFailed`, and no other."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    def get_password(self, service: str, name: str) -> str | None:
        """Return a secret; None if there is none."""
        found: str | None = self._asked("get_password", service, name)
        return found

    def set_password(self, service: str, name: str, secret: str) -> None:
        """Keep a secret."""
        self._asked("set_password", service, name, secret)

    def delete_password(self, service: str, name: str) -> None:
        """Forget a secret; there has to be one."""
        self._asked("delete_password", service, name)

    def _asked(self, function: str, *args: str) -> Any:
        try:
            return getattr(self._backend, function)(*args)
        except Exception as error:  # not only its own: what D-Bus, or a library of it, raises
            raise KeyringFailed(str(error) or type(error).__name__) from error
