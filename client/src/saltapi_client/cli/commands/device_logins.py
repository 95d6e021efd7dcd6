"""`login --device`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from saltapi_client import errors
from saltapi_client.api import JSON_TYPE, answered
from saltapi_client.cli import profiles, status, tokens
from saltapi_client.cli.connecting import connect
from saltapi_client.cli.output.writing import tell
from saltapi_client.cli.renewing import KeyringRenewal
from saltapi_client.cli.terminal import clean
from saltapi_client.client import Client
from saltapi_client.device import Provider, on_loopback
from saltapi_client.shapes import part


def login(args: argparse.Namespace) -> int:
    """Log in by a browser at an identity provider, and save the profile."""
    chosen = profiles.settings(args, is_new=True)
    values = {key: text for key, text in chosen.values.items() if key not in {"user", "password"}}
    chosen = replace(chosen, values={**values, "eauth": "oidc"})
    with connect(args, chosen) as client:
        provider = replace(
            provider_of(client, args.provider),
            ca=chosen.get("ca"),
            proxy=chosen.get("proxy"),
            local=on_loopback(urlsplit(client.api.connections.url).hostname),
        )
        keyring = tokens.system_keyring()
        given = provider.log_in(show, keeps=keyring is not None)
        headers = {"Authorization": f"Bearer {given.token}"}
        user = part(asked(client, "/v1/whoami", headers), "user", str)
    if args.user not in {None, user}:
        raise errors.AuthenticationFailed(f"The provider has logged in {user}, not {args.user}.")
    chosen = replace(chosen, values={**chosen.values, "user": user})
    token_expire = args.token_expire
    with connect(args, chosen, password=given.token, token_expire=token_expire) as client:
        session = client.login()
        name = client.api.store_name
    until = time.strftime("%Y-%m-%d %H:%M", time.localtime(session.expire))
    tell(f"Logged in to {client.api.connections.url} as {user} (oidc) until {until}.")
    if keyring is None or not KeyringRenewal(keyring, name).keep(provider, given):
        tell("The session is not renewed: there is no keyring, or no refresh token to keep in it.")
    if not args.no_save:
        tell(f"Saved as the profile {chosen.profile} in {profiles.save(chosen)}.")
    return status.OK


def provider_of(client: Client, named: str | None) -> Provider:
    """Return the provider that the server has, or the one of several that is named."""
    found = []
    for each in part(asked(client, "/v1/login", {}), "devices", list):
        texts = [part(each, name, str) for name in ("name", "issuer", "client_id")]
        lists = [[str(one) for one in part(each, name, list)] for name in ("scopes", "audiences")]
        found.append(Provider(texts[0], texts[1], texts[2], lists[0], lists[1]))
    if not found:
        raise errors.NotSupported("The server has no provider for this (device_client_id).")
    meant = [each for each in found if named is None or named in {each.name, each.issuer}]
    if len(meant) != 1:
        names = ", ".join(each.name for each in found)
        raise errors.Usage(f"Say which provider with --provider; there is: {names}")
    return meant[0]


def asked(client: Client, path: str, headers: Mapping[str, str]) -> Any:
    """Return what the server answers without a session of ours."""
    return answered(
        client.api.once("GET", path, None, headers, JSON_TYPE, None, fresh=False).read()
    )


def show(begun: Mapping[str, Any]) -> None:
    """Say where to log in, and with which code."""
    lines = [f"Open {begun['verification_uri']} and enter the code {begun['user_code']}"]
    if isinstance(begun.get("verification_uri_complete"), str):
        lines.append(f"or open {begun['verification_uri_complete']}")
    for line in lines:
        sys.stderr.write(f"{clean(line)}\n")
    sys.stderr.flush()
