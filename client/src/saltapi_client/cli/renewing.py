"""Refresh tokens in the system's keyring, and sessions that are renewed by them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import IO, Any

from saltapi_client import errors
from saltapi_client.cli.places import lock_file, place
from saltapi_client.cli.tokens import Keyring, KeyringFailed
from saltapi_client.device import Given, Provider

SERVICE = "saltctl refresh"
WAIT_SECONDS = 60.0
"""So long another saltctl may renew the session; it takes two requests of 20 seconds at most."""
PAUSE_SECONDS = 0.1
ENDED = "The login has ended; begin again: saltctl login --device"


class KeyringRenewal:
    """Renews the session of one store name."""

    def __init__(self, keyring: Keyring, name: str) -> None:
        self._keyring = keyring
        self._name = name

    def found(self) -> dict[str, Any] | None:
        """Return what is kept; None if there is nothing."""
        with suppress(KeyringFailed, ValueError):
            found = json.loads(self._keyring.get_password(SERVICE, self._name) or "null")
            return found if isinstance(found, dict) else None
        return None

    def keep(self, provider: Provider, given: Given) -> bool:
        """Keep a refresh token; return whether that was possible."""
        if given.refresh_token is None:
            return False
        value = json.dumps({"provider": asdict(provider), "token": given.refresh_token})
        try:
            self._keyring.set_password(SERVICE, self._name, value)
        except KeyringFailed:
            return False
        return True

    def end(self) -> None:
        """
        Forget the refresh token, and have the provider forget it.

        Raises:
            Error: The provider was not told; here it is forgotten all the same.
        """
        try:
            with self.alone():
                kept = self.found()
                self.forget()
        except errors.NotReachable:  # one that does not end keeps nobody from logging out
            kept = self.found()
            self.forget()
        with suppress(KeyError, TypeError):
            if kept is not None:
                Provider(**kept["provider"]).revoke(kept["token"])

    def forget(self) -> None:
        """Forget the refresh token."""
        with suppress(KeyringFailed):
            self._keyring.delete_password(SERVICE, self._name)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """
        Keep others from renewing: a refresh token that is used twice may end the login.

        Raises:
            NotReachable: Another one renews it, and does not end.
        """
        path = place("state") / "renewing.lock"
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with lock_file(path) as lock:
            until = time.monotonic() + WAIT_SECONDS
            while not locked(lock):
                if time.monotonic() > until:
                    raise errors.NotReachable(
                        f"Another saltctl renews the login, and does not end ({path}); try again."
                    )
                time.sleep(PAUSE_SECONDS)
            yield

    def password(self) -> str:
        """Return a new token of the provider's; the refresh token is replaced by its follower."""
        kept = self.found()
        if kept is None:
            raise errors.AuthenticationFailed(ENDED)
        try:
            provider = Provider(**kept["provider"])
            given = provider.refreshed(kept["token"])
        except (errors.AuthenticationFailed, KeyError, TypeError) as error:
            self.forget()
            raise errors.AuthenticationFailed(ENDED) from error
        if given.refresh_token is not None:
            self.keep(provider, given)
        return given.token


def locked(file: IO[str]) -> bool:
    """Lock a file until it is closed; return whether nobody else has, or nobody can."""
    with suppress(ImportError):
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
