"""
Clearance: what is asked before a job is published, whoever wants to publish it.

The master checks every command. Of some it checks less than the minions then run: of a list of
functions the first one that is allowed is enough for it, what a minion does with the result it
does not look at, and a target that is about a minion's data is matched by the minion again. So
these are checked here, before anything is published, by asking Salt's own code for one function
at a time; what is published then is what has been checked.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from saltapi.bridge.jobs.jobs import JobRequest
from saltapi.bridge.permissions.calls import OPEN_FUNCTIONS
from saltapi.bridge.permissions.permissions import Permissions
from saltapi.bridge.permissions.returners import Returners
from saltapi.bridge.requests import arguments, targets
from saltapi.errors import AuthorizationFailed
from saltapi.lowstate.targets import check_delimiter
from saltapi.types import Credentials, Opts, Session, Token

REFUSED = "Authorization error occurred."
"""What the master says; one answer for all that is not permitted, and for what is not there."""

FREE_KEYS = frozenset({"delimiter", "metadata", "start_event"})
"""What anybody may have in `JobRequest.extra`."""


class Clearance:
    """Lets requests pass that may be published, and changes those that say more than they may."""

    def __init__(
        self,
        opts: Opts,
        permissions: Permissions,
        check_token: Callable[[Token], Awaitable[Session]],
        for_master: Callable[[Credentials], Awaitable[Credentials]],
        returners: Returners,
    ) -> None:
        """
        Args:
            opts: The master's options.
            permissions: Makes the master's checks.
            check_token: Returns the session of a token.
            for_master: Returns credentials as the master knows them.
            returners: What everybody may have done with results.
        """
        self._permissions = permissions
        self._check_token = check_token
        self._for_master = for_master
        self._returners = returners
        self._syndics = bool(opts.get("order_masters"))

    async def clear(self, request: JobRequest) -> JobRequest:
        """
        Return *request* as it may be published.

        Somebody whose permissions are for some minions alone gets a target that is about more
        than names resolved: the job is for the minions that were checked.

        Raises:
            AuthorizationFailed: It may not be published.
            InvalidChunk: The target, or what travels beside the function, is wrong.
            CommandTimeout, WorkerFailed: The target cannot be looked up.
        """
        request = replace(request, credentials=await self._for_master(request.credentials))
        extra = dict(request.extra)
        check_delimiter(extra.get("delimiter"), request.tgt_type)
        await self._check_what_travels(request, extra)
        listed = not isinstance(request.fun, str)
        by_data = request.tgt_type not in targets.NAME_TYPES and not self._syndics
        calls = arguments.calls_of(request.fun, request.arg)
        unclear = not all(arguments.are_plain(args) for _, args in calls)
        known = request.credentials.session
        narrowed = known is not None and known.narrowed is not None
        if not (listed or by_data or unclear or narrowed):
            return request
        session = await self._session_of(request.credentials)
        if unclear and isinstance(request.fun, str):
            unclear = await self._permissions.has_conditions(session, request.fun)
            if not (by_data or unclear or narrowed):
                return request
        if await self._permissions.everywhere(session, request.fun, request.arg, request.tgt_type):
            return request
        if narrowed and self._syndics:  # masters below this one know nothing of it
            raise AuthorizationFailed(REFUSED)
        found = await self._permissions.local(
            session,
            request.fun,
            request.arg,
            request.tgt,
            request.tgt_type,
            delimiter=extra.get("delimiter"),
        )
        if found.unknown and not (found.allowed or listed or unclear or narrowed):
            if request.fun in OPEN_FUNCTIONS:  # the master lets everybody, whatever the target
                raise AuthorizationFailed(REFUSED)
            return request  # the master decides; it does not see less than this process
        if not found.allowed:
            raise AuthorizationFailed(REFUSED)
        # The master, which sees the maker's rules alone, gets the minions that were checked.
        if not (by_data or narrowed) or not found.minions:
            return request
        rest = tuple((key, value) for key, value in request.extra if key != "delimiter")
        return replace(request, tgt=list(found.minions), tgt_type="list", extra=rest)

    async def check_absence(self, request: JobRequest) -> None:
        """
        Return if whoever asks may know that no minion matches the target.

        Raises:
            AuthorizationFailed: It would tell of minions that are none of theirs.
        """
        if self._syndics:
            return
        session, allowed = await self._session_of(request.credentials), self._permissions
        if not await allowed.everywhere(
            session, request.fun, request.arg, request.tgt_type
        ) and not (await allowed.may_name(session, request.fun, request.tgt, request.tgt_type)):
            raise AuthorizationFailed(REFUSED)

    async def _session_of(self, credentials: Credentials) -> Session:
        """Return whose *credentials* these are; a password is for the master to check."""
        if credentials.session is not None:
            return credentials.session
        if credentials.token is not None:
            return await self._check_token(credentials.token)
        name, eauth = credentials.username or "", credentials.eauth or ""
        return Session(token="", name=name, eauth=eauth, start=0.0, expire=0.0)

    async def _check_what_travels(self, request: JobRequest, extra: dict[str, Any]) -> None:
        """
        Return if what is sent to the minions beside the function may be sent.

        Raises:
            AuthorizationFailed: It takes permission to run everything on the target.
        """
        keys = [key for key in extra if key not in FREE_KEYS]
        if not keys and not request.ret:
            return
        if set(keys) <= {"ret_kwargs", "ret_config"} and self._returners.allow(request.ret, extra):
            return
        session = await self._session_of(request.credentials)
        if not await self._permissions.unlimited(
            session, request.tgt, request.tgt_type, delimiter=extra.get("delimiter")
        ):
            named = " and ".join(repr(key) for key in (*(["ret"] if request.ret else []), *keys))
            raise AuthorizationFailed(
                f"{named} may be used by whoever may run everything on the target; for others"
                " netapi_returners in the master config lists returners."
            )
