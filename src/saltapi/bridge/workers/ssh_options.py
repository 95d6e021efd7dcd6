"""
What an `ssh` chunk may say: every key with its type, everything else refused or left out.

salt-ssh hands these values to ssh's command line, to shell text on the target and to file names
on the master. Salt itself drops some of the dangerous ones in silence
(`SSHClient.sanitize_kwargs`); here they are refused with the key's name, before anything starts.
"""

import os
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from saltapi.errors import AuthorizationFailed, InvalidChunk
from saltapi.types import Chunk, Opts

MAX_TEXT_CHARACTERS = 4096
DAY_SECONDS = 86400
AGENT_FORWARDING = "agent-forwarding"
"""What stands for a key file where ssh's agent has the key."""

Check = Callable[[Any], Any]
"""Returns the value as salt-ssh gets it; raises ValueError saying what it must be."""

TARGET_TYPES = ("glob", "pcre", "list", "nodegroup", "range")

# Options of ssh that neither run a program nor read or write a file.
HARMLESS_SSH_OPTIONS = {
    "addressfamily",
    "batchmode",
    "bindaddress",
    "bindinterface",
    "casignaturealgorithms",
    "checkhostip",
    "ciphers",
    "compression",
    "connectionattempts",
    "connecttimeout",
    "gssapiauthentication",
    "gssapidelegatecredentials",
    "hashknownhosts",
    "hostbasedauthentication",
    "hostkeyalgorithms",
    "hostkeyalias",
    "identitiesonly",
    "ipqos",
    "kbdinteractiveauthentication",
    "kexalgorithms",
    "loglevel",
    "macs",
    "nohostauthenticationforlocalhost",
    "numberofpasswordprompts",
    "passwordauthentication",
    "preferredauthentications",
    "pubkeyacceptedalgorithms",
    "pubkeyacceptedkeytypes",
    "pubkeyauthentication",
    "rekeylimit",
    "requiredrsasize",
    "serveralivecountmax",
    "serveraliveinterval",
    "stricthostkeychecking",
    "tcpkeepalive",
    "updatehostkeys",
    "verifyhostkeydns",
}

REFUSED = {
    "host": "hosts belong into the roster",
    "rosters": "the master's option `rosters` names the directories",
    "ssh_log_file": "it would write a file on the master",
    "ssh_pre_hook": "it would run a command on the master",
    "ssh_update_roster": "it would change the master's roster",
    "saltfile": "the master's config holds the options",
}
"""Keys that Salt takes and we never do, each with the reason."""

# Letters in any case, whatever stands between the words.
COMMAND_OPTION = re.compile(
    r"(proxy|local|knownhosts)[\W_]*command|proxy[\W_]*(jump|usefdpass)", re.I
)
CONTROL = re.compile(r"[\x00-\x1f\x7f\x80-\x9f\u2028\u2029]")


def text(pattern: str, meaning: str) -> Check:
    """Return a check for strings that match *pattern* as a whole."""
    compiled = re.compile(pattern, re.ASCII)

    def check(value: Any) -> str:
        if not isinstance(value, str) or not compiled.fullmatch(value):
            raise ValueError(meaning)
        return value

    return check


def number(low: int, high: int) -> Check:
    """Return a check for whole numbers, or strings of digits, from *low* to *high*."""

    def check(value: Any) -> int:
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return value

    return check


def fraction(low: int, high: int) -> Check:
    """Return a check for numbers, or texts of numbers, from *low* to *high*."""

    def check(value: Any) -> float:
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value):
            value = float(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"a number from {low} to {high}")  # noqa: TRY004 (all raise the same)
        if not low <= value <= high:
            raise ValueError(f"a number from {low} to {high}")
        return float(value)

    return check


def file_references(value: Any) -> str:
    """Return what `state.apply` finds in `salt://` for the host, separated by commas."""
    parts = value.split(",") if isinstance(value, str) else value
    if isinstance(parts, list) and all(isinstance(part, str) for part in parts):
        found = [part.strip() for part in parts if part.strip()]
        if all(map(_FILE_REFERENCE.fullmatch, found)):
            return ",".join(found)
    raise ValueError("salt:// paths, a list or a text with commas")


def switch(value: Any) -> bool:
    """Return *value* as a boolean; a form sends it as a word."""
    words = {"true": True, "false": False}
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    if not isinstance(value, bool):
        raise ValueError("true or false")  # noqa: TRY004 (all checks raise the same)
    return value


def password(value: Any) -> str:
    """Return *value*, any printable text: it is typed at a prompt, never put into a command."""
    if not isinstance(value, str) or not value:
        raise ValueError("text")
    return value


