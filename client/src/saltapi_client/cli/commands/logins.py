"""`login`, `logout`, `whoami`."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict

from saltapi_client import errors
from saltapi_client.cli import profiles, status
from saltapi_client.cli.connecting import (
    DEFAULT_EAUTH,
    asked_password,
    connect,
    first_line,
    renewal_of,
)
from saltapi_client.cli.output.documents import document
from saltapi_client.cli.output.writing import say, tell


def login(args: argparse.Namespace) -> int:
    """Log in and save the profile."""
    if args.device:
        from saltapi_client.cli.commands.device_logins import login as by_device

        return by_device(args)
    if args.provider:
        raise errors.Usage("--provider goes with --device.")
    chosen = profiles.settings(args, is_new=True)
    url, user = chosen.get("url"), chosen.get("user")
    if url is None or user is None:
        raise errors.Usage("login needs --url and --user (or SALTAPI_URL and SALTAPI_USER).")
    password = first_line() if args.password_stdin else chosen.get("password")
    if password is None:
        password = asked_password(user, url)
    with connect(args, chosen, password=password, token_expire=args.token_expire) as client:
        session = client.login()
        v1 = client.has_v1
    until = time.strftime("%Y-%m-%d %H:%M", time.localtime(session.expire))
    eauth = chosen.get("eauth") or DEFAULT_EAUTH
    tell(f"Logged in to {url} as {session.user or user} ({session.eauth or eauth}) until {until}.")
    if not v1:
        tell("It is no saltapi with /v1: what needs that is not there (docs/saltctl.md).")
    if not args.no_save:
        tell(f"Saved as the profile {chosen.profile} in {profiles.save(chosen)}.")
    return status.OK


def logout(args: argparse.Namespace) -> int:
    """End the session."""
    with connect(args) as client:
        renewal = renewal_of(client.api.store_name)
        if renewal is not None:  # first of all: also where the server cannot be reached
            try:
                renewal.end()
            except errors.Error as error:
                say(f"saltctl: the provider was not told that the login has ended: {error}")
        client.logout()
    return status.OK


def whoami(args: argparse.Namespace) -> int:
    """Say whose session it is."""
    with connect(args) as client:
        found = client.whoami()
    shown = dict(found.raw) or {key: value for key, value in asdict(found).items() if key != "raw"}
    document(args, shown)
    return status.OK
