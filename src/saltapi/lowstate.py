"""
Values in, checked commands out.

Everything about a chunk that can be checked without asking the master is checked here, for
every chunk of a lowstate, before the first one runs (0.8.4, "Usage", "lowstate").
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from saltapi import arguments
from saltapi.config import EngineConfig
from saltapi.errors import (
    AuthenticationFailed,
    AuthorizationFailed,
    BadRequest,
    ClientDisabled,
    InvalidChunk,
    SaltApiError,
)
from saltapi.interfaces import FUNCTION_KINDS, INTERFACES, Interface, Kind
from saltapi.target_names import check_delimiter, check_names
from saltapi.types import Chunk, Credentials, Lowstate
from saltapi.yaml_loader import Allowance, YamlRefused

TARGET_TYPES = (
    "glob",
    "pcre",
    "list",
    "grain",
    "grain_pcre",
    "pillar",
    "pillar_pcre",
    "pillar_exact",
    "nodegroup",
    "range",
    "compound",
    "compound_pillar_exact",
    "ipcidr",
)
LIST_TARGET_TYPES = ("list", "compound")

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

CREDENTIAL_KEYS = ("token", "eauth", "username", "password")
RUNNER_KEYS = frozenset({*CREDENTIAL_KEYS, "client", "fun", "arg", "kwarg", "user", "key"})
"""What is no argument at the top level of a runner's chunk (`RunnerClient._reformat_low`)."""

WHEEL_KEYS = frozenset(
    {*CREDENTIAL_KEYS, "client", "cmd", "fun", "arg", "kwarg", "print_event", "full_return"}
)
"""What is no argument at the top level of a wheel function's chunk: the master reads it there."""

FUNCTION_NAME = re.compile(r"[A-Za-z_][\w-]*(\.[\w-]+)+", re.ASCII)
MASTER_FUNCTION_NAME = re.compile(r"[A-Za-z_]\w*\.\w+", re.ASCII)
JID = re.compile(r"[0-9]{20}(_[0-9]{1,10})?")
MINION_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@-]{0,252}", re.ASCII)
BATCH_SIZE = re.compile(r"%?\s*\d{1,9}(\.\d{1,9})?\s*%?")
FUNCTION_NAME_CHARACTERS = 200
FUNCTIONS = 100
"""Each function of a list is asked for on its own."""
METADATA_CHARACTERS = 10_000
"""Every minion sends its metadata back with its return."""
NUMBER_DIGITS = 100
"""Longer numbers are nobody's name, password or jid."""
QUICK_CHUNKS = 50
"""More are checked in a thread: an event loop serves others meanwhile."""
CHECKED_REGEX_CHARACTERS = 10_000
"""Longer regular expressions are left to the master and the minions: compiling takes time."""


@dataclass(frozen=True, slots=True)
class Command:
    """
    One checked chunk.

    `fun` is a list only for compound local commands; `args` are positional and `kwargs` keyword
    arguments of the function. `timeout_seconds` is None where the chunk does not set it.
    `extra` is what the master takes from a local chunk beside these (`MASTER_KEYS`).
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

    @property
    def interface(self) -> Interface:
        """The client interface that it goes through."""
        return INTERFACES[self.client]


ANONYMOUS_WITHOUT_PASSWORD = frozenset({"ldap"})
"""Eauth systems for which no password means no user (RFC 4513, section 5.1.2)."""


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
    return len(chunks) > QUICK_CHUNKS or any(arguments.takes_long(_args(chunk)) for chunk in chunks)


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
        name = client[:60] if isinstance(client, str) else _short(client)
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
        arguments.check(_args(chunk), allowance or Allowance(), all_long=is_function)
    except YamlRefused as error:
        raise InvalidChunk(str(error), key="arg") from error
    if is_function:
        return _function_command(client, chunk, credentials)
    return _target_command(client, chunk, credentials)


def with_token(chunk: Chunk, token: Any) -> Chunk:
    """Return *chunk* with the session's *token* in place of what credentials it has."""
    rest = {key: value for key, value in chunk.items() if key not in CREDENTIAL_KEYS}
    return {**rest, "token": token}