def ssh_options(value: Any) -> list[str]:
    """Return a list of `Name=value` whose names are all harmless."""
    meaning = "a list of Name=value with names that are safe to take from a request"
    if not isinstance(value, list):
        raise ValueError(meaning)  # noqa: TRY004 (all checks raise the same)
    for entry in value:
        match = re.fullmatch(r"([A-Za-z]+)=([A-Za-z0-9][\w.,:@+%/-]*)", str(entry), re.ASCII)
        if match is None or match[1].lower() not in HARMLESS_SSH_OPTIONS:
            raise ValueError(meaning)
    return [str(entry) for entry in value]


_USER = text(r"[A-Za-z0-9_][A-Za-z0-9_.@\\-]{0,127}", "the name of a user")
_PATH = text(r"(?:[/~.]|[A-Za-z0-9_])[A-Za-z0-9_.~/@+=:-]*", "a path without special characters")
_MODULES = text(r"(?:\w+(?:\.\w+)*)(?:,\w+(?:\.\w+)*)*", "names of Python modules, with commas")
_PORTS = text(r"\d{1,5}(?:-\d{1,5})?(?:,\d{1,5}(?:-\d{1,5})?)*", "numbers of ports, with commas")
_FILE_REFERENCE = re.compile(r"salt://[\w.@+%=~/-]+(?:\?saltenv=[\w.-]+)?", re.ASCII)
_FORWARD = r"(?:[A-Za-z0-9_.*-]*:)?\d{1,5}(?::[A-Za-z0-9_][A-Za-z0-9_.-]*:\d{1,5})?"

