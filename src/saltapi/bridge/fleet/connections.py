"""
Who holds a connection to the master's publish port: the addresses, and how often each.

Salt takes every minion for connected that has an address from which there is a connection
(`CkMinions.connected_ids`). Where many share one address, or come through another one (NAT), that
is wrong in one way or the other, so that connections are counted here.
"""

import ipaddress
import logging
import socket
from collections import Counter
from pathlib import Path
from typing import TypeAlias

import salt.utils.network

log = logging.getLogger(__name__)

Connections: TypeAlias = Counter[str]
"""How many connections there are from each address; those from this machine under `LOCAL`."""

LOCAL = "local"
ESTABLISHED = "01"
TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))


def connections_to(port: int) -> Connections:
    """Return the connections that others hold to a *port* of this machine; it takes a moment."""
    own = own_addresses()
    found: Connections = Counter()
    for table in TABLES:
        try:
            lines = table.read_text().splitlines()[1:]
        except OSError as error:
            log.info("The connections of minions cannot be read: %s", error)
            continue
        for line in lines:
            _, here, there, state, *_ = line.split()
            if state == ESTABLISHED and int(here.rpartition(":")[2], 16) == port:
                address = _address(there.rpartition(":")[0])
                found[LOCAL if address in own else address] += 1
    return found


def own_addresses() -> frozenset[str]:
    """Return the addresses of this machine."""
    names = (salt.utils.network.ip_addrs, salt.utils.network.ip_addrs6)
    own = {"127.0.0.1", "::1"}
    for addresses in names:
        own.update(map(str, addresses(include_loopback=True)))
    return frozenset(own)


def _address(digits: str) -> str:
    """Return an address as it stands in the kernel's table: words in the machine's order."""
    words = [digits[place : place + 8] for place in range(0, len(digits), 8)]
    packed = b"".join(socket.htonl(int(word, 16)).to_bytes(4, "big") for word in words)
    address = ipaddress.ip_address(packed)
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)
