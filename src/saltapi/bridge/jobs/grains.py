"""
The grains of the minions, for the view.

They are asked for with the token of who wants to see them, in one job for all minions, and shown
only to tokens that got them themselves. What has been read is shared and kept for a while.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, TypeAlias

from saltapi import formats
from saltapi.config import MIB
from saltapi.errors import AuthenticationFailed, AuthorizationFailed, BadRequest, SaltApiError
from saltapi.types import MinionId, Token

log = logging.getLogger(__name__)

CACHE_SECONDS = 300.0
"""So long a token's listeners that come and go do not make it asked again."""
PAUSE_SECONDS = 1.0
"""How long new minions are collected before one job asks all of them."""
RETRY_SECONDS = 30.0
JOBS_LIMIT = 2
"""So many jobs for grains run at once."""
READERS_LIMIT = 1_000
GRAINS_LIMIT_BYTES = 32 * MIB
"""So many bytes are kept; further minions are shown without grains."""
NO_GRAINS = b"{}"

AskGrains: TypeAlias = Callable[[Token, list[MinionId]], Awaitable[Mapping[MinionId, Any]]]
"""Returns the grains of the given minions (an empty list: of all) as the token's owner gets them;
raises a `SaltApiError` if he may not read them."""


class Reader:
    """A token, and whose grains its owner may see."""

    def __init__(self, token: Token) -> None:
        self.token = token
        self.made_at = time.monotonic()
        self.began = False
        self.refused = False
        self.asked: set[MinionId] = set()
        self.permitted: set[MinionId] = set()
        self.listeners = 0
        self.task: asyncio.Task[None] | None = None


class Grains:
    """The grains by minion as JSON, and the tokens that may see them."""

    def __init__(self, ask: AskGrains, found: Callable[[list[MinionId]], None]) -> None:
        """
        Args:
            ask: Asks the minions.
            found: Called with the minions that have answered.
        """
        self._ask = ask
        self._found = found
        self._grains: dict[MinionId, bytes] = {}
        self._size_bytes = 0
        self._readers: OrderedDict[Token, Reader] = OrderedDict()
        self._jobs = asyncio.Semaphore(JOBS_LIMIT)

    def reader(self, token: Token) -> Reader:
        """Return the reader for *token*; to be given to `release` once."""
        reader = self._readers.get(token)
        if reader is None or time.monotonic() - reader.made_at > CACHE_SECONDS:
            reader = self._readers[token] = Reader(token)
            self._readers.move_to_end(token)
            if len(self._readers) > READERS_LIMIT:
                self._readers.popitem(last=False)
        reader.listeners += 1
        return reader

    def release(self, reader: Reader) -> None:
        """Stop asking for *reader* when nobody listens with its token any more."""
        reader.listeners -= 1
        if not reader.listeners and reader.task is not None:
            reader.task.cancel()
            reader.task = None

    def want(self, reader: Reader, minions: Collection[MinionId]) -> None:
        """
        Begin to ask for the grains of those of *minions* that have not been asked for.

        Args:
            reader: Who wants to see them.
            minions: A collection that is looked at again while asking goes on.
        """
        if reader.task is None and reader.listeners and not reader.refused:
            reader.task = asyncio.create_task(self._read(reader, minions))

    def learn(self, minion: MinionId, grains: Any) -> bool:
        """Keep *grains* of *minion*; return whether they are grains, and new."""
        if not isinstance(grains, dict) or not grains:
            return False
        text = formats.dump_json(grains)
        old = self._grains.get(minion, b"")
        size_bytes = self._size_bytes + len(text) - len(old)
        if text == old or size_bytes > GRAINS_LIMIT_BYTES:
            return False
        self._grains[minion] = text
        self._size_bytes = size_bytes
        return True

    def outdated(self, minion: MinionId) -> None:
        """Have *minion* asked again: it has started anew or is gone."""
        for reader in self._readers.values():
            reader.asked.discard(minion)

    def shown(self, reader: Reader, minions: Collection[MinionId]) -> frozenset[MinionId]:
        """Return those of *minions* whose grains *reader* is to be shown."""
        return frozenset(m for m in minions if m in reader.permitted and m in self._grains)

    def text(self, minion: MinionId) -> bytes:
        """Return the grains of *minion* as JSON."""
        return self._grains.get(minion, NO_GRAINS)

    async def _read(self, reader: Reader, minions: Collection[MinionId]) -> None:
        try:
            while set(minions) - reader.asked or not reader.began:
                if reader.began:
                    await asyncio.sleep(PAUSE_SECONDS)
                await self._read_once(reader, set(minions) - reader.asked)
        except (AuthenticationFailed, AuthorizationFailed, BadRequest) as error:
            log.info("Somebody sees the minions without grains: %s", error)
            reader.refused = True
        except Exception:
            log.exception("Grains cannot be read.")
        finally:
            if reader.task is asyncio.current_task():
                reader.task = None

    async def _read_once(self, reader: Reader, wanted: set[MinionId]) -> None:
        reader.began = True
        reader.asked |= wanted
        try:
            async with self._jobs:
                found = await self._ask(reader.token, sorted(wanted))
        except (AuthenticationFailed, AuthorizationFailed, BadRequest):
            raise
        except SaltApiError as error:
            log.info("Grains cannot be read now: %s", error)
            await asyncio.sleep(RETRY_SECONDS)
            reader.asked -= wanted
            reader.began = bool(wanted)
            return
        grains = {
            minion: value
            for minion, value in found.items()
            if isinstance(value, dict) and (minion in wanted or not wanted)
        }
        for minion, value in grains.items():
            self.learn(minion, value)
        reader.asked |= grains.keys()
        reader.permitted |= grains.keys()
        self._found(list(grains))
