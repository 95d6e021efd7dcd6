"""Would a command be allowed? The master's checks for each client interface; nothing is run."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from saltapi.bridge.permissions.verdict import Verdict
from saltapi.bridge.workers.ssh_options import ssh_low
from saltapi.engine.commands.asynchronous import AsyncAPIClient
from saltapi.engine.commands.job_requests import job_request
from saltapi.errors import AuthorizationFailed, SaltApiError
from saltapi.interfaces import Kind
from saltapi.lowstate import Command
from saltapi.types import Session


async def verdicts_on(
    client: AsyncAPIClient, session: Session, commands: Sequence[Command]
) -> list[Verdict]:
    """
    Return what the master would say to each of *commands*.

    Raises:
        SaltApiError: One of them would not even be sent to the master; `index` says which.
    """
    found = []
    for index, command in enumerate(commands):
        try:
            found.append(await verdict_on(client, session, command))
        except SaltApiError as error:
            error.index = index if len(commands) > 1 else None
            raise
    return found


async def verdict_on(client: AsyncAPIClient, session: Session, command: Command) -> Verdict:
    """
    Return what the master would say to *command*.

    Raises:
        InvalidChunk: It would not even be sent to the master.
        CommandTimeout, WorkerFailed: The target cannot be looked up.
    """
    kind = command.interface.kind
    if kind is Kind.SSH:
        return _on_ssh(client, session, command)
    if kind is Kind.RUNNER:
        fun, args, kwargs = await client.function_call("runner", command)
        return await client.permissions.runner(session, fun, kwargs, args)
    if kind is Kind.WHEEL:
        fun, _, kwargs = await client.function_call("wheel", command)
        return await client.permissions.wheel(session, fun, kwargs)
    found = await _on_minions(client, session, command)
    asks_first = command.asks_first
    if asks_first is None:
        return found
    question = replace(command, fun=asks_first, args=(), kwargs=None)
    first = await _on_minions(client, session, question)
    if not first.allowed:
        reason = f"{command.client} runs {question.fun} on the target first. {first.reason}"
        return replace(first, minions=(), rule=None, reason=reason)
    if not found.allowed and found.minions:
        reason = f"It depends on which minions {command.client} comes to choose. {found.reason}"
        return replace(found, unknown=True, reason=reason)
    return found


async def _on_minions(client: AsyncAPIClient, session: Session, command: Command) -> Verdict:
    request = job_request(replace(command, stages=None), command.credentials)
    extra: dict[str, Any] = dict(request.extra)
    found = await client.permissions.local(
        session,
        request.fun,
        request.arg,
        request.tgt,
        request.tgt_type,
        delimiter=extra.get("delimiter"),
    )
    if found.allowed:
        try:
            await client.jobs.clearance.clear(request)
        except AuthorizationFailed as refusal:
            return replace(found, allowed=False, rule=None, reason=str(refusal))
    return found


def _on_ssh(client: AsyncAPIClient, session: Session, command: Command) -> Verdict:
    ssh_low(
        dict(command.chunk or {}),
        client.opts,
        allow_raw_shell=client.config.netapi_allow_raw_shell,
        key_directories=client.config.netapi_ssh_keys,
    )
    if session.narrowed is not None:
        return Verdict(False, reason="A token with permissions of its own cannot use ssh.")
    reason = "Not known: the permissions for salt-ssh are looked at only when the command runs."
    return Verdict(False, reason=reason, unknown=True)
