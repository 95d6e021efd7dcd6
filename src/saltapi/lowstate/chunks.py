"""
Chunks in, checked commands out.

The order of the checks is Salt's; the first chunk that is wrong ends the request before any runs.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from saltapi.config import EngineConfig
from saltapi.errors import (
    AuthorizationFailed,
    BadRequest,
    ClientDisabled,
    InvalidChunk,
    SaltApiError,
)
from saltapi.formats import arguments
from saltapi.formats.yaml_loader import Allowance, YamlRefused
from saltapi.interfaces import FUNCTION_KINDS, INTERFACES, Interface, Kind
from saltapi.lowstate.credentials import CREDENTIAL_KEYS, credentials_of
from saltapi.lowstate.functions import (
    args_of,
    check_argument_names,
    local_args,
    local_function,
    master_function,
)
from saltapi.lowstate.stages import PING, StagePlan, stage_plan
from saltapi.lowstate.targets import target_of
from saltapi.lowstate.values import (
    flag,
    is_longer,
    jid_of,
    mapping,
    number_as_text,
    seconds,
    short,
    text,
)
from saltapi.types import Chunk, Credentials, Lowstate

MASTER_KEYS = (
    "delimiter",
    "metadata",
    "ret_config",
    "ret_kwargs",
    "module_executors",
    "executor_opts",
    "start_event",
    "nocache",
)
"""
What the master itself takes from a local chunk, beside target, function and arguments.

Nothing else of a chunk travels; who may use which of them, `bridge.clearance` says.
"""
REFUSED_LOCAL_KEYS = (
    *("listen", "progress", "block", "verbose", "show_jid", "minions", "cli"),
    *("id", "master_id", "auth_list"),
)
"""
Keys that steer how Salt's own client waits or prints, which in a daemon can only do harm; and
those by which masters and syndics speak to each other.
"""
RUNNER_KEYS = frozenset({*CREDENTIAL_KEYS, "client", "fun", "arg", "kwarg", "user", "key"})
"""What is no argument at the top level of a runner's chunk (`RunnerClient._reformat_low`)."""
WHEEL_KEYS = frozenset(
    {*CREDENTIAL_KEYS, "client", "cmd", "fun", "arg", "kwarg", "print_event", "full_return"}
)
"""What is no argument at the top level of a wheel function's chunk: the master reads it there."""
BATCH_SIZE = re.compile(r"%?\s*\d{1,9}(\.\d{1,9})?\s*%?")
METADATA_CHARACTERS = 10_000
"""Every minion sends its metadata back with its return."""
QUICK_CHUNKS = 50
"""More are checked in a thread: an event loop serves others meanwhile."""


@dataclass(frozen=True, slots=True)
class Command:
    """
    One checked chunk.

    `fun` is a list only for compound local commands; `args` are positional and `kwargs` keyword
    arguments of the function. `timeout_seconds` is None where the chunk does not set it.
    `extra` is what the master takes from a local chunk beside these (`MASTER_KEYS`). `lends` is set
    where the job must not be published when its sender has given up, `stages` where a `batch` of
    `local` or `local_async` asks for a change in stages.
    """

    client: str
    fun: str | list[str]
    credentials: Credentials
    tgt: str | list[str] = ""
    tgt_type: str = "glob"
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] | None = None
    timeout_seconds: float | None = None
    gather_job_timeout_seconds: float | None = None
    full_return: bool = False
    ret: str = ""
    jid: str | None = None
    batch: str = "10%"
    batch_wait_seconds: float = 0.0
    failhard: bool = False
    raw: bool = False
    subset: int = 3
    extra: tuple[tuple[str, Any], ...] = ()
    chunk: Mapping[str, Any] | None = field(default=None, repr=False)
    lends: bool = False
    stages: StagePlan | None = None

    @property
    def interface(self) -> Interface:
        """The client interface that it goes through."""
        return INTERFACES[self.client]

    @property
    def asks_first(self) -> str | None:
        """What is run on the whole target before minions are chosen or divided."""
        return self.interface.asks_first if self.stages is None else PING

    def check_at_once(self) -> None:
        """
        Return if it may be published to all of its minions at once.

        Raises:
            InvalidChunk: It must go in stages, which this door does not do.
        """
        if self.stages is not None and self.stages.own:
            raise InvalidChunk(
                "Stages are for POST /v1/run, and elsewhere for local_async; nothing was run.",
                key="batch",
            )


def chunks_from(value: Any) -> Lowstate:
    """
    Return the list of chunks in a decoded body; one mapping counts as a list of one.

    Raises:
        BadRequest: It is neither, or something in the list is no mapping.
    """
    if isinstance(value, Mapping):
        value = [value]
    if not isinstance(value, list):
        raise BadRequest("Lowstates must be a list")
    for index, chunk in enumerate(value):
        if not isinstance(chunk, Mapping):
            problem = InvalidChunk("A chunk must be a mapping with 'client', 'fun', …")
            raise _at(index, len(value), problem)
    return [dict(chunk) for chunk in value]


def check_all(chunks: Lowstate, config: EngineConfig) -> list[Command]:
    """Return the commands of a lowstate; the first chunk that is wrong raises, as in `check`."""
    commands = []
    allowance = Allowance()
    for index, chunk in enumerate(chunks):
        try:
            commands.append(check(chunk, config, allowance))
        except SaltApiError as error:
            raise _at(index, len(chunks), error) from None
    return commands


def _at(index: int, chunks: int, error: SaltApiError) -> SaltApiError:
    """Return *error*, which says which of several *chunks* it is about."""
    if chunks > 1:
        error.index = index
    return error


