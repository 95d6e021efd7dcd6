"""
Who may come from where: `authorized_ips` and `api_acl` as functions of name and address.

Both look at the address of the peer that holds the connection, or at the one that a proxy in
`trusted_proxies` has seen (`saltapi.netapi._http.proxies`).
"""

import functools
import ipaddress
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from saltapi.errors import AddressRefused

log = logging.getLogger(__name__)


def address_allowed(authorized_ips: Iterable[str] | str | None, address: str) -> bool:
    """
    Return whether *address* is in *authorized_ips*; everybody is when that is not set.

    Entries are addresses or networks (`192.0.2.0/24`). An entry that is neither matches nothing.
    """
    if not authorized_ips:
        return True
    entries = [authorized_ips] if isinstance(authorized_ips, str) else authorized_ips
    return address_listed(entries, address)


def address_listed(entries: Iterable[str], address: str) -> bool:
    """Return whether *address* is one of *entries*, or in a network that is one."""
    return any(_matches(str(entry), address) for entry in entries)


def check_address(authorized_ips: Iterable[str] | str | None, address: str) -> None:
    """
    Return if requests from *address* are taken.

    Raises:
        AddressRefused: *authorized_ips* does not list it.
    """
    if not address_allowed(authorized_ips, address):
        raise AddressRefused("Requests from this address are not allowed.")


def user_allowed(api_acl: Mapping[str, Any] | None, names: Sequence[str], address: str) -> bool:
    """
    Return whether a user may log in, or send credentials, from *address*.

    `api_acl` is `{users: {name or '*': [address, network or '*']}}`. A user's own entry
    counts before `*`'s. Without an `api_acl`, or without `users` in it, everybody may.

    Args:
        api_acl: The option.
        names: What the user's entry may be called; the first that there is counts.
        address: Where the user is.
    """
    users = (api_acl or {}).get("users")
    if users is None:
        return True
    if not isinstance(users, Mapping):
        log.error("api_acl: users must map user names to addresses; nobody is let in.")
        return False
    allowed = next((users[name] for name in names if name in users), users.get("*"))
    entries = [allowed] if isinstance(allowed, str) else allowed or []
    if not isinstance(entries, Iterable):
        log.error("api_acl: a user's entry must be a list of addresses; it lets nobody in.")
        return False
    return any(entry == "*" or _matches(str(entry), address) for entry in entries)


def _matches(entry: str, address: str) -> bool:
    try:
        network = _network(entry)
        peer = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(peer, ipaddress.IPv6Address) and peer.ipv4_mapped is not None:
        peer = peer.ipv4_mapped
    return peer in network


@functools.lru_cache(maxsize=1024)
def _network(entry: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network(entry, strict=False)
