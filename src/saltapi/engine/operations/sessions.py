"""The operations of sessions, and what all others ask first: who that is, and from where."""

import functools
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, nullcontext, suppress
from dataclasses import replace
from typing import Any

from saltapi import lowstate
from saltapi.config import AccessSection
from saltapi.engine.audit.activity import acting
from saltapi.engine.commands.asynchronous import AsyncAPIClient
from saltapi.engine.sessions.addresses import address_listed, check_address, user_allowed
from saltapi.engine.sessions.caller import Caller
from saltapi.engine.sessions.sessions import Attempt, permissions
from saltapi.engine.sessions.user_names import UserNames
from saltapi.errors import AuthenticationFailed, BadRequest
from saltapi.lowstate import Command
from saltapi.trace import note_user
from saltapi.types import Credentials, Session, Token

NOT_AUTHENTICATED = "Could not authenticate using provided credentials"


class SessionOperations:
    """Finds out who asks, by the access rules of one netapi module."""

    def __init__(self, client: AsyncAPIClient, access: AccessSection) -> None:
        """
        Args:
            client: Started by whoever made it, and closed by them.
            access: The module's section: `authorized_ips` and `api_acl`.
        """
        self._client = client
        self._access = access
        self._names = UserNames(client.opts)

    def check_address(self, peer: str) -> None:
        """
        Return if requests from the address *peer* are taken.

        Raises:
            AddressRefused: `authorized_ips` does not list it.
        """
        check_address(self._access.authorized_ips, peer)

    async def login(self, value: Any, *, peer: str) -> dict[str, Any]:
        """
        Return a new session: `token`, `expire`, `start`, `user`, `eauth`, `perms`; 0.8.4, "/login".

        Args:
            value: A mapping with `username`, `password`, `eauth` and perhaps `token_expire`
                in seconds, or a list whose first item is one.
            peer: The address that the request comes from.

        Raises:
            BadRequest: *value* is something else.
            AddressRefused, AuthenticationFailed, MasterUnavailable
        """
        session = await self._login(value, peer)
        return {
            "token": session.token,
            "expire": session.expire,
            "start": session.start,
            "user": session.name,
            "eauth": session.eauth,
            "perms": permissions(self._client.opts, session) or {},
        }

    async def make_tokens(self, value: Any, *, peer: str) -> list[dict[str, Any]]:
        """
        Return one token for each mapping with credentials; "/token" of Salt 2017.7 and later.

        Raises:
            BadRequest: A mapping lacks username, password or eauth.
            AddressRefused, AuthenticationFailed, MasterUnavailable
        """
        values = value if isinstance(value, list) else [value]
        names = ("username", "password", "eauth")
        if not values or not all(
            isinstance(item, Mapping) and all(name in item for name in names) for item in values
        ):
            raise BadRequest('Require "username", "password", and "eauth" params')
        sessions = [await self._login(item, peer) for item in values]
        return [
            {
                "start": session.start,
                "token": session.token,
                "expire": session.expire,
                "name": session.name,
                "eauth": session.eauth,
            }
            for session in sessions
        ]

    async def logout(self, token: Any, *, peer: str) -> None:
        """
        Revoke the session's token everywhere; its streams end.

        Raises:
            AddressRefused, AuthenticationFailed, MasterUnavailable
        """
        async with acting("logout"):
            caller = await self.identify(token, peer=peer)
            if caller.known().machine:
                raise BadRequest(
                    "A token for machines does not log out; its user revokes it with"
                    f" DELETE /v1/tokens/{caller.known().machine}."
                )
            await self._client.sessions.revoke(caller.known().token)

    async def identify(self, token: Any, *, peer: str) -> Caller:
        """
        Return who asks: the session of *token*, from the address *peer*.

        It is asked once for each request; what comes of it is handed to the operations.

        Raises:
            AddressRefused, AuthenticationFailed, MasterUnavailable
        """
        self.check_address(peer)
        session = await self._client.sessions.check(token)
        await self._check_session(session, peer)
        return Caller(peer, session)

    def takes(self, token: str) -> bool:
        """Return whether *token* looks like one that stands for somebody here."""
        return self._client.sessions.takes(token)

    async def token_among(self, tokens: Sequence[Token]) -> Token:
        """
        Return the first of *tokens* that is a session's, else the last one; "" without any.

        One of an identity provider's that is for us, and one for machines, stand for themselves.

        Raises:
            MasterUnavailable
        """
        for token in tokens[:-1]:
            if self._client.sessions.is_foreign(token):
                return token
            with suppress(AuthenticationFailed):
                return (await self._client.sessions.check(token)).token
        return tokens[-1] if tokens else ""

    async def _check_session(self, session: Session, peer: str) -> None:
        """
        Return if a session may be used from *peer*.

        Raises:
            AuthenticationFailed: It may not; it is not said that the address is the reason.
        """
        self._check_user(session.eauth, session.name, peer)
        if session.addresses is not None and not address_listed(session.addresses, peer):
            raise AuthenticationFailed(NOT_AUTHENTICATED)
        await self._client.sessions.used(session, peer)

    def _check_user(self, eauth: str, name: str, peer: str) -> None:
        """
        Return if `api_acl` lets the user come from *peer*.

        Raises:
            AuthenticationFailed: It does not; it is not said that the address is the reason.
        """
        if not user_allowed(self._access.api_acl, self._names.entries(eauth, name), peer):
            raise AuthenticationFailed(NOT_AUTHENTICATED)

    async def _login(self, value: Any, peer: str) -> Session:
        async with acting("login"):
            return await self._log_in(value, peer)

    async def _log_in(self, value: Any, peer: str) -> Session:
        self.check_address(peer)
        if isinstance(value, list) and value:
            value = value[0]
        if not isinstance(value, Mapping) or not value:
            raise BadRequest("Send username, password and eauth to log in.")
        if not value.get("eauth"):
            raise AuthenticationFailed(self._needs_eauth())
        note_user(str(value.get("username")), str(value.get("eauth")))
        self._check_user(str(value.get("eauth")), str(value.get("username")), peer)
        credentials = lowstate.credentials_of(_without_token(value))
        load: dict[str, Any] = credentials.as_load()
        expire = lowstate.seconds(value, "token_expire")
        if expire is not None:
            load["token_expire"] = expire
        attempt = await self._attempt(credentials, peer)
        return await self._client.sessions.login(load, attempt=attempt)

    def _needs_eauth(self) -> str:
        """Return the sentence for a login that does not say which eauth system to ask."""
        systems = self._names.systems
        if not systems:
            return "Nobody can log in: external_auth of the Salt master is empty."
        return f"A login needs eauth, the eauth system to ask: {' or '.join(systems)}."

    async def _attempt(self, credentials: Credentials, peer: str) -> Attempt:
        """
        Return what the use of *credentials* has to happen in: wrong passwords are counted.

        Raises:
            TooManyRequests: Too many were wrong. It is asked again when their turn has come.
        """
        if credentials.token is not None:
            return nullcontext
        throttle, name = self._client.login_throttle, credentials.username or ""
        note_user(name, credentials.eauth)
        await throttle.admit(peer, name)
        return functools.partial(throttle.attempt, peer, name)

    async def _admit(self, stack: AsyncExitStack, command: Command, peer: str) -> Command:
        """Return *command* with credentials that the master has accepted, for this peer."""
        sessions, token = self._client.sessions, command.credentials.token
        eauth, name = command.credentials.eauth or "", command.credentials.username or ""
        if token is not None:
            session = await sessions.check(token)
            await self._check_session(session, peer)
            return replace(command, credentials=Credentials(token=session.token, session=session))
        self._check_user(eauth, name, peer)
        attempt = await self._attempt(command.credentials, peer)
        credentials = await stack.enter_async_context(
            sessions.for_command(command.credentials, attempt=attempt)
        )
        return replace(command, credentials=credentials)


def _without_token(value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: item for key, item in value.items() if key != "token"}
