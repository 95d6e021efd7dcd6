"""
What is secret, and how it is hidden: in texts, in values, in what came from the bus.

The one home of these rules. Logs and the audit log hide what is named like a secret (`redact`,
`is_secret_name`, `names_secret`); streams of events and documents of jobs hide what functions of
the master hand out (`mask_event`, `mask_return`).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

HIDDEN = "***"
DEPTH_LIMIT_LEVELS = 100
"""What is nested deeper is hidden as a whole."""
NAME_LIMIT_CHARACTERS = 100

CREDENTIAL_HEADERS = frozenset(
    {
        *("x-auth-token", "cookie", "authorization", "proxy-authorization"),
        *("cf-access-jwt-assertion", "x-forwarded-access-token", "x-auth-request-access-token"),
        "x-forwarded-password",
    }
)
"""Headers that no event has, in lower case."""

NAMING_KEYS = frozenset({"field", "key", "name", "option", "var", "variable"})
VALUE_KEYS = frozenset({"content", "data", "default", "val", "value"})
"""`{"name": "password", "value": …}`: what stands beside the name of a secret."""

_WORD = (
    r"(?:passw(?:or)?d|passphrase|passcode|token|secret|session_id|authorization|cookie|credential"
    r"|(?:access|api|auth|encryption|priv|private|secret|shared|signing)[_-]?key"
    r"|(?:(?<![a-z0-9])|(?-i:(?<=[a-z0-9])(?=P)))(?:pass|pwd?|psw))s?\d*"
)
_QUOTED = r"""(?>b?(?P<quote>\\*["'])(?:\\.|[^\\]|\\\Z)*?(?:(?P=quote)|\Z))"""
"""In quotes, or behind a quote that nothing closes."""
_IS = r"""\\*["']?\s*+[:=]{1,2}+>?+\s*+"""
_COMMA = r"""\\*["']\s*+,\s*+"""
_BETWEEN = rf"""(?:{_IS}|{_COMMA})"""
_NAMING = rf"""\b(?:{"|".join(sorted(NAMING_KEYS))}){_IS}b?\\*["']?"""
_VALUE = rf"""\b(?:{"|".join(sorted(VALUE_KEYS))}){_IS}"""
_SHELL_WORD = rf"""(?:{_QUOTED}|[^\s"']+)"""

_SECRET_NAME = re.compile(rf"(?is)[\w.:$-]*?{_WORD}")
_SUSPECT = re.compile(
    r"(?i)pass|pw|psw|token|secret|session|auth|cookie|credential|key|bearer|basic|://|/events/"
    r"|/ws/|_events/|saltapi_|eyJ|\s-(?:p|u|-user)"
)
_PEM = re.compile(
    r"(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----"
    r"(?:.*?-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|.*)"
)
_PEM_END = re.compile(r"-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----")
_PATTERNS = tuple(
    re.compile(pattern)
    for pattern in (
        # {"name": "password", "value": …}, also the other way round
        rf"(?is)(?P<before>{_NAMING}[\w.$-]*?{_WORD}\\*[\"']?(?![\w-])[^{{}}]{{0,300}}?{_VALUE})"
        rf"(?!\\*[\"']?\*\*\*)(?:{_QUOTED}|[^\s,}}\]]+)",
        rf"(?is)(?P<before>{_VALUE})(?!\\*[\"']?\*\*\*)(?>{_QUOTED}|[^\s,}}\]]+)"
        rf"(?=[^{{}}]{{0,300}}?{_NAMING}[\w.$-]*?{_WORD}\\*[\"']?\s*(?:[,}}\]\n]|\Z))",
        # name="…", "name": "…", ("name", "…"); name: | and indented lines, name: and the rest
        rf"(?is)(?P<before>{_WORD}{_IS}){_QUOTED}",
        rf"(?is)(?P<before>{_WORD}{_COMMA}){_QUOTED}(?!\s*:)",
        rf"(?i)(?P<before>{_WORD}{_IS})[|>][+-]?\d*[ \t]*\n(?:[ \t]+[^\n]*(?:\n|\Z)|\n)+",
        r"(?i)(?P<before>(?:authorization|cookie)\s*+[:=]\s*+)(?![\"'*])[^\r\n]+",
        rf"""(?i)(?P<before>{_WORD}{_BETWEEN})(?![\\"'*\[({{])[^\s\\"'&;,)}}\]]+""",
        # --name …, mysql -p…, sshpass -p …, curl -u name:…
        rf"(?is)(?P<before>(?<![\w-])--?[\w-]*?{_WORD}(?:\s++|=))(?!\*\*\*){_SHELL_WORD}",
        rf"(?is)(?P<before>\b(?:mysql|mariadb)[\w-]*\b[^|;&\n]{{0,300}}?\s-p)(?=\S){_SHELL_WORD}",
        rf"(?is)(?P<before>\bsshpass\s+-p\s*+){_SHELL_WORD}",
        r"(?P<before>\b(?:curl|wget)\b[^|;&\n]{0,300}?\s(?:-u|--user|--proxy-user)[\s=]*[\"']?"
        r"[^\s\"':]+:)[^\s\"']+",
        # <name>…</name>
        rf"(?is)(?P<before><[\w:.-]*?{_WORD}(?:\s[^<>]{{0,300}})?>)(?!\*\*\*)[^<]+",
        r"(?i)(?P<before>\b(?:bearer|basic)\s+)(?=[a-z_.~+/-]*[\d=])[\w.~+/=-]{8,}",
        r"(?i)(?P<before>token\W{1,4})[0-9a-f]{32,}",
        r"(?i)(?P<before>/(?:events|ws|all_events|formatted_events|tokens)/)[0-9a-f]{16,}",
        r"(?P<before>saltapi_[0-9a-f]{16}_)[0-9a-f]{64}",
        r"(?P<before>\b)eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{16,}",
        r"(?P<before>://[^/\s:@]*:)[^/\s]+(?=@)",
    )
)
_OPENED = re.compile(rf"(?i){_WORD}{_BETWEEN}(?=[\[({{])")
_CLOSING = {"[": "]", "(": ")", "{": "}"}

MASTER_FUNCTIONS = ("runner.", "wheel.")
"""How the names of functions begin that the master runs, in events and in the job cache."""
KEY_FUNCTIONS = re.compile(r"wheel\.key\.gen\w*")
HANDS_OUT_SECRETS = re.compile(
    r"runner\.(?:auth\.mk_token|cache\.(?:fetch|pillar)|config\.\w+|pillar\.show_pillar|sdb\.\w+"
    r"|vault\.\w+)|wheel\.(?:config\.\w+|pillar_roots\.\w+)"
)
"""Functions of the master whose results are secrets, or may be full of them."""
_MARKS = (b"PRIVATE KEY", b"runner.", b"wheel.")


def redact(text: str) -> str:
    """Return *text* with the values of everything that is named like a secret hidden."""
    if _SUSPECT.search(text) is None:
        return text
    text = _hide_brackets(_without_keys(text))
    for pattern in _PATTERNS:
        text = pattern.sub(_hidden_match, text)
    return text


def is_secret_name(name: str) -> bool:
    """Return whether an argument or a key of this name is a secret: `db_pass`, `--token`."""
    return len(name) <= NAME_LIMIT_CHARACTERS and _SECRET_NAME.fullmatch(name.strip()) is not None


def names_secret(
    value: Mapping[Any, Any], is_secret: Callable[[str], bool] = is_secret_name
) -> bool:
    """Return whether *value* is like `{"name": "password", "value": …}`."""
    return any(
        str(key).lower() in NAMING_KEYS and isinstance(name, str) and is_secret(name)
        for key, name in value.items()
    )


def redact_value(value: Any) -> Any:
    """Return *value* with what is named like a secret hidden, however it is nested."""
    return _redacted(without_private_keys(value), DEPTH_LIMIT_LEVELS)


def _redacted(value: Any, levels: int) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, bytes):
        return _in_bytes(value, redact)
    if not isinstance(value, Mapping | list | tuple | set | frozenset):
        return value
    if levels == 0:
        return HIDDEN
    if isinstance(value, Mapping):
        is_named = names_secret(value)
        return {
            key: HIDDEN
            if is_secret_name(_text(key)) or (is_named and _text(key).lower() in VALUE_KEYS)
            else _redacted(item, levels - 1)
            for key, item in value.items()
        }
    shown: list[Any] = []
    after_name = False
    for item in value:
        shown.append(HIDDEN if after_name else _redacted(item, levels - 1))
        after_name = isinstance(item, str | bytes) and is_secret_name(_text(item).lstrip("-"))
    return shown


def without_private_keys(value: Any) -> Any:
    """
    Return *value* without the private keys in its texts (PEM, RFC 7468), also those cut off.

    It is the same object if there are none.
    """
    return _masked(value, DEPTH_LIMIT_LEVELS)


def may_need_mask(payload: bytes) -> bool:
    """Return whether `mask_event` may find anything in an event of this payload."""
    return any(mark in payload for mark in _MARKS)


def mask_event(data: dict[str, Any]) -> dict[str, Any]:
    """
    Return the data of an event without what only administrators see.

    That are private keys, whatever the event is about; and of functions of the master arguments
    that are named like secrets, and the results of `HANDS_OUT_SECRETS`, also where one event stands
    in another, as in what looks jobs up. The same object is returned if there is nothing of these.
    """
    masked: dict[str, Any] = _masked(data, DEPTH_LIMIT_LEVELS)
    return masked


def mask_return(fun: Any, value: Any) -> Any:
    """Return what *fun* has returned as everybody but administrators sees it; see `mask_event`."""
    return _masked_return(fun, value, DEPTH_LIMIT_LEVELS)


def _masked_return(fun: Any, value: Any, levels: int) -> Any:
    if any(HANDS_OUT_SECRETS.fullmatch(name) for name in _names(fun)):
        return HIDDEN
    if isinstance(value, Mapping) and any(map(KEY_FUNCTIONS.fullmatch, _names(fun))):
        value = {key: HIDDEN if key == "priv" and item else item for key, item in value.items()}
    return _masked(value, levels)


def mask_arguments(fun: Any, arguments: Any) -> Any:
    """Return the arguments of *fun* as everybody but administrators sees them."""
    if any(name.startswith(MASTER_FUNCTIONS) for name in _names(fun)):
        shown = redact_value(arguments)
        arguments = arguments if shown == arguments else shown
    return without_private_keys(arguments)


def _masked(value: Any, levels: int) -> Any:
    """Return *value* without private keys; the same object if there are none."""
    if isinstance(value, str):
        return _without_keys(value)
    if isinstance(value, bytes):
        return _in_bytes(value, _without_keys) if b"PRIVATE KEY" in value else value
    if not isinstance(value, Mapping | list | tuple | set | frozenset):
        return value
    if levels == 0:
        return HIDDEN
    if isinstance(value, Mapping):
        items = {
            _masked(key, levels - 1): _masked_item(value.get("fun"), key, item, levels - 1)
            for key, item in value.items()
        }
        is_same = all(k in items and items[k] is v for k, v in value.items())
        return value if is_same else items
    found = _masked_list(list(value), levels)
    return value if all(a is b for a, b in zip(found, value, strict=True)) else found


def _masked_item(fun: Any, key: Any, value: Any, levels: int) -> Any:
    """Mask what stands under *key* in a mapping that perhaps tells of the function *fun*."""
    if _names(fun) and key == "return":
        return _masked_return(fun, value, levels)
    if key in {"fun_args", "arg"}:
        return mask_arguments(fun, value)
    return _masked(value, levels)


def _masked_list(values: Sequence[Any], levels: int) -> list[Any]:
    """Mask also a key whose lines stand in a list."""
    found: list[Any] = []
    inside = False
    for value in values:
        text = _text(value) if isinstance(value, str | bytes) else ""
        if inside and text:
            found.append(HIDDEN)
        else:
            found.append(_masked(value, levels - 1))
            inside = False
        begins = [match.group() for match in _PEM.finditer(text)]
        if begins:
            inside = _PEM_END.search(begins[-1]) is None
        elif _PEM_END.search(text):
            inside = False
    return found


def _without_keys(text: str) -> str:
    return _PEM.sub(HIDDEN, text) if "PRIVATE KEY" in text else text


def _names(fun: Any) -> list[str]:
    names = fun if isinstance(fun, list) else [fun]
    return [name for name in names if isinstance(name, str)]


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _in_bytes(value: bytes, mask: Callable[[str], str]) -> bytes:
    return mask(value.decode("latin-1")).encode("latin-1")


def _hidden_match(found: re.Match[str]) -> str:
    quote = found.groupdict().get("quote") or ""
    return f"{found['before']}{quote}{HIDDEN}{quote}"


def _hide_brackets(text: str) -> str:
    """Hide what stands in brackets behind the name of a secret, up to the one that closes them."""
    parts: list[str] = []
    done = 0
    while (found := _OPENED.search(text, done)) is not None:
        opening = found.end()
        parts += [text[done:opening], text[opening], HIDDEN, _CLOSING[text[opening]]]
        done = _closed_at(text, opening)
    return "".join(parts) + text[done:] if parts else text


def _closed_at(text: str, opening: int) -> int:
    """Return where what the bracket at *opening* opens ends; the end of *text* if it does not."""
    expected: list[str] = []
    for position in range(opening, len(text)):
        character = text[position]
        if character in _CLOSING:
            expected.append(_CLOSING[character])
        elif expected and character == expected[-1]:
            expected.pop()
            if not expected:
                return position + 1
    return len(text)
