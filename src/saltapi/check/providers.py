"""Whether identity providers answer as they should, and whose a sample token would be."""

import ipaddress
import json
from collections.abc import Iterator
from pathlib import Path

from saltapi.bridge.oidc.fetching import Unreachable
from saltapi.bridge.oidc.keys import IssuerKey, IssuerKeys
from saltapi.bridge.oidc.tokens import TOKEN_LIMIT_CHARACTERS, Untrusted
from saltapi.bridge.oidc.verifier import SYSTEM, Verifier, verifier_of
from saltapi.bridge.oidc.vouching import signer_of
from saltapi.check.line import Line
from saltapi.config.oidc import OPTION, IssuerSection
from saltapi.config.values import as_list
from saltapi.engine.sessions.sessions import permissions
from saltapi.errors import CannotStart
from saltapi.process import daemonize
from saltapi.types import Opts, Session

ENDPOINTS = ("authorization_endpoint", "token_endpoint")


def providers(opts: Opts, token_file: str | None = None) -> Iterator[Line]:
    """
    Tell what the issuers of `saltapi_oidc` answer; they are asked.

    Args:
        opts: The master's options.
        token_file: A file with a token of one of them.
    """
    systems = opts.get("external_auth")
    is_used = isinstance(systems, dict) and SYSTEM in systems
    try:
        verifier = verifier_of(opts)
    except CannotStart as error:
        yield Line("error", str(error), (OPTION,))
        return
    if is_used and not verifier.issuers:
        yield Line(
            "error",
            f"external_auth has {SYSTEM}, and {OPTION} names no issuer: nobody of it can log in.",
        )
    if verifier.issuers and not is_used:
        yield Line(
            "warning",
            f"{OPTION} has issuers, and external_auth has no {SYSTEM}: their users may do nothing.",
        )
    for number, issuer in enumerate(verifier.issuers.values()):
        yield from _issuer(verifier, issuer, (OPTION, number))
        if issuer.user_header:
            yield from _login_proxy(opts, issuer, (OPTION, number))
    if token_file is not None:
        yield _token(verifier, opts, Path(token_file))


def _issuer(verifier: Verifier, issuer: IssuerSection, path: tuple[str, int]) -> Iterator[Line]:
    try:
        found = _asked(verifier.keys[issuer.issuer], issuer)
    except Unreachable as error:
        yield Line("error", f"{issuer.issuer}: {error}", path)
        return
    names = ", ".join(sorted({str(each.key.key_type) for each in found}))
    yield Line("ok", f"{issuer.issuer} has {len(found)} keys ({names}).")
    usable = [a for a in issuer.algorithms if any(each.fits(a) for each in found)]
    if not usable:
        yield Line("error", f"{issuer.issuer}: none of its keys is for one of algorithms.", path)
    if issuer.redirect_url:
        yield Line(
            "ok", f"Browsers log in at {issuer.issuer}, and come back to {issuer.redirect_url}."
        )
        if issuer.client_secret_file and not Path(issuer.client_secret_file).is_file():
            yield Line("error", f"{issuer.client_secret_file} is no file.", path)


def _login_proxy(opts: Opts, issuer: IssuerSection, path: tuple[str, int]) -> Iterator[Line]:
    """Tell whether names of a login proxy are signed, and who can name somebody."""
    try:
        account = daemonize.account_for(opts["user"])
        signer = signer_of(issuer, owners=() if account is None else (account.uid,))
    except CannotStart as error:
        yield Line("error", str(error), path)
    else:
        key = f"{signer.algorithm} key"
        yield Line("ok", f"{issuer.user_header} names users of {issuer.issuer}, by our {key}.")
    if _has_private(Path(issuer.keys_file)):
        yield Line("error", f"{issuer.keys_file} has the private key: make another pair.", path)
    for name in issuer.modules:
        section = opts.get(name)
        entries = as_list(section.get("trusted_proxies")) if isinstance(section, dict) else []
        if not entries:
            yield Line(
                "warning",
                f"{name} has no trusted_proxies: {issuer.user_header} counts for nothing there.",
                path,
            )
        yield from _who_can_name(name, entries)


def _has_private(path: Path) -> bool:
    """Return whether a file that the master reads has more than public keys."""
    try:
        content = path.read_bytes()
        found = json.loads(content) if b"PRIVATE KEY" not in content else None
    except (OSError, ValueError, RecursionError):
        return False  # which is said elsewhere
    entries = found.get("keys") if isinstance(found, dict) else None
    listed = entries if isinstance(entries, list) else []
    return found is None or any(isinstance(one, dict) and "d" in one for one in listed)


def _who_can_name(module: str, entries: list[str]) -> Iterator[Line]:
    path = (module, "trusted_proxies")
    for entry in entries:
        try:
            network = ipaddress.ip_network(str(entry), strict=False)
        except ValueError:
            continue
        if network.num_addresses > 1:
            yield Line(
                "warning",
                f"{module}.trusted_proxies has {entry}: each of its {network.num_addresses:,}"
                " addresses can say that it is anybody. Name the login proxy alone.",
                path,
            )
        elif network.is_loopback:
            yield Line(
                "note",
                f"{module}.trusted_proxies has {entry}: every program on this machine can say that"
                " it is anybody. A unix socket (`unix`) that the proxy alone may use cannot.",
                path,
            )


def _asked(keys: IssuerKeys, issuer: IssuerSection) -> tuple[IssuerKey, ...]:
    """
    Return the keys of an issuer.

    Raises:
        Unreachable: It does not say all that is needed.
    """
    found = keys.known()
    metadata = keys.metadata() if issuer.redirect_url else {}
    missing = [name for name in ENDPOINTS if not isinstance(metadata.get(name), str)]
    if issuer.redirect_url and missing:
        raise Unreachable(f"Its metadata have no good {' and no '.join(missing)}.")
    return found


def _token(verifier: Verifier, opts: Opts, path: Path) -> Line:
    """Return what becomes of a token, and why not."""
    try:
        with path.open(encoding="ascii", errors="replace") as file:
            text = file.read(TOKEN_LIMIT_CHARACTERS + 2).strip()
        found = verifier.identify(text)
    except OSError as error:
        return Line("error", f"{path} cannot be read: {error.strerror}.")
    except (Untrusted, Unreachable) as error:
        return Line("error", f"The token in {path} is not accepted. {error}")
    session = Session("", found.user, SYSTEM, 0.0, found.expire, found.groups)
    remarks = "".join(f" {remark}" for remark in found.remarks)
    may = permissions(opts, session)
    groups = ", ".join(found.groups) or "none"
    text = f"The token in {path} is of user {found.user}, groups: {groups}.{remarks}"
    if not may:
        return Line("warning", f"{text} external_auth gives them no permission.")
    return Line("ok", f"{text} Permissions: {', '.join(map(str, may))}.")
