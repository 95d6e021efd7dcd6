"""
The operations: what can be asked of a Salt master through any module.

Netapi modules turn a request into plain values, call an operation, and turn what it returns, or
the `SaltApiError` that it raises, into a response. They decide nothing about Salt.
"""

import asyncio
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from typing import Any, Literal, TypeVar

from saltapi import lowstate
from saltapi.bridge.permissions.narrowing import check_whole
from saltapi.config import AccessSection, EngineConfig
from saltapi.engine.audit.activity import acting, facts_of
from saltapi.engine.commands.asynchronous import AsyncAPIClient
from saltapi.engine.events.acl import EventAcl
from saltapi.engine.events.listening import Listening
from saltapi.engine.events.streams import EventStream, LiveViewStream
from saltapi.engine.operations import outcomes
from saltapi.engine.operations.sessions import SessionOperations
from saltapi.engine.sessions.administrators import Administrators
from saltapi.engine.sessions.caller import Caller
from saltapi.engine.store.idempotency import Keyed
from saltapi.engine.webhooks.secrets import HookSecrets
from saltapi.errors import (
    AuthenticationFailed,
    AuthorizationFailed,
    BadRequest,
    Conflict,
    MalformedAnswer,
    SaltApiError,
)
from saltapi.formats import arguments
from saltapi.formats.yaml_loader import Allowance
from saltapi.interfaces import INTERFACES
from saltapi.lowstate import Command
from saltapi.masking import CREDENTIAL_HEADERS
from saltapi.types import Chunk, Credentials, Lowstate, Session

Checked = TypeVar("Checked", Command, Command | SaltApiError)
"""What becomes of a chunk."""


