"""Whether identity providers answer as they should, and whose a sample token would be."""

from collections.abc import Iterator
from pathlib import Path

from saltapi.bridge.oidc.fetching import Unreachable
from saltapi.bridge.oidc.keys import IssuerKey, IssuerKeys
from saltapi.bridge.oidc.tokens import TOKEN_LIMIT_CHARACTERS, Untrusted
from saltapi.bridge.oidc.verifier import SYSTEM, Verifier, verifier_of
from saltapi.check.line import Line
from saltapi.config.oidc import OPTION, IssuerSection
from saltapi.engine.sessions.sessions import permissions
from saltapi.errors import CannotStart
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