def checked_jid(value: Any) -> str:
    """
    Return *value* if it can be a job id.

    Raises:
        InvalidChunk: It cannot.
    """
    if isinstance(value, str) and JID.fullmatch(value):
        return value
    raise InvalidChunk("A job id is a number of 20 digits.", key="jid")


def checked_minion_id(value: Any) -> str:
    """
    Return *value* if it can be a minion id: no path, no pattern, nothing that needs quoting.

    Raises:
        InvalidChunk: It cannot.
    """
    if isinstance(value, str) and MINION_ID.fullmatch(value):
        return value
    raise InvalidChunk(
        "'mid' must be a minion id: letters, digits, '.', '-', '_', ':' and '@'.", key="mid"
    )


def credentials_of(chunk: Mapping[str, Any]) -> Credentials:
    """
    Return the credentials in *chunk*: its token, else its eauth, username and password.

    Raises:
        AuthenticationFailed: There are none, or they have no form that could be right.
    """
    if "token" in chunk:
        token = chunk["token"]
        if not isinstance(token, str) or not token:
            raise AuthenticationFailed("Invalid token")
        return Credentials(token=token)
    if "eauth" not in chunk:
        raise AuthenticationFailed("No authentication credentials given")
    eauth, username = chunk.get("eauth"), _number_as_text(chunk.get("username"))
    for key, value in (("eauth", eauth), ("username", username)):
        if not isinstance(value, str) or not value:
            raise AuthenticationFailed(f"Authentication needs {key} as a text that is not empty.")
    password = _number_as_text(chunk.get("password"))
    if "password" not in chunk or not (password is None or isinstance(password, str)):
        raise AuthenticationFailed("Authentication needs password as a text.")
    if not password and eauth in ANONYMOUS_WITHOUT_PASSWORD:
        raise AuthenticationFailed(
            f"Authentication by {eauth} needs a password that is not empty: without one the"
            " directory would take anybody for nobody in particular."
        )
    return Credentials(eauth=eauth, username=username, password=password)


def _target_command(client: str, chunk: Chunk, credentials: Credentials) -> Command:
    fun = _local_function(client, chunk)
    tgt, tgt_type = _target(chunk)
    by_ssh = INTERFACES[client].kind is Kind.SSH
    refused = REFUSED_LOCAL_KEYS if not by_ssh else ()
    for key in refused:
        if key in chunk:
            raise InvalidChunk(f"{key!r} cannot be used here; leave it out.", key=key)
    if client != "local_batch" and not by_ssh and "raw" in chunk:
        raise InvalidChunk("'raw' is for local_batch only; leave it out.", key="raw")
    batch = chunk.get("batch")
    return Command(
        client=client,
        fun=fun,
        credentials=credentials,
        tgt=tgt,
        tgt_type=tgt_type,
        args=_local_args(fun, chunk),
        kwargs=_mapping(chunk, "kwarg"),
        timeout_seconds=seconds(chunk, "timeout"),
        gather_job_timeout_seconds=seconds(chunk, "gather_job_timeout"),
        full_return=_flag(chunk, "full_return"),
        ret=_text(chunk, "ret"),
        jid=_jid(chunk),
        batch="10%" if batch is None else _batch(batch),
        batch_wait_seconds=seconds(chunk, "batch_wait") or 0.0,
        failhard=_flag(chunk, "failhard"),
        raw=_flag(chunk, "raw"),
        subset=_subset(chunk),
        extra=_extra(chunk),
        chunk=chunk,
    )