class Api(SessionOperations):
    """The operations over one client, with the access rules of one netapi module."""

    def __init__(
        self,
        client: AsyncAPIClient,
        access: AccessSection,
        administrators: Administrators | None = None,
        event_acl: EventAcl | None = None,
        hook_secrets: HookSecrets | None = None,
    ) -> None:
        """
        Args:
            client: Started by whoever made it, and closed by them.
            access: The module's section: `authorized_ips` and `api_acl`.
            administrators: Who sees what is masked for everybody else; nobody without it.
            event_acl: Who sees which events; without it everybody with a token sees all of them,
                as with Salt's own modules.
            hook_secrets: Which web hooks must be signed; none without it.
        """
        super().__init__(client, access)
        self._administrators = administrators
        self._event_acl = event_acl
        self._hook_secrets = hook_secrets
        self.start_batch: Callable[[Command], Awaitable[dict[str, Any]]] | None = None
        """Begins what `local_async` is to run in stages."""
        self.listening = Listening(client.hub, event_acl)
        """Finds what a listener takes from."""

    def clients(self) -> list[str]:
        """Return the names of the client interfaces that are enabled."""
        return [name for name in INTERFACES if name in self._client.config.netapi_enable_clients]

    async def minions(self, mid: str | None, caller: Caller) -> dict[str, Any]:
        """Return the grains of the minions that match the glob *mid* (all without); `/minions`."""
        chunk = {"client": "local", "tgt": mid or "*", "fun": "grains.items", "arg": []}
        found: dict[str, Any] = await self._run_chunk(chunk, caller)
        return found

    async def start(self, value: Any, caller: Caller, *, keyed: Keyed | None = None) -> list[Any]:
        """Start every chunk of a lowstate as `local_async` and return jid and minions of each."""
        chunks = [{**chunk, "client": "local_async"} for chunk in lowstate.chunks_from(value)]
        return await self.run(chunks, caller, keyed=keyed)

    async def jobs(self, caller: Caller) -> dict[str, Any]:
        """Return the jobs of the job cache by jid; 0.8.4, "/jobs"."""
        found: dict[str, Any] = await self._run_chunk(
            {"client": "runner", "fun": "jobs.list_jobs"}, caller
        )
        return found

    async def job(self, jid: str, caller: Caller) -> dict[str, Any]:
        """
        Return what the job cache knows of one job, with a mapping of each minion's `Result`.

        Raises:
            InvalidChunk: *jid* cannot be a job id.
            MalformedAnswer: The job cache could not be read.
        """
        chunk = {"client": "runner", "fun": "jobs.list_job", "jid": lowstate.checked_jid(jid)}
        found = await self._run_chunk(chunk, caller)
        if not isinstance(found, dict):
            raise MalformedAnswer(f"The runner jobs.list_job has failed: {found}")
        return found

    async def keys(self, caller: Caller) -> dict[str, Any]:
        """Return the names of all minion keys by state; `/keys` of Salt 2014.7 and later."""
        return await self._wheel_return({"fun": "key.list_all"}, caller)

    async def key(self, mid: str, caller: Caller) -> dict[str, Any]:
        """Return the fingerprints of the keys that match the glob *mid*, by state."""
        return await self._wheel_return({"fun": "key.finger", "match": mid}, caller)

    async def make_key(self, value: Any, caller: Caller) -> tuple[str, bytes, bytes]:
        """
        Make a key pair for a minion, accept it, and return minion id, public and private key.

        Args:
            value: `mid`, perhaps `keysize` and `force`, with a token or credentials beside them.
            caller: From where the request comes, perhaps with a bearer token.

        Raises:
            InvalidChunk: `mid` is missing or cannot be a minion id.
            Conflict: The minion has a key already, and `force` is not set.
        """
        chunk = lowstate.chunks_from(value)[:1] or [{}]
        low = {key: item for key, item in chunk[0].items() if key != "client"}
        for key in low.keys() & {"keysize", "force"}:  # a form has texts only
            low[key] = arguments.from_text(low[key]) if isinstance(low[key], str) else low[key]
        mid = lowstate.checked_minion_id(low.pop("mid", None))
        command = {"client": "wheel", "fun": "key.gen_accept", "id_": mid}
        pair = (await self.run([{**low, **command}], caller))[0]["data"]["return"]
        if not isinstance(pair, dict):
            raise MalformedAnswer(f"The wheel function key.gen_accept has failed: {pair}")
        if not pair.get("pub") or not pair.get("priv"):
            raise Conflict(f"{mid} has an accepted key; send force=True to replace it.")
        return mid, str(pair["pub"]).encode(), str(pair["priv"]).encode()

    async def hook(
        self,
        tag_parts: Sequence[str],
        *,
        headers: Mapping[str, str],
        body: bytes,
        event: Callable[[dict[str, str]], Awaitable[dict[str, Any]]],
        token: Any,
        peer: str,
        open_to_all: bool = False,
    ) -> None:
        """
        Fire the event of a web hook; 0.8.4, "/hook".

        A path that `webhook_secrets` names, and one that is nearly the same, must be signed; every
        other one needs a session.

        Args:
            tag_parts: What follows `salt/netapi/hook` in the tag.
            headers: The request's headers.
            body: Its body, as it came.
            event: Returns the event's data; called when the event may be fired, with the headers
                that it may have: those that carry credentials or prove who sends are left out.
            token: The session token.
            peer: The address that the request comes from.
            open_to_all: Whether the module's config lets anybody in where no secret is set.

        Raises:
            NotSigned: It has to be signed, and is not, or is not with the right secret.
            AddressRefused, AuthenticationFailed
            TooManyRequests: Too many requests from this address were signed wrongly.
            Conflict: The same delivery has been taken before.
            MasterUnavailable, StoreUnavailable: The event was not fired.
        """
        tag = "/".join(("salt/netapi/hook", *tag_parts))
        async with acting("hook", tgt=tag), AsyncExitStack() as stack:
            self.check_address(peer)
            signed = None
            if self._hook_secrets is not None:
                verified = self._hook_secrets.verified("/".join(tag_parts), headers, body, peer)
                signed = await stack.enter_async_context(verified)
            if signed is None and not open_to_all:
                caller = await self.identify(token, peer=peer)
                check_whole(caller.known(), "fire events")
            left_out = CREDENTIAL_HEADERS | (signed.secret_headers if signed else frozenset())
            shown = {name: text for name, text in headers.items() if name.lower() not in left_out}
            await self._client.bus.fire(tag, await event(shown))

    async def run(self, value: Any, caller: Caller, *, keyed: Keyed | None = None) -> list[Any]:
        """
        Run a lowstate and return one result for each chunk, in order; 0.8.4, "rest_wsgi".

        All chunks are checked, and everybody's credentials, before the first one runs. A
        chunk that fails ends the list; the error's `completed` holds the results before it.

        Args:
            value: The decoded body: a list of chunks with credentials in each, or one chunk.
            caller: Who asks; a session takes the place of credentials in the chunks.
            keyed: The request's idempotency key: where the same request has run before, what it
                returned is returned and nothing runs.

        Raises:
            SaltApiError
        """
        results: list[Any] = []
        async with AsyncExitStack() as stack:
            commands = await self._admit_all(stack, value, caller)
            jids = [command.jid for command in commands]
            reservation: Keyed | None = None
            if keyed is not None:
                session = self._session_of(commands)
                reservation = await stack.enter_async_context(keyed.once(session, commands))
                if reservation.repeated:
                    return reservation.outcome()
                commands = reservation.commands
            await self._client.jobs.jids.claim(jids)
            many = len(commands) > 1
            for index, command in enumerate(commands):
                with _naming_chunk(index if many else None, results):
                    results.append(await self._run_one(command, caller.peer))
            if reservation is not None:
                await reservation.done(results)
        return results

    async def commands(self, value: Any, caller: Caller) -> list[Command]:
        """
        Return the commands of a lowstate for *caller*; nothing is run.

        Raises:
            BadRequest: There is nothing to run.
            What else `run` raises before it runs anything.
        """
        async with AsyncExitStack() as stack:
            commands = await self._admit_all(stack, value, caller)
        if not commands:
            raise BadRequest("The lowstate is empty: send a chunk, or a list of chunks.")
        return commands

    async def run_each(
        self, value: Any, *, peer: str, token: Any = None, keyed: Keyed | None = None
    ) -> list[Any]:
        """
        Same as `run`, but each chunk stands for itself; rest_tornado's way.

        An error takes the place of the result of a chunk that the master refuses or that fails.
        The list ends with the first one whose credentials, or what they permit, do not suffice.
        With an idempotency key the credentials of all chunks must suffice before the first runs.

        Args:
            value: The decoded body: a list of chunks, or one chunk.
            peer: The address that the request comes from.
            token: The session's token, for chunks that have none of their own.
            keyed: The request's idempotency key, as in `run`.

        Raises:
            BadRequest, AddressRefused: Nothing was run.
            Conflict: A chunk's jid is refused, whichever it is (`Jids.claim`); nothing was run.
            AuthenticationFailed: The same for the credentials of a chunk with a jid, or of any
                with an idempotency key.
            TooManyRequests: Credentials are not tried now; `completed` holds what was run.
            AuditUnavailable: The same where it cannot be noted what runs.
            What `Keyed.reserve` raises.
        """
        self.check_address(peer)
        chunks = lowstate.chunks_from(value)
        if token is not None:
            chunks = [c if "token" in c else lowstate.with_token(c, token) for c in chunks]
        commands = await _soon(chunks, _checked_each, self._client.config)
        named = [each for each in commands if isinstance(each, Command) and each.jid]
        async with AsyncExitStack() as stack:
            reservation: Keyed | None = None
            if keyed is not None:
                admitted = [
                    await self._admit(stack, outcomes.accepted(each), peer) for each in commands
                ]
                session = self._session_of(admitted)
                reservation = await stack.enter_async_context(keyed.once(session, admitted))
                if reservation.repeated:
                    return outcomes.kept(reservation)
                commands = [*reservation.commands]
            else:  # strangers are told nothing of jids
                for each in named:
                    await self._admit(stack, each, peer)
            await self._client.jobs.jids.claim(each.jid for each in named)
            found = await outcomes.of_each(commands, lambda each: self._run_alone(each, peer))
            if reservation is not None:
                await outcomes.keep(reservation, found)
        return found

    async def listen(
        self, caller: Caller, *, since: str | None = None, tags: Iterable[str] = ()
    ) -> EventStream:
        """
        Return the stream of the master's events for *caller*; close it.

        Args:
            caller: Who asks.
            since: The id of the last record seen, to resume after it.
            tags: Shell patterns of the tags to get; all without.

        Raises:
            AddressRefused, AuthenticationFailed, MasterUnavailable
        """
        session = check_whole(caller.known(), "listen to events")
        sees_all = self._administrators is not None and await self._administrators.includes(session)
        client = self._client
        listener = await self.listening.listener(session, since, tags)
        return EventStream(
            client.hub,
            client.sessions,
            session,
            since=since,
            tags=tags,
            listener=listener,
            masked=not sees_all,
        )

    async def view(
        self, caller: Caller, *, minions: Literal["list", "dict"] = "list"
    ) -> LiveViewStream:
        """
        Return the changes of jobs and minions for *caller*; close it.

        Args:
            caller: Who asks; grains are shown as far as the session may run `grains.items`.
            minions: Whether minions come as a list or as a mapping by their ids.

        Raises:
            AddressRefused, AuthenticationFailed, MasterUnavailable
        """
        session = check_whole(caller.known(), "listen to events")
        view = self._client.view
        if self._event_acl is not None:
            view = await self._event_acl.view(session, view)
        return LiveViewStream(view, self._client.sessions, session, minions=minions)

    @property
    def listeners(self) -> int:
        """How many streams there are in this process."""
        return self._client.hub.listeners + self._client.view.listeners

    def end_streams(self) -> None:
        """End all streams of this process, before it stops."""
        self._client.end_streams()

    async def _run_chunk(self, chunk: Chunk, caller: Caller) -> Any:
        return (await self.run([chunk], caller))[0]

    async def _wheel_return(self, chunk: Chunk, caller: Caller) -> dict[str, Any]:
        found = (await self._run_chunk({**chunk, "client": "wheel"}, caller))["data"]["return"]
        if not isinstance(found, dict):
            raise MalformedAnswer(f"The wheel function {chunk['fun']} has failed: {found}")
        return found

    async def _admit_all(self, stack: AsyncExitStack, value: Any, caller: Caller) -> list[Command]:
        """Return the commands of a lowstate, all checked, with credentials that are accepted."""
        session = caller.session
        if session is None:
            self.check_address(caller.peer)
        chunks = lowstate.chunks_from(value)
        if session is not None:
            chunks = [lowstate.with_token(chunk, session.token) for chunk in chunks]
        elif caller.bearer:
            chunks = [lowstate.with_bearer(chunk, caller.bearer) for chunk in chunks]
        commands = await _soon(chunks, lowstate.check_all, self._client.config)
        if session is not None:
            credentials = Credentials(token=session.token, session=session)
            return [replace(command, credentials=credentials) for command in commands]
        for index, command in enumerate(commands):
            with _naming_chunk(index if len(commands) > 1 else None):
                commands[index] = await self._admit(stack, command, caller.peer)
        return commands

    @staticmethod
    def _session_of(commands: Sequence[Command]) -> Session:
        """
        Return the session whose commands these are.

        Raises:
            BadRequest: They are of several users, or nobody has checked whose they are yet.
        """
        sessions = {command.credentials.token: command.credentials.session for command in commands}
        found = [session for session in sessions.values() if session is not None]
        if len({session.owner for session in found}) != 1 or None in sessions.values():
            raise BadRequest(
                "With an Idempotency-Key all chunks must be of one user; log in and send the token."
            )
        return found[0]

    async def _run_alone(self, command: Command, peer: str) -> Any:
        async with AsyncExitStack() as stack:
            return await self._run_one(await self._admit(stack, command, peer), peer)

    async def _run_one(self, command: Command, peer: str) -> Any:
        attempt = await self._attempt(command.credentials, peer)
        async with acting(**facts_of(command)), attempt():
            if command.stages and not command.interface.waits and self.start_batch:
                return await self.start_batch(command)
            result = await self._client.run_command(command)
            if isinstance(result, AsyncIterator):
                return [element async for element in result]
            return result


async def _soon(
    chunks: Lowstate, check: Callable[[Lowstate, EngineConfig], list[Checked]], config: EngineConfig
) -> list[Checked]:
    """Return what *check* says of *chunks*, in a thread where that takes long."""
    if lowstate.takes_long(chunks):
        return await asyncio.to_thread(check, chunks, config)
    return check(chunks, config)


def _checked_each(chunks: Lowstate, config: EngineConfig) -> list[Command | SaltApiError]:
    """Return the command of each chunk, or what is wrong with its credentials."""
    found: list[Command | SaltApiError] = []
    allowance = Allowance()
    for index, chunk in enumerate(chunks):
        with _naming_chunk(index if len(chunks) > 1 else None):
            try:
                found.append(lowstate.check(chunk, config, allowance))
            except (AuthenticationFailed, AuthorizationFailed) as error:
                found.append(error)
    return found


@contextmanager
def _naming_chunk(index: int | None, completed: list[Any] | None = None) -> Iterator[None]:
    """Let an error say which chunk it is about, and what had been done before."""
    try:
        yield
    except SaltApiError as error:
        error.index = index
        error.completed = tuple(completed or ())
        raise
