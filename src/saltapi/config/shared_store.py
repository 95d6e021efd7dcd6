"""
The option `saltapi_store`: the servers that keep what several machines share.

The master reads it too, where its tokens are there, so it stands at the top level.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from saltapi.config.oidc import is_loopback
from saltapi.config.section import Section
from saltapi.config.values import AbsolutePath
from saltapi.errors import CannotStart

OPTION = "saltapi_store"
TOKEN_DRIVER = "saltapi_nats"  # noqa: S105 - the name of a driver
DEFAULT_PORT = 4222
SERVERS_LIMIT = 16
REPLICAS = 3
"""How many servers keep each value, where there are so many."""


def _servers(url: str) -> str:
    """Return *url*, which names servers: `nats://a,b:4222,c`."""
    scheme, found, rest = url.partition("://")
    if scheme not in {"nats", "tls"} or not found or not rest:
        raise ValueError("must begin with nats:// or tls://")
    names = rest.split(",")
    if len(names) > SERVERS_LIMIT:
        raise ValueError(f"names more than {SERVERS_LIMIT} servers")
    for name in names:
        parts = urlsplit(f"nats://{name.strip()}")
        if "@" in name:
            raise ValueError("must name no user and no password; they stand in credentials_file")
        if not parts.hostname or parts.path or parts.query or parts.fragment:
            raise ValueError("must be names of servers, with commas between them")
        _ = parts.port  # out of range, it is an error
    return url


class StoreSection(Section):
    """Where the servers are, and who we are for them."""

    title = OPTION

    url: Annotated[str, AfterValidator(_servers)]
    credentials_file: AbsolutePath = ""
    tls: bool | None = None
    ca_file: AbsolutePath = ""
    cert_file: AbsolutePath = ""
    key_file: AbsolutePath = ""
    secret_file: AbsolutePath = ""
    replicas: int | None = Field(default=None, ge=1, le=5)
    bucket: str = Field(default="saltapi", pattern=re.compile(r"^[A-Za-z0-9_-]{1,64}$"))
    max_bytes: int = Field(default=256 * 1024 * 1024, ge=1024 * 1024)

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        if self.key_file and not self.cert_file:
            raise ValueError("key_file needs cert_file")
        if self.tls is False and (self.ca_file or self.cert_file or self.url.startswith("tls:")):
            raise ValueError("tls cannot be false where certificates or tls:// are named")
        return self

    @property
    def servers(self) -> list[str]:
        """The servers, each a URL with a port."""
        scheme, _, rest = self.url.partition("://")
        found = [urlsplit(f"{scheme}://{name.strip()}") for name in rest.split(",")]
        return [
            f"{scheme}://[{one.hostname}]:{one.port or DEFAULT_PORT}"
            if ":" in str(one.hostname)
            else f"{scheme}://{one.hostname}:{one.port or DEFAULT_PORT}"
            for one in found
        ]

    @property
    def copies(self) -> int:
        """How many servers keep each value."""
        return self.replicas or (REPLICAS if len(self.servers) >= REPLICAS else 1)

    def must_be_encrypted(self, host: str | None) -> bool:
        """Return whether nothing may be said to *host* in the clear."""
        if self.tls is None:
            return bool(self.ca_file) or self.url.startswith("tls:") or not is_loopback(host)
        return self.tls


def store_of(opts: Mapping[str, Any]) -> StoreSection | None:
    """
    Return the servers that the master's *opts* name; None without the option.

    Raises:
        CannotStart: The option is wrong.
    """
    written = opts.get(OPTION)
    if not written:
        return None
    if isinstance(written, str):
        written = {"url": written}
    if not isinstance(written, Mapping):
        raise CannotStart(f"{OPTION} must be a URL, or a mapping of options.")
    section = StoreSection.parse(dict(written))
    for option, like in section.unknown().items():
        meant = f" Did you mean {like}?" if like else ""
        raise CannotStart(f"{OPTION}.{option} is not an option.{meant}")
    return section
