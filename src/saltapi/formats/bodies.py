"""
Bytes in and out: the formats of bodies, chosen by Content-Type and Accept.

JSON is written as Salt writes it, for anything that Salt can return. What JSON cannot carry is
written as the nearest thing that it can: bytes as text (as UTF-8, else base64), sets and tuples
as lists, NaN and infinities as null, keys that are no strings as their text, dates in ISO 8601,
anything else as its text. docs/compatibility.md says so to users.
"""

import base64
import datetime
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

import yaml

from saltapi.errors import BadRequest, NotAcceptable
from saltapi.formats import arguments, yaml_loader
from saltapi.formats.yaml_loader import Allowance, NoYaml

JSON_TYPE = "application/json"
YAML_TYPE = "application/x-yaml"
HTML_TYPE = "text/html"
FORM_TYPE = "application/x-www-form-urlencoded"
BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
"""Where JSON opens and closes what nests; texts as a whole, for what is in them does not."""
OUTPUT_TYPES = (JSON_TYPE, YAML_TYPE)
DEPTH_LIMIT_LEVELS = 100
OUTPUT_DEPTH_LIMIT_LEVELS = 200
FORM_FIELD_LIMIT = 1000
INTEGER_LIMIT_BITS = 10_000
"""Longer integers are written in hexadecimal: Python refuses to make decimals of them."""


def dump_json(value: Any) -> bytes:
    """Return *value* as JSON in UTF-8, byte for byte as Salt's `salt.utils.json` writes it."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (TypeError, ValueError, RecursionError):
        # It holds something that JSON cannot carry.
        return json.dumps(plain(value), ensure_ascii=False).encode("utf-8", "replace")


def load_json(body: bytes) -> Any:
    """
    Return the value in *body*.

    Raises:
        BadRequest: It is no JSON (RFC 8259: also NaN is none), is nested too deeply, or holds a
            number that is too long or half of a character (a lone surrogate).
    """
    try:
        value = json.loads(body.decode("utf-8-sig"), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise BadRequest("The body is not UTF-8.") from error
    except json.JSONDecodeError as error:
        if _opens_too_many(error.doc[: error.pos]):
            raise _too_deep() from None
        raise BadRequest(
            f"The body is no valid JSON: {error.msg} in line {error.lineno}, column {error.colno}."
        ) from error
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        raise BadRequest("The body holds a number that is too long.") from error
    if body.count(b"[") + body.count(b"{") > DEPTH_LIMIT_LEVELS:
        _check_depth(value)
    if b"\\ud" in body.lower():
        _check_unicode(value)
    return value


def _opens_too_many(text: str) -> bool:
    """Return whether the beginning of a JSON text is nested too deeply, wherever it goes wrong."""
    levels = 0
    for found in BRACKETS.finditer(text):
        if found[0] in ("[", "{"):
            levels += 1
        elif found[0] in ("]", "}"):
            levels -= 1
        if levels > DEPTH_LIMIT_LEVELS:
            return True
    return False


def _check_depth(value: Any, levels: int = DEPTH_LIMIT_LEVELS) -> None:
    if isinstance(value, dict | list):
        if levels == 0:
            raise _too_deep()
        for item in value.values() if isinstance(value, dict) else value:
            _check_depth(item, levels - 1)


def _check_unicode(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadRequest("The body holds a lone surrogate, which is no character.") from error


def _refuse_constant(name: str) -> Any:
    raise BadRequest(f"The body is no valid JSON: {name} is no JSON number.")


def _too_deep() -> BadRequest:
    return BadRequest(f"The body is nested deeper than {DEPTH_LIMIT_LEVELS} levels.")


def plain(value: Any) -> Any:
    """
    Return *value* made of what JSON knows; anything a function of Salt returns can be.

    Bytes become text or Base64, sets lists, times ISO 8601, what is deeper than
    `OUTPUT_DEPTH_LIMIT_LEVELS` an ellipsis.
    """
    return _plain(value, OUTPUT_DEPTH_LIMIT_LEVELS)


def _plain(value: Any, levels: int) -> Any:
    """Return the nearest thing to *value* that JSON can carry."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        return _number(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes | bytearray):
        return _text_of(bytes(value))
    if levels == 0:
        return "…"
    if isinstance(value, Mapping):
        return {_key(k): _plain(v, levels - 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, levels - 1) for item in value]
    if isinstance(value, set | frozenset):
        return [_plain(item, levels - 1) for item in sorted(value, key=repr)]
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return str(value)


def _key(key: Any) -> Any:
    if isinstance(key, bytes):
        return _text_of(key)
    if key is None or isinstance(key, str):
        return key
    return _number(key) if isinstance(key, int) else str(key)


def _number(value: int) -> int | str:
    return value if value.bit_length() < INTEGER_LIMIT_BITS else hex(value)


