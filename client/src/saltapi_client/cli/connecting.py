"""The client of a command line: server, user, password and session."""

from __future__ import annotations

import argparse
import sys
from getpass import getpass
from typing import TYPE_CHECKING

from saltapi_client import errors
from saltapi_client.cli import profiles, tokens
from saltapi_client.client import Client
from saltapi_client.connections import Tls

if TYPE_CHECKING:
    from saltapi_client.cli.renewing import KeyringRenewal

DEFAULT_EAUTH = "pam"


def connect(
    args: argparse.Namespace,
    chosen: profiles.Settings | None = None,
    *,
    password: str | None = None,
    token_expire: int | None = None,
) -> Client:
    """
    Return the client that a command line asks for; nothing is sent yet.

    Args:
        args: The command line.
        chosen: What holds for it, if that is known already.
        password: The password, if it is known already.
        token_expire: How long a new token lives, in seconds.

    Raises:
        Usage: No URL is known, or something of it cannot be.
    """
    chosen = chosen or profiles.settings(args)
    url = chosen.get("url")
    if url is None:
        raise errors.Usage(
            "No server is known: saltctl login --url https://salt:8000 --user NAME, or SALTAPI_URL."
        )
    if password is None:
        password = first_line() if args.password_stdin else chosen.get("password")
    eauth = chosen.get("eauth") or DEFAULT_EAUTH
    renewal = None
    if eauth == "oidc" and password is None:
        renewal = renewal_of(f"{url.rstrip('/')} {eauth} {chosen.get('user') or ''}".rstrip())
    return Client(
        url,
        chosen.get("user"),
        password,
        eauth,
        store=tokens.store(),
        tls=Tls(
            chosen.get("ca"),
            chosen.get("cert"),
            chosen.get("cert_key"),
            chosen.get("insecure") != "yes",
        ),
        proxy=chosen.get("proxy"),
        timeout_seconds=args.connect_timeout,
        token_expire_seconds=token_expire,
        renewal=renewal,
    )


def renewal_of(name: str) -> KeyringRenewal | None:
    """Return what renews the session of a name; None if no refresh token is kept for it."""
    from saltapi_client.cli.renewing import KeyringRenewal

    keyring = tokens.system_keyring()
    found = None if keyring is None else KeyringRenewal(keyring, name)
    return found if found is not None and found.found() is not None else None


def first_line() -> str:
    """
    Return the first line of standard input.

    Raises:
        Usage: There is none.
    """
    line = sys.stdin.readline().rstrip("\r\n")
    if not line:
        raise errors.Usage("There is no password on standard input.")
    return line


def asked_password(user: str, url: str) -> str:
    """
    Return the password that somebody types.

    Raises:
        Usage: Nobody is there.
    """
    if not sys.stdin.isatty():
        raise errors.Usage("Nobody is there to type a password; use --password-stdin.")
    return getpass(f"Password of {user} at {url}: ")