def _function_command(client: str, chunk: Chunk, credentials: Credentials) -> Command:
    fun = chunk.get("fun")
    if (
        not isinstance(fun, str)
        or len(fun) > FUNCTION_NAME_CHARACTERS
        or not MASTER_FUNCTION_NAME.fullmatch(fun)
    ):
        kind = INTERFACES[client].kind
        raise InvalidChunk(
            f"'fun' must name a {kind} function as 'module.function', not {_short(fun)}.",
            key="fun",
        )
    kwargs = dict(_mapping(chunk, "kwarg") or {})
    beside = RUNNER_KEYS if client.startswith("runner") else WHEEL_KEYS
    timeout = full_return = None
    if client == "runner":
        timeout = seconds(chunk, "timeout")
        full_return = _flag(chunk, "full_return")
        beside |= {"timeout", "full_return"}
    kwargs.update({key: value for key, value in chunk.items() if key not in beside})
    check_argument_names(kwargs)
    return Command(
        client=client,
        fun=fun,
        credentials=credentials,
        args=_args(chunk),
        kwargs=kwargs,
        timeout_seconds=timeout,
        full_return=bool(full_return),
    )


def check_argument_names(kwargs: Mapping[str, Any]) -> None:
    """
    Refuse keyword arguments that Salt would take for marks of its own (`__kwarg__`, `__pub_…`).

    Raises:
        InvalidChunk: One begins with two underscores.
    """
    for key in kwargs:
        if key.startswith("__"):
            raise InvalidChunk(f"{key!r} cannot be an argument of a function.", key=key)


def _local_function(client: str, chunk: Chunk) -> str | list[str]:
    fun = chunk.get("fun")
    if isinstance(fun, list) and fun and client != "ssh":
        if len(fun) > FUNCTIONS:
            raise InvalidChunk(f"A list in 'fun' may have {FUNCTIONS} functions.", key="fun")
        for name in fun:
            _check_function_name(name)
        return fun
    _check_function_name(fun, allow_plain=client == "ssh")
    assert isinstance(fun, str)  # noqa: S101 - checked by the line above
    return fun


def _check_function_name(fun: Any, *, allow_plain: bool = False) -> None:
    if fun is None:
        raise InvalidChunk("'fun' is missing: name the function to run.", key="fun")
    if isinstance(fun, str) and len(fun) <= FUNCTION_NAME_CHARACTERS:
        if FUNCTION_NAME.fullmatch(fun):
            return
        if allow_plain and fun.strip():
            return
    raise InvalidChunk(
        f"'fun' must be a function as 'module.function', not {_short(fun)}.", key="fun"
    )


def _target(chunk: Chunk) -> tuple[str | list[str], str]:
    tgt_type = chunk.get("tgt_type")
    if tgt_type is None:
        tgt_type = chunk.get("expr_form")  # its name before Salt 2017.7
    if tgt_type is None or tgt_type == "":
        tgt_type = "glob"
    if tgt_type not in TARGET_TYPES:
        raise InvalidChunk(
            f"Unknown target type {_short(tgt_type)}; use one of {', '.join(TARGET_TYPES)}.",
            key="tgt_type",
        )
    tgt = _number_as_text(chunk.get("tgt"))
    if tgt is None or tgt in ("", []):
        raise InvalidChunk("'tgt' is missing: name the minions to run on.", key="tgt")
    if isinstance(tgt, list):
        if not all(isinstance(name, str) and name for name in tgt):
            raise InvalidChunk("A list in 'tgt' must hold minion ids as strings.", key="tgt")
        if tgt_type not in LIST_TARGET_TYPES:
            raise InvalidChunk('\'tgt\' is a list: add "tgt_type": "list".', key="tgt_type")
    elif not isinstance(tgt, str):
        raise InvalidChunk("'tgt' must be a string or a list of minion ids.", key="tgt")
    if tgt_type == "pcre":
        _check_regex(str(tgt))
    check_names(tgt, tgt_type)
    check_delimiter(chunk.get("delimiter"), tgt_type)
    return tgt, tgt_type


def _check_regex(pattern: str) -> None:
    if len(pattern) > CHECKED_REGEX_CHARACTERS:
        return
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise InvalidChunk(f"'tgt' is no valid regular expression: {error}.", key="tgt") from error


