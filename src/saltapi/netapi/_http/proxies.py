"""
Whom a request is of, where proxies that the config trusts say so (`trusted_proxies`).

`Forwarded` (RFC 7239) and `X-Forwarded-For`, `-Proto` and `-Host` are read from the right, where
the nearest proxy has written, up to the first address that is no trusted proxy's: what stands to
the left of it may be anybody's. Of anybody else these headers count for nothing.

A login proxy hands on its user's token of an identity provider. That is no word of the proxy's: the
token is verified as any other one is. A name without a token counts where the config has an issuer
for it, with `user_header` (`saltapi.engine.sessions.login_proxies`).
"""

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from saltapi.engine.sessions.addresses import address_listed
from saltapi.engine.sessions.login_proxies import LoginProxy
from saltapi.errors import BadRequest

UNIX = "unix"
"""How `trusted_proxies` names who comes over a unix socket, and has no address."""
HOST = "saltapi.host"
"""Where the environ has the host that the client has asked for, if that is not `HTTP_HOST`."""
REFUSAL = "saltapi.refusal"
"""Where the environ has the error of a request of which it cannot be said whose it is."""
TOKENS = ("HTTP_CF_ACCESS_JWT_ASSERTION", "HTTP_X_FORWARDED_ACCESS_TOKEN")
"""Where Cloudflare Access and oauth2-proxy have the token of their user."""
HOPS_LIMIT = 32
NO_NODE = re.compile(r"unknown|_[A-Za-z0-9._-]{1,64}", re.I)
"""What RFC 7239 (section 6) has in place of an address that is not to be told."""
NODE = re.compile(
    r"""(?: \[ (?P<bracketed> [0-9A-Fa-f:.]+ ) (?: % [^\]]* )? \]
          | (?P<v4> [0-9.]+ ) ) (?: : (?: [0-9]{1,5} | _[A-Za-z0-9._-]+ ) )?
      | (?P<v6> [0-9A-Fa-f:.]+ ) (?: % .* )?""",
    re.X,
)
PAIR = re.compile(
    r"""[ \t]* ([!#$%&'*+.^_`|~0-9A-Za-z-]+) = (?: "((?:[^"\\]|\\.)*)" | ([^",;\s\\]*) ) [ \t]*""",
    re.X,
)
NAME = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}")
"""A host, perhaps with a port."""
SCHEMES = {"http": "http", "ws": "http", "https": "https", "wss": "https"}
UNREADABLE = "The header {} cannot be read: have the proxy in front write it anew."
TOO_MANY = f"The header {{}} names more than {HOPS_LIMIT} proxies."
DISAGREE = (
    "Forwarded and X-Forwarded-* say different things: have the proxy in front remove what it does"
    " not write."
)


@dataclass(frozen=True, slots=True)
class _Said:
    """What one kind of headers says; None where it does not."""

    address: str | None = None
    scheme: str | None = None
    host: str | None = None


def believe(
    environ: MutableMapping[str, Any],
    trusted_proxies: Iterable[str],
    login_proxy: LoginProxy | None = None,
) -> None:
    """
    Let *environ* be that of the client, where a trusted proxy holds the connection.

    `REMOTE_ADDR` and `wsgi.url_scheme` are the client's then, and `HTTP_AUTHORIZATION` has the
    token that the proxy hands on of its user, if the client sends no other one, or one that we
    sign for the name that it hands on. What cannot be read leaves `REFUSAL` in it, for
    `saltapi.netapi._http.admission`: somebody wants to look like another.

    Args:
        environ: The WSGI environ of the request.
        trusted_proxies: What the option lists.
        login_proxy: Whose names count; None for nobody's.
    """
    peer = environ.get("REMOTE_ADDR") or ""
    if not trusted_proxies or not _is_trusted(peer, trusted_proxies):
        if login_proxy is not None and _header(environ, login_proxy.user_header):
            login_proxy.pass_over(peer)
        return
    try:
        said = _agreed(_forwarded(environ, trusted_proxies), _x_forwarded(environ, trusted_proxies))
        token = _handed_on(environ, login_proxy)
    except BadRequest as error:
        environ[REFUSAL] = error
        return
    if said.address is not None:
        environ["REMOTE_ADDR"] = said.address
    environ["wsgi.url_scheme"] = said.scheme or environ["wsgi.url_scheme"]
    if said.host:
        environ[HOST] = said.host
    if token is not None:
        environ["HTTP_AUTHORIZATION"] = f"Bearer {token}"


def key_of(header: str) -> str:
    """Return where the environ has a header."""
    return f"HTTP_{header.upper().replace('-', '_')}"


def _header(environ: Mapping[str, Any], name: str) -> str:
    return str(environ.get(key_of(name), "")) if name else ""


