"""
One connection to the servers, which comes back by itself.

Who needs it while it is away waits a moment at most. Nothing is said in the clear to a server on
another machine, whatever it offers.
"""

import asyncio
import contextlib
import logging
import time
from typing import Any
from urllib.parse import urlsplit

from nats.aio.client import Client
from nats.errors import SecureConnRequiredError
from nats.js.client import JetStreamContext

from saltapi.bridge.nats.credentials import options_of
from saltapi.config.shared_store import StoreSection
from saltapi.errors import StoreUnavailable

log = logging.getLogger(__name__)

AWAY = "The servers of saltapi_store are away; try again later."
CONNECT_SECONDS = 2
"""How long one server may take to answer a new connection."""
ANSWER_SECONDS = 1.0
"""How long the servers may take to answer one request."""
PAUSE_SECONDS = 0.25
"""The wait before a server is tried again."""
AWAY_SECONDS = 2.0
"""How long somebody waits for a connection that was lost just now."""
PING_SECONDS = 5
UNANSWERED_PINGS = 2
PENDING_BYTES = 4 * 1024 * 1024


class Connection:
    """A connection to one of the servers, made when it is first needed."""

    def __init__(self, section: StoreSection, name: str) -> None:
        """
        Args:
            section: The servers.
            name: What the servers call us.

        Raises:
            CannotStart: A file that the section names cannot be used.
        """
        self._section = section
        self._name = name
        self._proofs = options_of(section)
        self._client: _Client | None = None
        self._jetstream: JetStreamContext | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._up = asyncio.Event()
        self._away_since = 0.0
        self._said_away = False

    async def jetstream(self) -> JetStreamContext:
        """
        Return what asks the servers.

        Raises:
            StoreUnavailable: None of them can be reached.
        """
        if self._client is None or self._client.is_closed:
            self._begin()
        if not self._up.is_set():
            left_seconds = self._away_since + AWAY_SECONDS - time.monotonic()
            try:
                async with asyncio.timeout(max(left_seconds, 0.0)):
                    await self._up.wait()
            except TimeoutError:
                self._say_away()
                raise StoreUnavailable(AWAY) from None
        assert self._jetstream is not None  # noqa: S101 - it is made with the client
        return self._jetstream

    async def client(self) -> Client:
        """
        Return what the servers are talked to with; another one after a connection was given up.

        Raises:
            StoreUnavailable: None of them can be reached.
        """
        await self.jetstream()
        assert self._client is not None  # noqa: S101 - it is there when it is connected
        return self._client

    async def close(self) -> None:
        """End it; idempotent."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(CONNECT_SECONDS):
                    await client.close()
        self._up.clear()

    def _begin(self) -> None:
        now = time.monotonic()
        if self._client is None or self._up.is_set():
            self._away_since = now
        self._up.clear()
        self._client = _Client(self._section)
        self._jetstream = self._client.jetstream(timeout=ANSWER_SECONDS)
        self._connecting = asyncio.create_task(self._connect(self._client), name="saltapi-nats")

    async def _connect(self, client: "_Client") -> None:
        try:
            await client.connect(
                self._section.servers,
                name=self._name,
                connect_timeout=CONNECT_SECONDS,
                reconnect_time_wait=PAUSE_SECONDS,  # type: ignore[arg-type]
                max_reconnect_attempts=-1,
                ping_interval=PING_SECONDS,
                max_outstanding_pings=UNANSWERED_PINGS,
                pending_size=PENDING_BYTES,
                error_cb=self._failed,
                disconnected_cb=self._lost,
                reconnected_cb=self._found,
                **self._proofs,
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
            await self._failed(error)
            with contextlib.suppress(Exception):
                await client.close()
        else:
            await self._found()

    async def _failed(self, error: Exception) -> None:
        log.debug("A server of saltapi_store cannot be used: %s", error)
        if isinstance(error, SecureConnRequiredError):
            self._say_away("it speaks no TLS")
        elif "Authorization" in str(error):
            self._say_away("it does not take our credentials")

    async def _lost(self) -> None:
        if self._up.is_set():
            self._away_since = time.monotonic()
        self._up.clear()

    async def _found(self) -> None:
        if self._said_away:
            log.warning("The servers of saltapi_store are back.")
        self._said_away = False
        self._up.set()

    def _say_away(self, reason: str = "none can be reached") -> None:
        if not self._said_away:
            self._said_away = True
            log.error("The servers of saltapi_store cannot be used: %s.", reason)


class _Client(Client):
    """Keeps our credentials from a server that is not who it should be."""

    def __init__(self, section: StoreSection) -> None:
        super().__init__()
        self._section = section

    def _connect_command(self) -> bytes:
        """Refuse to say who we are in the clear: a server says by itself whether it wants TLS."""
        info: dict[str, Any] = self._server_info
        server = self._current_server
        host = urlsplit(server.uri.geturl()).hostname if server is not None else None
        if self._section.must_be_encrypted(host) and not info.get("tls_required"):
            raise SecureConnRequiredError
        return super()._connect_command()
