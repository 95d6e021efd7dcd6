"""
Salt's tokens in the bucket of `saltapi_store`, for code that blocks: the master's own processes.

Each process has one connection, on a thread of its own, made when it is first needed: so after a
fork there is another one.
"""

import asyncio
import os
import threading
import time
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

import salt.payload

from saltapi.bridge.nats.bucket import Bucket
from saltapi.bridge.nats.sealing import Seal
from saltapi.config.shared_store import OPTION, StoreSection, store_of
from saltapi.errors import CannotStart, StoreUnavailable

T = TypeVar("T")

KIND = "tokens"
CALL_SECONDS = 8.0
"""How long a call may take at most."""
FOR_EVER_SECONDS = 366 * 86_400.0
"""How long what has no expiry is kept."""


class ServersAway(Exception):
    """
    Nobody can say now whose a token is.

    It is none of the errors that Salt's `LoadAuth` catches: it would write the token into its log,
    and say that nobody is logged in.
    """


class TokenBucket:
    """What belongs to tokens; every method raises `ServersAway` where the servers are."""

    def __init__(self, section: StoreSection) -> None:
        """
        Args:
            section: The servers, and the secret.

        Raises:
            CannotStart: A file that the section names cannot be used.
        """
        if not section.secret_file:
            raise CannotStart(f"{OPTION}.secret_file is needed where tokens are in saltapi_nats.")
        self._seal = Seal(section.secret_file)
        self._bucket = Bucket(section, "saltapi tokens")
        self._loop = asyncio.new_event_loop()
        # The interpreter does not wait for a daemon: servers that hang must not keep the master.
        threading.Thread(target=self._loop.run_forever, name="saltapi-tokens", daemon=True).start()

    def put(self, token: str, data: Mapping[str, Any], expires: float | None) -> None:
        """Keep *data* for *expires* seconds."""
        packed = salt.payload.dumps(dict(data), use_bin_type=True)
        expire = time.time() + (FOR_EVER_SECONDS if expires is None else expires)
        value = self._seal.seal(token, packed)
        self._call(self._bucket.put(KIND, self._seal.name(token), value=value, expire=expire))

    def get(self, token: str) -> dict[str, Any]:
        """Return what belongs to *token*; nothing if it is unknown or was made by others."""
        sealed = self._call(self._bucket.get(KIND, self._seal.name(token)))
        packed = None if sealed is None else self._seal.open(token, sealed)
        data = {} if packed is None else salt.payload.loads(packed)
        return data if isinstance(data, dict) else {}

    def remove(self, token: str) -> None:
        """Forget *token*."""
        self._call(self._bucket.take(KIND, self._seal.name(token)))

    def _call(self, question: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(question, self._loop)
        try:
            return future.result(CALL_SECONDS)
        except (StoreUnavailable, TimeoutError) as error:
            future.cancel()
            raise ServersAway("The servers of saltapi_store are away.") from error


_buckets: dict[tuple[int, str], TokenBucket] = {}
_making = threading.Lock()


def bucket_of(opts: Mapping[str, Any]) -> TokenBucket:
    """
    Return the bucket that the master's *opts* name, one for each process.

    Raises:
        CannotStart: They name none, or a file that it needs cannot be used.
    """
    section = store_of(opts)
    if section is None:
        raise CannotStart(f"Tokens in saltapi_nats need the option {OPTION}.")
    key = os.getpid(), section.model_dump_json()
    with _making:
        if key not in _buckets:
            _buckets[key] = TokenBucket(section)
        return _buckets[key]