KEYS: dict[str, Check] = {
    "extra_filerefs": file_references,
    "ignore_host_keys": switch,
    "jid": text(r"\d{20}(?:_\d+)?", "a job id"),
    "min_extra_mods": _MODULES,
    "no_host_keys": switch,
    "rand_thin_dir": switch,
    "raw_shell": switch,
    "refresh_cache": switch,
    "regen_thin": switch,
    "roster": text(r"[a-z_]+", "the name of a roster"),
    "roster_file": text(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", "the plain name of a file"),
    "ssh_askpass": switch,
    "ssh_identities_only": switch,
    "ssh_keepalive": switch,
    "ssh_keepalive_count_max": number(0, 1000),
    "ssh_keepalive_interval": number(0, DAY_SECONDS),
    "ssh_key_deploy": switch,
    "ssh_max_procs": number(1, 1000),
    "ssh_options": ssh_options,
    "ssh_passwd": password,
    "ssh_port": number(1, 65535),
    "ssh_priv": _PATH,
    "ssh_priv_passwd": password,
    "ssh_remote_port_forwards": text(rf"{_FORWARD}(?:,{_FORWARD})*", "[address:]port:host:port"),
    "ssh_run_pre_flight": switch,
    "ssh_scan_ports": _PORTS,
    "ssh_scan_timeout": fraction(0, DAY_SECONDS),
    "ssh_sudo": switch,
    "ssh_sudo_user": _USER,
    "ssh_timeout": number(1, DAY_SECONDS),
    "ssh_user": _USER,
    "ssh_wipe": switch,
    "static": switch,
    "thin_extra_mods": _MODULES,
    "timeout": number(1, DAY_SECONDS),
    "verbose": switch,
}
"""Keys beside `tgt`, `fun`, `arg`, `kwarg` and `tgt_type`, which have their own checks."""

_FUN = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+", re.ASCII)
# No blank, quote, `;`, `&`, `<`, `>`, back-quote: a target may become a host on a command line.
_TARGET = re.compile(r"[\w*?\[][\w*?\[\]!.,:@%-]*", re.ASCII)
_PATTERN = re.compile(r"(?!-)(?!.*\$[({])[\w*?\[\](){}|^$\\+!.,:@-]+", re.ASCII)


def ssh_low(
    chunk: Chunk, opts: Opts, *, allow_raw_shell: bool, key_directories: Sequence[str] = ()
) -> dict[str, Any]:
    """
    Return the low data for salt-ssh: only known keys, each of its type, nothing dangerous.

    Unknown keys are left out, as Salt leaves them out; credentials too.

    Args:
        chunk: The chunk.
        opts: The master's options.
        allow_raw_shell: Whether `raw_shell` may be set.
        key_directories: Where private keys may lie; by default where salt-ssh has its own, and
            the `.ssh` of the user of this process.

    Raises:
        InvalidChunk: A key is missing, of the wrong type, or has a value that is not safe.
        AuthorizationFailed: `raw_shell` is asked for and not enabled.
    """
    for key, reason in REFUSED.items():
        if chunk.get(key):
            raise InvalidChunk(f"Leave out '{key}': {reason}.", key=key)
    low = {
        key: _checked(key, chunk[key], check)
        for key, check in KEYS.items()
        if chunk.get(key) is not None
    }
    if low.get("raw_shell") and not allow_raw_shell:
        raise AuthorizationFailed(
            "Raw shell option not allowed. Set netapi_allow_raw_shell in the master config."
        )
    if low.get("ssh_priv") not in (None, AGENT_FORWARDING):
        low["ssh_priv"] = _key_file(low["ssh_priv"], opts, key_directories)
    if "roster_file" in low:
        low["roster_file"] = _roster_file(low["roster_file"], opts)
    if low.get("roster", opts.get("roster", "flat")) not in ("flat", opts.get("roster", "flat")):
        raise InvalidChunk("'roster' must be flat, or the one in the master config.", key="roster")
    low["fun"] = _fun(chunk.get("fun"), raw_shell=low.get("raw_shell", False))
    low["tgt_type"] = chunk.get("tgt_type") or chunk.get("expr_form") or "glob"
    if low["tgt_type"] not in TARGET_TYPES:
        raise InvalidChunk(f"'tgt_type' must be one of {', '.join(TARGET_TYPES)}.", key="tgt_type")
    low["tgt"] = _tgt(chunk.get("tgt"), low["tgt_type"])
    arg, kwarg = chunk.get("arg"), chunk.get("kwarg")
    low["arg"] = [] if arg is None else arg if isinstance(arg, list) else [arg]
    low["kwarg"] = {} if kwarg is None else kwarg
    if not isinstance(low["kwarg"], dict):
        raise InvalidChunk("'kwarg' must be a mapping.", key="kwarg")
    return low


def _checked(key: str, value: Any, check: Check) -> Any:
    for part in value if isinstance(value, list) else [value]:
        if isinstance(part, str):
            _refuse_unsafe(key, part)
    try:
        return check(value)
    except ValueError as error:
        raise InvalidChunk(f"'{key}' must be {error}.", key=key) from error


def _refuse_unsafe(key: str, value: str) -> None:
    if len(value) > MAX_TEXT_CHARACTERS:
        raise InvalidChunk(f"'{key}' is too long.", key=key)
    if CONTROL.search(value):
        raise InvalidChunk(f"'{key}' must not hold control characters.", key=key)
    if COMMAND_OPTION.search(value):
        raise InvalidChunk(f"'{key}' must not hold options that run commands.", key=key)


def _fun(value: Any, *, raw_shell: bool) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InvalidChunk("'fun' is missing: name the function to run.", key="fun")
    if not raw_shell:
        if not _FUN.fullmatch(value):
            raise InvalidChunk("'fun' must be the name of a function like test.ping.", key="fun")
        return value
    if "\x00" in value or len(value) > MAX_TEXT_CHARACTERS:
        raise InvalidChunk("'fun' must be a shell command without NUL.", key="fun")
    try:
        words = shlex.split(value)
    except ValueError as error:
        raise InvalidChunk(
            "'fun' must be a shell command with its quotes closed.", key="fun"
        ) from error
    # ssh goes on reading options behind the name of the host.
    if not words or not words[0] or words[0].startswith("-"):
        raise InvalidChunk("'fun' must be a shell command that starts with a program.", key="fun")
    return value


def _tgt(value: Any, tgt_type: str) -> str | list[str]:
    if isinstance(value, list) and tgt_type == "list":
        return [_one_tgt(entry, _TARGET) for entry in value]
    if isinstance(value, list):
        raise InvalidChunk("'tgt' may be a list only with tgt_type list.", key="tgt")
    return _one_tgt(value, _PATTERN if tgt_type == "pcre" else _TARGET)


def _one_tgt(value: Any, allowed: re.Pattern[str]) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidChunk("'tgt' is missing: name the hosts of the roster.", key="tgt")
    _refuse_unsafe("tgt", value)
    if not allowed.fullmatch(value):
        raise InvalidChunk("'tgt' holds characters that no name of a host has.", key="tgt")
    return value


def _key_file(path: str, opts: Opts, directories: Sequence[str]) -> str:
    """Return the key at *path*; salt-ssh would make one, with its directories, if there is none."""
    allowed = directories or (os.path.join(opts["pki_dir"], "ssh"), "~/.ssh")
    try:
        key = Path(path).expanduser().resolve(strict=True)
        places = [Path(directory).expanduser().resolve() for directory in allowed]
    except (OSError, RuntimeError):  # a link to itself, an unknown user
        key, places = Path(path), []
    if not any(key.is_relative_to(place) for place in places) or not key.is_file():
        raise InvalidChunk(
            "'ssh_priv' must be a file below one of the directories in netapi_ssh_keys.",
            key="ssh_priv",
        )
    return str(key)


def _roster_file(name: str, opts: Opts) -> str:
    """Return the path of the roster *name* in one of the places that the master config names."""
    places = [Path(directory, name) for directory in opts.get("rosters") or []]
    if name == "roster":
        places.append(Path(opts.get("config_dir") or Path(opts["conf_file"]).parent, name))
    for place in places:
        if place.is_file():
            return str(place)
    raise InvalidChunk(
        f"There is no roster file '{name}' in the directories of the master's option `rosters`.",
        key="roster_file",
    )
