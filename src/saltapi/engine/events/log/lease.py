"""
Which process writes the events of a master: whoever holds the lease, a value in the bucket.

The lease keeps two from doing the same work. That they do not disturb each other where it fails is
the stream's affair, which takes from nobody who does not know the newest message.
"""

import secrets
import time

from saltapi.bridge.nats.bucket import Bucket

KIND = "event_log"
LEASE_SECONDS = 2.5
"""After how long without a word the writer has died."""
WRITES, BEGINS = b"writes", b"begins"


class Lease:
    """
    The lease of one master, as one process sees it.

    Every method raises `StoreUnavailable` if the servers are away.
    """

    def __init__(self, bucket: Bucket, name: str) -> None:
        """
        Args:
            bucket: Where it is.
            name: The master's name.
        """
        self._bucket = bucket
        self._name = name
        self._own = secrets.token_hex(8).encode()
        self._value = b""

    async def is_free(self) -> bool:
        """Return whether nobody holds it."""
        return await self._bucket.get(KIND, self._name) is None

    async def has_writer(self) -> bool:
        """Return whether somebody holds it who has found out where to go on."""
        value = await self._bucket.get(KIND, self._name)
        return value is not None and value.endswith(WRITES)

    async def take(self) -> bool:
        """Take it, and return whether it was free."""
        value = self._own + BEGINS
        found = await self._bucket.create(KIND, self._name, value=value, expire=_expire())
        self._value = value
        return found is None or found == value

    async def renew(self, *, writes: bool) -> bool:
        """
        Keep it, and return whether it is ours.

        Args:
            writes: Whether this process has found out where to go on.
        """
        old, new = self._value, self._own + (WRITES if writes else BEGINS)
        found = await self._bucket.replace(KIND, self._name, old=old, new=new, expire=_expire())
        if found is None:  # it has expired meanwhile
            found = await self._bucket.create(KIND, self._name, value=new, expire=_expire())
        if found in {None, old, new}:
            self._value = new
            return True
        return False

    async def release(self) -> None:
        """Let somebody else take it at once."""
        if self._value:
            past = time.time() - 1
            await self._bucket.replace(
                KIND, self._name, old=self._value, new=self._own, expire=past
            )


def _expire() -> float:
    return time.time() + LEASE_SECONDS
