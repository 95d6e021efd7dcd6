"""
How much each user has put into a store that cannot count: what this process knows of it.

A process counts what it has put itself, so that a user has a share in each of them.
"""

import time
from collections import OrderedDict
from dataclasses import dataclass

from saltapi.engine.store.store import GROWTH_BYTES, ROW_BYTES, SHARE_BYTES, ShareUsed

ENTRIES_LIMIT = 100_000
"""So many values are counted; those that were put first are forgotten."""
EXPIRED_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class _Entry:
    share: str
    size_bytes: int
    expire: float


class Shares:
    """Counts values by kind and owner."""

    def __init__(self) -> None:
        self._entries: OrderedDict[tuple[str, str], _Entry] = OrderedDict()
        self._sizes: dict[str, int] = {}

    def count(self, kind: str, key: str, value: bytes, expire: float, owner: str) -> None:
        """
        Count a value that is going to be put in place of what is there.

        Raises:
            ShareUsed: There is no room for it.
        """
        share, name = f"{kind} {owner}", (kind, key)
        size_bytes = len(key.encode("utf-8", "surrogatepass")) + len(value) + ROW_BYTES
        before = self._entries.get(name)
        had_bytes = before.size_bytes if before is not None and before.share == share else 0
        grown_bytes = size_bytes - had_bytes
        if self._sizes.get(share, 0) + grown_bytes > SHARE_BYTES and (
            not had_bytes or grown_bytes > GROWTH_BYTES
        ):
            self._forget_expired(len(self._entries))
            if self._sizes.get(share, 0) + grown_bytes > SHARE_BYTES:
                raise ShareUsed
        self.forget(kind, key)
        self._entries[name] = _Entry(share, size_bytes, expire)
        self._sizes[share] = self._sizes.get(share, 0) + size_bytes
        self._forget_expired(EXPIRED_AT_ONCE)
        if len(self._entries) > ENTRIES_LIMIT:
            self.forget(*next(iter(self._entries)))

    def forget(self, kind: str, key: str) -> None:
        """Count a value no more that was removed, or was not put."""
        entry = self._entries.pop((kind, key), None)
        if entry is None:
            return
        left_bytes = self._sizes[entry.share] - entry.size_bytes
        if left_bytes > 0:
            self._sizes[entry.share] = left_bytes
        else:
            del self._sizes[entry.share]

    def _forget_expired(self, most: int) -> None:
        """Look at the *most* values that were put first, and forget what has expired."""
        now = time.time()
        for name in [name for name, _ in zip(self._entries, range(most), strict=False)]:
            if self._entries[name].expire <= now:
                self.forget(*name)