def takes_long(chunks: Lowstate) -> bool:
    """Return whether to check *chunks* holds up an event loop for longer than others can bear."""
    return len(chunks) > QUICK_CHUNKS or any(
        arguments.takes_long(args_of(chunk)) for chunk in chunks
    )


def check(chunk: Chunk, config: EngineConfig, allowance: Allowance | None = None) -> Command:
    """
    Return the command that *chunk* asks for.

    The order of the checks is Salt's: known client, enabled, credentials present, then the rest.

    Args:
        chunk: The chunk, with its credentials inside.
        config: Says which clients are enabled.
        allowance: How many values the texts in `arg` may come to; those of one request share it.

    Raises:
        InvalidChunk, ClientDisabled, AuthenticationFailed, AuthorizationFailed
    """
    if not all(isinstance(key, str) for key in chunk):
        raise InvalidChunk("The keys of a chunk must be strings.")
    client = chunk.get("client")
    if not isinstance(client, str) or client not in INTERFACES:
        name = client[:60] if isinstance(client, str) else short(client)
        raise InvalidChunk(f"Invalid client specified: '{name}'", key="client")
    if client not in config.netapi_enable_clients:
        raise ClientDisabled(
            f"Client disabled: '{client}'. Add to 'netapi_enable_clients' master config option"
            " to enable.",
            key="client",
        )
    credentials = credentials_of(chunk)
    if chunk.get("raw_shell") and not config.netapi_allow_raw_shell:
        raise AuthorizationFailed("Raw shell option not allowed.")
    is_function = INTERFACES[client].kind in FUNCTION_KINDS
    try:
        arguments.check(args_of(chunk), allowance or Allowance(), all_long=is_function)
    except YamlRefused as error:
        raise InvalidChunk(str(error), key="arg") from error
    if is_function:
        return _function_command(client, chunk, credentials)
    return _target_command(client, chunk, credentials)


def _target_command(client: str, chunk: Chunk, credentials: Credentials) -> Command:
    fun = local_function(client, chunk)
    tgt, tgt_type = target_of(chunk)
    by_ssh = INTERFACES[client].kind is Kind.SSH
    refused = REFUSED_LOCAL_KEYS if not by_ssh else ()
    for key in refused:
        if key in chunk:
            raise InvalidChunk(f"{key!r} cannot be used here; leave it out.", key=key)
    if client != "local_batch" and not by_ssh and "raw" in chunk:
        raise InvalidChunk("'raw' is for local_batch only; leave it out.", key="raw")
    stages = stage_plan(client, chunk)
    batch = None if stages is not None else chunk.get("batch")
    return Command(
        client=client,
        fun=fun,
        credentials=credentials,
        tgt=tgt,
        tgt_type=tgt_type,
        args=local_args(fun, chunk),
        kwargs=mapping(chunk, "kwarg"),
        timeout_seconds=seconds(chunk, "timeout"),
        gather_job_timeout_seconds=seconds(chunk, "gather_job_timeout"),
        full_return=flag(chunk, "full_return"),
        ret=text(chunk, "ret"),
        jid=jid_of(chunk),
        batch="10%" if batch is None else _batch(batch),
        batch_wait_seconds=seconds(chunk, "batch_wait") or 0.0,
        failhard=flag(chunk, "failhard"),
        raw=flag(chunk, "raw"),
        subset=_subset(chunk),
        extra=_extra(chunk),
        chunk=chunk,
        stages=stages,
    )


def _function_command(client: str, chunk: Chunk, credentials: Credentials) -> Command:
    fun = master_function(client, chunk)
    kwargs = dict(mapping(chunk, "kwarg") or {})
    beside = RUNNER_KEYS if client.startswith("runner") else WHEEL_KEYS
    timeout = full_return = None
    if client == "runner":
        timeout = seconds(chunk, "timeout")
        full_return = flag(chunk, "full_return")
        beside |= {"timeout", "full_return"}
    kwargs.update({key: value for key, value in chunk.items() if key not in beside})
    check_argument_names(kwargs)
    return Command(
        client=client,
        fun=fun,
        credentials=credentials,
        args=args_of(chunk),
        kwargs=kwargs,
        timeout_seconds=timeout,
        full_return=bool(full_return),
    )


def _batch(value: Any) -> str:
    text = number_as_text(value)
    if isinstance(text, str) and BATCH_SIZE.fullmatch(text.strip()):
        number = float(text.strip("% "))
        if number >= 1 or (number > 0 and "%" in text):
            return text.strip()
    raise InvalidChunk(
        f"'batch' must be a number of minions or a part like '10%', not {short(value)}.",
        key="batch",
    )


def _subset(chunk: Chunk) -> int:
    value = chunk.get("sub", chunk.get("subset"))
    if value is None or value == "":
        return 3
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        number = 0
    if number < 1 or isinstance(value, bool | float):
        raise InvalidChunk("'subset' must be a number of minions from 1.", key="subset")
    return number


def _extra(chunk: Chunk) -> tuple[tuple[str, Any], ...]:
    """Return what of *chunk* travels beside the function; metadata comes back with every return."""
    found = tuple((key, chunk[key]) for key in MASTER_KEYS if chunk.get(key) is not None)
    for key, value in found:
        if key in {"ret_kwargs", "executor_opts"} and not isinstance(value, Mapping):
            raise InvalidChunk(f"{key!r} must be a mapping.", key=key)
        if key == "metadata" and is_longer(value, METADATA_CHARACTERS):
            raise InvalidChunk(
                f"'metadata' is too long: {METADATA_CHARACTERS} characters are enough.", key=key
            )
    flags = ("start_event", "nocache")
    return tuple((k, v) for k, v in found if k not in flags or flag(chunk, k))
