"""
What is shared: small values by kind and key, each until it expires.

Two stores keep them: a SQLite file for the processes of one machine, and servers of NATS's for
several machines. One suite of tests holds for both (tests/engine/store/test_contract.py).
"""

from typing import Protocol

from saltapi.errors import TooManyRequests

SHARE_BYTES = 16 * 1024 * 1024
"""How much of a store the values of one kind and one owner may take."""
ROW_BYTES = 150
"""What a value counts for beside itself and its key."""
ITEMS_LIMIT = 10_000
"""So many values of a kind are listed, if nobody wants another number."""
ALL_ITEMS = 2**31
"""More than a store of a machine's holds."""
GROWTH_BYTES = 1024
"""So much a value may always grow: how far something is can be noted when a share is used up."""
FULL_RETRY_SECONDS = 60


class ShareUsed(TooManyRequests):
    """Who wants to keep something has no room left for it."""

    def __init__(self) -> None:
        super().__init__(
            "You have as much kept here as there is room for; it is forgotten with time.",
            retry_after_seconds=FULL_RETRY_SECONDS,
        )


class Store(Protocol):
    """
    Values by kind and key, for all who share the store.

    Every method raises `StoreUnavailable` if the store cannot be used. Those that put a value raise
    `ShareUsed` if the values of its owner and kind would take more than `SHARE_BYTES`; values
    without an owner have a share for each kind.
    """

    @property
    def lost_at(self) -> float | None:
        """When values were lost, in seconds since the epoch; None if none were."""

    async def exists(self) -> bool:
        """Return whether anything may be kept; nothing is made for the answer."""

    async def add(
        self, kind: str, key: str, value: bytes, *, expire: float, owner: str = ""
    ) -> bytes | None:
        """
        Put *value* unless there is one, atomically; None if it was put, else what was there.

        Args:
            kind: Whose values these are; keys of different kinds never meet.
            key: The name of the value.
            value: Any bytes.
            expire: When the value is gone, in seconds since the epoch.
            owner: Whose share it takes: a user, whoever that is.
        """

    async def get(self, kind: str, key: str) -> bytes | None:
        """Return the value; None if there is none, or it has expired."""

    async def put(
        self, kind: str, key: str, value: bytes, *, expire: float, owner: str = ""
    ) -> None:
        """Put *value*, whatever was there; *expire* and *owner* as for `add`."""

    async def replace(
        self, kind: str, key: str, old: bytes, new: bytes, *, expire: float, owner: str = ""
    ) -> bytes | None:
        """Put *new* if the value is *old*, atomically; return what was there before."""

    async def take(self, kind: str, key: str) -> bytes | None:
        """Return the value and remove it, atomically: only one caller ever gets it."""

    async def remove(self, kind: str, key: str) -> None:
        """Remove the value, if there is one."""

    async def items(self, kind: str, *, limit: int = ITEMS_LIMIT) -> dict[str, bytes]:
        """Return the values of a kind by their keys, in the order of these; *limit* at most."""

    async def look(self) -> None:
        """Return if the store can be used, and find out whether values were lost."""

    async def close(self) -> None:
        """Let go of it; idempotent."""
