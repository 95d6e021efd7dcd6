"""
Signed web hooks: which secret a path of `/hook` has, and whether a request was signed with it.

A path is what follows the URL of the hooks, as it is in the event's tag. A request that is
signed needs no session; each is taken once, by whichever process it comes to.
"""

import fnmatch
import hashlib
import re
import time
import unicodedata
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import unquote_plus

from saltapi.config.webhooks import HookSecret, NotSigned, WrongSignature
from saltapi.errors import CannotStart, Conflict

STORE_KIND = "hook"
WILDCARD = re.compile(r"[*?\[]")
PARAMETERS = re.compile("[;?#]")
DECODINGS = 4
"""So often a path is decoded that was encoded more than once."""
UNSEEN = frozenset("ZC")
"""Kinds of characters in Unicode: spaces, control and format characters."""
TWICE = "This delivery has been taken already; it is not fired again."


class Once(Protocol):
    """What remembers deliveries for all processes: `saltapi.engine.store.store.Store`."""

    async def add(self, kind: str, key: str, value: bytes, *, expire: float) -> bytes | None:
        """Put a value unless there is one; None if it was put."""

    async def remove(self, kind: str, key: str) -> None:
        """Remove it."""


class Throttle(Protocol):
    """What limits failures by address: `saltapi.engine.sessions.logins.LoginThrottle`."""

    def check(self, address: str, user: str) -> None:
        """Return if somebody at *address* may try now."""

    def failed(self, address: str, user: str) -> None:
        """Count a failure."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A request that was signed: the pattern that its path has, and the headers to leave out."""

    pattern: str
    secret_headers: frozenset[str]
    """Names in small letters."""


class HookSecrets:
    """The secrets of one module's hooks."""

    def __init__(
        self,
        settings: Mapping[str, Sequence[HookSecret]],
        *,
        once: Once,
        throttle: Throttle | None = None,
    ) -> None:
        """
        Args:
            settings: The option `webhook_secrets`: secrets by path or shell pattern.
            once: Where deliveries are remembered.
            throttle: Counts wrong signatures together with failed logins.

        Raises:
            CannotStart: A secret file cannot be read.
        """
        self._settings = {pattern.strip("/"): secrets for pattern, secrets in settings.items()}
        self._once = once
        self.throttle = throttle
        """May be set later, but before the first request."""
        self._keys: dict[str, list[bytes]] = {}
        self.refused_total = 0
        self.reload()

    def reload(self) -> None:
        """
        Read the secret files again; if one cannot be read, all secrets stay as they were.

        Raises:
            CannotStart: A secret file cannot be read.
        """
        try:
            self._keys = {
                pattern: [secret.read() for secret in secrets]
                for pattern, secrets in self._settings.items()
            }
        except CannotStart as error:
            raise CannotStart(f"webhook_secrets: {error}") from error

    def pattern_of(self, path: str) -> str | None:
        """Return the pattern that holds for *path*; None if anybody with a session may send."""
        return most_specific(self._settings, path) or nearly(self._settings, path)

    @asynccontextmanager
    async def verified(
        self, path: str, headers: Mapping[str, str], body: bytes, peer: str
    ) -> AsyncIterator[Signed | None]:
        """
        Yield what is known of a signed request; None for a path that has no secret.

        If the block raises, the event was not fired, and the same request may come again.

        Args:
            path: The path below the URL of the hooks: the parts of the event's tag.
            headers: The request's headers.
            body: Its body, as it came.
            peer: The address that it comes from.

        Raises:
            NotSigned: It is not signed, or not with the secret of the path.
            TooManyRequests: Too many were not, from this address.
            Conflict: It has been taken already.
        """
        pattern = self.pattern_of(path)
        if pattern is None:
            yield None
            return
        key, seconds = self._checked(pattern, headers, body, peer)
        if key is not None:
            expire = time.time() + seconds
            if await self._once.add(STORE_KIND, key, b"", expire=expire) is not None:
                self.refused_total += 1
                raise Conflict(TWICE)
        names = {name.lower() for one in self._settings[pattern] for name in one.headers}
        try:
            yield Signed(pattern, frozenset(names))
        except BaseException:
            if key is not None:
                await self._once.remove(STORE_KIND, key)
            raise

    def _checked(
        self, pattern: str, headers: Mapping[str, str], body: bytes, peer: str
    ) -> tuple[str | None, float]:
        """Return under which key, and for how long, the request is remembered."""
        named = f"hook {pattern}"
        if self.throttle is not None:
            self.throttle.check(peer, named)
        small = {name.lower(): value for name, value in headers.items()}
        problem: NotSigned | None = None
        for secret, key in zip(self._settings[pattern], self._keys[pattern], strict=True):
            try:
                unique = secret.check(key, small, body)
            except NotSigned as error:
                # Of several secrets, the best that one says: its signature is right but old.
                if problem is None or isinstance(problem, WrongSignature):
                    problem = error
                continue
            if unique is None:
                return None, 0.0
            digest = hashlib.sha256(f"{pattern}\0{secret.type}\0{unique}".encode()).hexdigest()
            # A signature may be that much too early as well as too late.
            return digest, 2 * secret.tolerance_seconds
        self.refused_total += 1
        assert problem is not None  # noqa: S101 - a path has at least one secret
        if isinstance(problem, WrongSignature) and self.throttle is not None:
            self.throttle.failed(peer, named)
        raise problem


def most_specific(patterns: Mapping[str, object], path: str) -> str | None:
    """
    Return the one of *patterns* that says most about *path*; None if none matches.

    A path that is written out comes before all patterns, then the one with most characters
    before its first wildcard, then the longest. `*` stands for slashes, too. Empty parts count for
    nothing, but what they make part of a tag that a pattern matches does not slip through.
    """
    plain = "/".join(part for part in path.split("/") if part)
    if plain in patterns:
        return plain
    matching = [
        pattern
        for pattern in patterns
        if fnmatch.fnmatchcase(plain, pattern) or fnmatch.fnmatchcase(path, pattern)
    ]
    return max(matching, key=_specificity, default=None)


def nearly(patterns: Mapping[str, object], path: str) -> str | None:
    """
    Return the one of *patterns* that *path* would have if it were written as it is meant.

    Somebody who may not sign could else send what a reactor's glob, or whoever reads the event,
    takes for the signed path: `Gitlab/x`, `gitlab/x%20`, `gitlab/./x`.
    """
    found = plainly(path)
    matching = [
        pattern
        for pattern in patterns
        if plainly(pattern) == found or fnmatch.fnmatchcase(found, _folded(pattern))
    ]
    return max(matching, key=_specificity, default=None)


def plainly(path: str) -> str:
    """Return *path* in small letters, decoded, without spaces, dot segments and parameters."""
    for _ in range(DECODINGS):
        path = unquote_plus(path)
    parts: list[str] = []
    for part in _folded(path).replace("\\", "/").split("/"):
        name = PARAMETERS.split(part, maxsplit=1)[0]
        name = "".join(
            c for c in name if unicodedata.category(c)[0] not in UNSEEN and c != "\ufffd"
        )
        if name == "..":
            del parts[-1:]
        elif name.strip("."):
            parts.append(name.rstrip("."))
    return "/".join(parts)


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def _specificity(pattern: str) -> tuple[int, int]:
    return len(WILDCARD.split(pattern, maxsplit=1)[0]), len(pattern)