def _handed_on(environ: Mapping[str, Any], login_proxy: LoginProxy | None) -> str | None:
    """
    Return the token of a login proxy's user, in a request that has no bearer token of its own.

    Where the proxy hands on a token, its names do not count.

    Raises:
        BadRequest: It names somebody, and it cannot be read whom.
    """
    if environ.get("HTTP_AUTHORIZATION", "").lower().startswith("bearer "):
        return None
    token = next((str(environ[name]) for name in TOKENS if environ.get(name)), None)
    if token is not None or login_proxy is None:
        return token
    names = [
        _header(environ, name) for name in (login_proxy.user_header, login_proxy.groups_header)
    ]
    return login_proxy.token(*names)


def _is_trusted(address: str, trusted_proxies: Iterable[str]) -> bool:
    return address_listed(trusted_proxies, address) if address else UNIX in trusted_proxies


def _agreed(one: _Said, other: _Said) -> _Said:
    """Return what both say; a proxy that writes one of them may hand on the client's other."""
    found = {}
    for name in ("address", "scheme", "host"):
        values = {getattr(one, name), getattr(other, name)} - {None}
        if len(values) > 1:
            raise BadRequest(DISAGREE)
        found[name] = next(iter(values), None)
    return _Said(**found)


def _forwarded(environ: Mapping[str, Any], trusted_proxies: Iterable[str]) -> _Said:
    text = environ.get("HTTP_FORWARDED", "")
    elements = [element for element in _elements(text) if element]
    if not elements:
        return _Said()
    nodes = [element.get("for") for element in elements]
    address, hop = _client(nodes, "Forwarded", trusted_proxies)
    element = elements[-1 - hop]
    return _Said(address, _scheme(element.get("proto")), _host(element.get("host")))


def _x_forwarded(environ: Mapping[str, Any], trusted_proxies: Iterable[str]) -> _Said:
    nodes = _listed(environ, "FOR")
    address, hop = _client(nodes, "X-Forwarded-For", trusted_proxies) if nodes else (None, 0)

    def at_hop(name: str) -> str | None:
        """Return what belongs to the client: proxies add to these, or there is but one."""
        values = _listed(environ, name)
        return values[-1 - min(hop, len(values) - 1)] if values else None

    return _Said(address, _scheme(at_hop("PROTO")), _host(at_hop("HOST")))


def _listed(environ: Mapping[str, Any], name: str) -> list[str]:
    texts = environ.get(f"HTTP_X_FORWARDED_{name}", "").split(",")
    return [text.strip() for text in texts if text.strip()]


def _client(
    nodes: list[str | None] | list[str], header: str, trusted_proxies: Iterable[str]
) -> tuple[str | None, int]:
    """
    Return the address of the client, and how many hops it stands from the right.

    It is None where the proxy that knows it does not say it.

    Raises:
        BadRequest
    """
    address: str | None = None
    for hop, node in enumerate(reversed(nodes)):
        if hop == HOPS_LIMIT:
            raise BadRequest(TOO_MANY.format(header))
        address = None if node is None else _address(node, header)
        if address is None or not _is_trusted(address, trusted_proxies):
            return address, hop
    return address, len(nodes) - 1


def _address(node: str, header: str) -> str:
    """
    Return the address in *node*, without a port or zone; "" for a unix socket's.

    Raises:
        BadRequest: It is none, nor one of the words that stand for one.
    """
    if NO_NODE.fullmatch(node):
        return node.lower() if node[0] != "_" else node
    if node == "unix:":  # nginx has no other word for who comes over a unix socket
        return ""
    found = NODE.fullmatch(node)
    try:
        parsed = ipaddress.ip_address(next(filter(None, found.groups()))) if found else None
    except ValueError:
        parsed = None
    if parsed is None:
        raise BadRequest(UNREADABLE.format(header))
    mapped = getattr(parsed, "ipv4_mapped", None)
    return str(mapped or parsed)


def _scheme(text: str | None) -> str | None:
    return SCHEMES.get((text or "").lower())


def _host(text: str | None) -> str | None:
    return text if text and NAME.fullmatch(text) else None


def _elements(text: str) -> Iterator[dict[str, str]]:
    """
    Yield what each proxy has written into `Forwarded`, by names in lower case.

    Raises:
        BadRequest: It is malformed, for example by a quote that somebody has left open.
    """
    element: dict[str, str] = {}
    position = 0
    while position < len(text):
        if text[position] in ",; \t":
            if text[position] == ",":
                yield element
                element = {}
            position += 1
            continue
        pair = PAIR.match(text, position)
        if pair is None or text[pair.end() : pair.end() + 1] not in {"", ",", ";"}:
            raise BadRequest(UNREADABLE.format("Forwarded"))
        name, quoted, bare = pair.groups()
        value = bare if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        if element.setdefault(name.lower(), value) != value:
            raise BadRequest(UNREADABLE.format("Forwarded"))
        position = pair.end()
    yield element