def _args(chunk: Chunk) -> tuple[Any, ...]:
    arg = chunk.get("arg")
    if arg is None or arg == "":
        return ()
    return tuple(arg) if isinstance(arg, list | tuple) else (arg,)


def _local_args(fun: str | list[str], chunk: Chunk) -> tuple[Any, ...]:
    args = _args(chunk)
    if isinstance(fun, str):
        return args
    if not args:
        return tuple([] for _ in fun)
    if len(args) != len(fun) or not all(isinstance(arg, list) for arg in args):
        raise InvalidChunk(
            "With a list in 'fun', 'arg' must be a list with one list of arguments for each"
            " function.",
            key="arg",
        )
    return args


def _mapping(chunk: Chunk, key: str) -> dict[str, Any] | None:
    value = chunk.get(key)
    if value is None or value in ("", []):
        return None
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise InvalidChunk(f"{key!r} must map argument names to values.", key=key)
    return dict(value)


def seconds(chunk: Mapping[str, Any], key: str) -> float | None:
    """
    Return the time in *chunk* under *key*, in seconds; None where it is left to the master.

    Numbers and texts of numbers are taken; "", "None" and null leave it to the master.

    Raises:
        InvalidChunk: It is anything else, negative, or not finite.
    """
    value = chunk.get(key)
    if value is None or value in ("", "None"):
        return None
    problem = InvalidChunk(f"{key!r} must be a number of seconds, not {_short(value)}.", key=key)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise problem
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise problem from None
    if not math.isfinite(number) or number < 0:
        raise problem
    return number


def _flag(chunk: Chunk, key: str) -> bool:
    value = chunk.get(key)
    if isinstance(value, str):
        if value.lower() in {"", "false", "0", "no", "off", "none"}:
            return False
        if value.lower() in {"true", "1", "yes", "on"}:
            return True
    elif value is None or isinstance(value, bool | int):
        return bool(value)
    raise InvalidChunk(f"{key!r} must be true or false, not {_short(value)}.", key=key)


def _text(chunk: Chunk, key: str) -> str:
    value = chunk.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidChunk(f"{key!r} must be a string, not {_short(value)}.", key=key)
    return value


def _jid(chunk: Chunk) -> str | None:
    value = _number_as_text(chunk.get("jid"))
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not JID.fullmatch(value):
        raise InvalidChunk(
            "'jid' must be a job id of 20 digits; leave it out to get one.", key="jid"
        )
    return value


def _batch(value: Any) -> str:
    text = _number_as_text(value)
    if isinstance(text, str) and BATCH_SIZE.fullmatch(text.strip()):
        number = float(text.strip("% "))
        if number >= 1 or (number > 0 and "%" in text):
            return text.strip()
    raise InvalidChunk(
        f"'batch' must be a number of minions or a part like '10%', not {_short(value)}.",
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
        if key == "metadata" and _is_longer(value, METADATA_CHARACTERS):
            raise InvalidChunk(
                f"'metadata' is too long: {METADATA_CHARACTERS} characters are enough.", key=key
            )
    flags = ("start_event", "nocache")
    return tuple((k, v) for k, v in found if k not in flags or _flag(chunk, k))


def _is_longer(value: Any, characters: int) -> bool:
    """
    Return whether *value* comes to more than *characters*, about as it is written.

    It is not written: a number takes the longer for it, and Python refuses those of 4,300 digits.
    Each of its bits counts.
    """
    rest = [value]
    while rest and characters >= 0:
        part = rest.pop()
        characters -= 2
        if isinstance(part, Mapping):
            rest += [*part.keys(), *part.values()]
        elif isinstance(part, list | tuple | set | frozenset):
            rest += part
        elif isinstance(part, str | bytes):
            characters -= len(part)
        elif isinstance(part, int):
            characters -= part.bit_length()
    return characters < 0


def _number_as_text(value: Any) -> Any:
    """Return *value*, a number as text: YAML and forms read ids and passwords of digits so."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**NUMBER_DIGITS:
        return str(value)
    return value


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number, or a nesting, that Python does not write out
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "…"