def _text_of(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return base64.b64encode(data).decode("ascii")


def dump_yaml(value: Any, *, flow_leaves: bool = False) -> bytes:
    """
    Return *value* as YAML in UTF-8, with sorted keys.

    Args:
        value: What to write.
        flow_leaves: Whether what holds no further collection stands on one line, as Salt's
            rest_tornado writes it; else everything is in block style, as its rest_cherrypy does.
    """
    simple = plain(value)
    style: dict[str, Any] = {
        "Dumper": _Dumper,
        "default_flow_style": None if flow_leaves else False,
        "allow_unicode": True,
    }
    try:
        text = yaml.dump(simple, **style)
    except TypeError:  # keys of several types cannot be sorted
        text = yaml.dump(simple, **style, sort_keys=False)
    return str(text).encode("utf-8", "replace")


class _Dumper(yaml.CSafeDumper):
    """Writes everything where it stands: many readers of YAML do not know aliases."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def load_yaml(body: bytes) -> Any:
    """
    Return the value in *body*, made of plain types only (`saltapi.formats.yaml_loader`).

    Raises:
        BadRequest: It is no YAML, holds tags for other types or a key twice in one mapping, is
            nested too deeply, or comes to too many values.
    """
    try:
        return yaml_loader.load(body, Allowance())
    except NoYaml as error:
        raise BadRequest(f"The body is no valid YAML: {error}.") from error


def load_form(body: bytes, *, reads_arguments: bool = True) -> dict[str, Any]:
    """
    Return the mapping in a form; 0.8.4, "x-www-form-urlencoded".

    A name that comes more than once gives a list. Empty values are left out. `arg` is always a
    list.

    Args:
        body: The form.
        reads_arguments: Whether the items of `arg`, and `kwarg`, are read as Salt's command line
            reads them; else they stay texts.

    Raises:
        BadRequest: The form is not UTF-8, has too many fields, or arguments that come to too many
            values.
    """
    try:
        pairs = parse_qsl(body.decode("utf-8"), max_num_fields=FORM_FIELD_LIMIT, errors="strict")
    except ValueError as error:
        raise BadRequest("The form is not UTF-8 or has too many fields.") from error
    fields: dict[str, list[str]] = {}
    for name, text in pairs:
        fields.setdefault(name, []).append(text)
    values: dict[str, Any] = {n: t[0] if len(t) == 1 else t for n, t in fields.items()}
    if "arg" in fields:
        values["arg"] = fields["arg"]
    if reads_arguments:
        allowance = Allowance()
        if "arg" in fields:
            values["arg"] = [arguments.from_text(text, allowance) for text in fields["arg"]]
        if isinstance(values.get("kwarg"), str):
            values["kwarg"] = arguments.from_text(values["kwarg"], allowance)
    return values


def load_text(body: bytes) -> Any:
    """Return the JSON in a body that is labelled `text/plain`, or the text that it is."""
    try:
        return load_json(body)
    except BadRequest:
        text = body.decode("utf-8", "replace")
        if text.lstrip()[:1] in {"{", "["}:
            raise  # it was meant to be JSON
        return text


def decode(
    content_type: str, body: bytes, *, reads_arguments: bool = True, is_hook: bool = False
) -> Any:
    """
    Return the value in *body*.

    Args:
        content_type: The header; its parameters are ignored.
        body: What was sent.
        reads_arguments: Whether `arg` and `kwarg` of a form are read; as `load_form`.
        is_hook: Whether it may be anything, also no form where it is called one.

    Raises:
        NotAcceptable: Bodies of this type are not taken (406, as in 0.8.4).
        BadRequest: The body is not what it says it is.
    """
    loaders: dict[str, Callable[[bytes], Any]] = {
        FORM_TYPE: lambda form: load_form(form, reads_arguments=reads_arguments),
        JSON_TYPE: load_json,
        YAML_TYPE: load_yaml,
        "application/yaml": load_yaml,
        "text/yaml": load_yaml,
        "text/plain": load_text,
    }
    load = loaders.get(content_type.partition(";")[0].strip().lower())
    if load is None:
        raise NotAcceptable(
            "Content type not supported: send the body as application/json, application/x-yaml,"
            " application/x-www-form-urlencoded or text/plain, and say so in Content-Type."
        )
    if load is loaders[FORM_TYPE] and not is_hook and _is_no_form(body):
        raise BadRequest(MISLABELLED)
    return load(body)


def _is_no_form(body: bytes) -> bool:
    """Return whether *body* looks like what was sent without saying that it is no form."""
    text = body.strip()
    return text[:1] in {b"[", b"{"} or (bool(text) and b"=" not in text)


MISLABELLED = (
    "The body is no form, and Content-Type says that it is one, as curl does by itself: send JSON"
    " with the header Content-Type: application/json."
)


def encode(media_type: str, value: Any) -> bytes:
    """Return *value* in one of `OUTPUT_TYPES`."""
    return dump_yaml(value) if media_type == YAML_TYPE else dump_json(value)


def quality(accept: str, media_type: str) -> float:
    """Return how welcome *media_type* is to a client that sent *accept* (RFC 9110, 12.5.1)."""
    return _preference(accept, media_type)[0]


def negotiate(accept: str | None, offered: Sequence[str] = OUTPUT_TYPES) -> str:
    """
    Return the one of *offered* that the client likes best.

    Of those that it likes the same, one that it names goes before one that it only does not
    mind (`application/x-yaml, */*`), and then the first.

    Raises:
        NotAcceptable: It accepts none of them.
    """
    if not accept or not accept.strip():
        return offered[0]
    best = max(offered, key=lambda media_type: _preference(accept, media_type))
    if not quality(accept, best):
        raise NotAcceptable(
            f"Nothing here is acceptable to you; accept one of {', '.join(offered)}."
        )
    return best


def _preference(accept: str, media_type: str) -> tuple[float, int]:
    """Return the quality of *media_type*, and how precisely *accept* names it."""
    main = media_type.partition("/")[0]
    best = (-1, 0.0)
    for part in accept.split(","):
        name, *parameters = (text.strip().lower() for text in part.split(";"))
        if name == media_type:
            precision = 2
        elif name == f"{main}/*":
            precision = 1
        elif name in {"*/*", "*"}:
            precision = 0
        else:
            continue
        best = max(best, (precision, _q_value(parameters)))
    return best[1], best[0]


def _q_value(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                number = float(value)
            except ValueError:
                return 0.0
            return number if 0 <= number <= 1 else 0.0
    return 1.0
