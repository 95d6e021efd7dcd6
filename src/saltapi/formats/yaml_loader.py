"""
YAML from outside, read as Salt's own loader reads it, and within bounds.

An alias is a few bytes that stand for all that they refer to, and a merge key copies it. So values
are counted while a text is composed, an alias as all that it stands for, and what comes to too many
is refused before a single one is made.

What a text means is what `salt.utils.yaml.safe_load` says: dates stay text, `010` is ten, and a
mapping that has a key twice is an error.
"""

import base64
from collections.abc import Hashable
from typing import Any, cast

import yaml
from yaml.constructor import ConstructorError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from saltapi.errors import BadRequest

VALUE_LIMIT = 5_000
"""How many values all YAML of one request may come to, what aliases stand for included."""
LEVEL_LIMIT = 100
NUMBER_LIMIT_CHARACTERS = 4300
"""Longer numbers are refused, or text where they are no decimal ones; Python's own limit."""
TAG_DIRECTIVE_LIMIT = 100
"""libyaml compares each `%TAG` with all before it."""
SHOWN_CHARACTERS = 60

_TAG = "tag:yaml.org,2002:"
_INT, _MERGE, _STR, _VALUE = (f"{_TAG}{name}" for name in ("int", "merge", "str", "value"))


class YamlRefused(BadRequest):
    """A text is YAML that would come to too much; nothing was made of it."""


class NoYaml(ValueError):
    """A text is no YAML; the error says why."""


class Allowance:
    """How many values may still be read; one for each request."""

    def __init__(self, values: int = VALUE_LIMIT) -> None:
        self._left = values

    def take(self, values: int) -> None:
        """
        Note that so many values are read.

        Raises:
            YamlRefused: There are too many.
        """
        self._left -= values
        if self._left < 0:
            raise YamlRefused(
                f"The YAML comes to more than {VALUE_LIMIT} values, with all that its aliases and"
                " merge keys stand for; send less, or send JSON."
            )


def load(text: str | bytes, allowance: Allowance, *, scalar_only: bool = False) -> Any:
    """
    Return the value in *text*, made of plain types only.

    Args:
        text: What was sent.
        allowance: How many values it may come to.
        scalar_only: Whether a list or a mapping is an error, found at its first character.

    Raises:
        YamlRefused: It comes to too much.
        NoYaml: It is no YAML, has tags for other types, or a key twice in one mapping.
    """
    try:
        loader = _Loader(_unicode(text), allowance, scalar_only=scalar_only)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except YamlRefused:
        raise
    except yaml.MarkedYAMLError as error:
        where = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise NoYaml(f"{str(error.problem)[:200]}{where}") from error
    except Exception as error:  # what PyYAML's constructors come upon: KeyError, AttributeError, …
        raise NoYaml("it holds what it must not, or a value that is not of its type") from error


def _unicode(text: str | bytes) -> str:
    """Return *text* as characters; bytes are UTF-8, or UTF-16 if they say so (YAML 1.1, 5.2)."""
    if isinstance(text, bytes):
        is_wide = text.startswith((b"\xff\xfe", b"\xfe\xff"))
        text = text.decode("utf-16" if is_wide else "utf-8-sig")
    if text.count("%TAG") > TAG_DIRECTIVE_LIMIT:
        raise YamlRefused(f"The YAML has more than {TAG_DIRECTIVE_LIMIT} tag directives.")
    return text


class _Loader(yaml.CSafeLoader):
    """Reads one text: scanned in C, composed and made into values here."""

    def __init__(self, text: str, allowance: Allowance, *, scalar_only: bool) -> None:
        super().__init__(text)
        self._allowance = allowance
        self._scalar_only = scalar_only
        self._values = 0
        self._level = 0
        self._deepest = 0
        self._anchors: dict[str, Node] = {}
        self._sizes: dict[str, tuple[int, int]] = {}

    def get_single_node(self) -> Node | None:
        """
        Compose the text, which is one document, or nothing (None).

        Raises:
            YamlRefused: It is nested too deeply, an alias is part of what it stands for, or there
                are too many values.
            ConstructorError: It is more than one document, has an alias to nothing, or is a list
                or a mapping, and only a scalar will do.
        """
        self.get_event()  # the stream begins
        event: Any = self.get_event()
        if isinstance(event, yaml.StreamEndEvent):
            return None
        event = self.get_event()
        if self._scalar_only and event.tag is None and isinstance(event, yaml.CollectionStartEvent):
            raise _wrong("expected a scalar", event)
        node = self._composed(event)
        self.get_event()  # the document ends
        event = self.get_event()
        if not isinstance(event, yaml.StreamEndEvent):
            raise _wrong("found a second document", event)
        return node

    def _composed(self, event: Any) -> Node:
        """Return the node that begins with *event*, and count it."""
        anchor = event.anchor
        if isinstance(event, yaml.AliasEvent):
            return self._alias(anchor, event)
        levels = int(isinstance(event, yaml.CollectionStartEvent))
        if anchor is None:
            self._count(1, levels)
            return self._node(event, None)
        if anchor in self._anchors:
            raise _wrong(f"found the anchor {anchor[:SHOWN_CHARACTERS]!r} twice", event)
        before, outside = self._values, self._deepest
        self._deepest = self._level
        self._count(1, levels)
        node = self._node(event, anchor)
        self._sizes[anchor] = self._values - before, self._deepest - self._level
        self._deepest = max(self._deepest, outside)
        return node

    def _alias(self, anchor: str, event: Any) -> Node:
        if anchor not in self._anchors:
            raise _wrong(f"found an alias to nothing, {anchor[:SHOWN_CHARACTERS]!r}", event)
        if anchor not in self._sizes:
            raise YamlRefused("The YAML has an alias that is part of what it stands for.")
        self._count(*self._sizes[anchor])
        return self._anchors[anchor]

    def _count(self, values: int, levels: int) -> None:
        self._values += values
        self._allowance.take(values)
        self._deepest = max(self._deepest, self._level + levels)
        if self._deepest > LEVEL_LIMIT:
            raise YamlRefused(f"The YAML is nested deeper than {LEVEL_LIMIT} levels.")

    def _node(self, event: Any, anchor: str | None) -> Node:
        tag, mark, resolve = event.tag, event.start_mark, cast(Any, self.resolve)
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            if len(event.value) > NUMBER_LIMIT_CHARACTERS and tag is None and event.implicit[0]:
                tag = _INT if event.value.isdecimal() else _STR
            elif tag is None or tag == "!":
                tag = resolve(ScalarNode, event.value, event.implicit)
            node = ScalarNode(tag, event.value, mark)
            if anchor is not None:
                self._anchors[anchor] = node
            return node
        kind = SequenceNode if isinstance(event, yaml.SequenceStartEvent) else MappingNode
        if tag is None or tag == "!":
            tag = resolve(kind, None, event.implicit)
        node = kind(tag, [], mark)
        if anchor is not None:
            self._anchors[anchor] = node
        self._level += 1
        while not isinstance(event := self.get_event(), yaml.CollectionEndEvent):
            inner = self._composed(event)
            is_pair = kind is MappingNode
            node.value.append((inner, self._composed(self.get_event())) if is_pair else inner)
        self._level -= 1
        return node

    def flatten_mapping(self, node: MappingNode) -> None:
        """Put what is merged in before the pairs of *node*, but for keys that it has itself."""
        own: list[tuple[Node, Node]] = []
        merged: list[tuple[Node, Node]] = []
        for key, value in node.value:
            if key.tag == _MERGE:
                for source in reversed(_sources(value)):
                    self.flatten_mapping(source)
                    merged += source.value
            else:
                if key.tag == _VALUE:
                    key.tag = _STR
                own.append((key, value))
        if merged:
            texts = {key.value for key, _ in own if isinstance(key, ScalarNode)}
            merged = [
                (key, value)
                for key, value in merged
                if not isinstance(key, ScalarNode) or key.value not in texts
            ]
        node.value = merged + own

    def construct_mapping(self, node: Node, deep: bool = False) -> dict[Hashable, Any]:
        """
        Return a mapping.

        Raises:
            ConstructorError: A key is there twice, or is a collection.
        """
        if not isinstance(node, MappingNode):
            raise _wrong("expected a mapping", node)
        self.flatten_mapping(node)
        mapping: dict[Hashable, Any] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=deep)
            if not isinstance(key, Hashable):
                raise _wrong("found a key that is a list or a mapping", key_node)
            value = self.construct_object(value_node, deep=deep)
            if key in mapping:
                shown = repr(key)[:SHOWN_CHARACTERS]
                raise _wrong(f"found the key {shown} twice in one mapping", key_node)
            mapping[key] = value
        return mapping

    def construct_yaml_int(self, node: Any) -> int:
        """
        Return an integer; one with zeros in front of it is a decimal one all the same.

        Raises:
            ConstructorError, ValueError: It is none, or too long.
        """
        text = _number(node)
        if text.startswith("0") and not text.startswith(("0b", "0x")):
            node.value = text.lstrip("0") or "0"
        return int(super().construct_yaml_int(node))

    def construct_yaml_float(self, node: Any) -> float:
        """
        Return a number.

        Raises:
            ConstructorError, ValueError: It is none, or too long.
        """
        _number(node)
        return float(super().construct_yaml_float(node))

    def construct_yaml_binary(self, node: Any) -> bytes:
        """
        Return bytes; the padding of their Base64 may be missing.

        Raises:
            ValueError: It is no Base64.
        """
        data = self.construct_scalar(node).encode("ascii")
        return base64.decodebytes(data + b"=" * (-len(data) % 4))

    def construct_text(self, node: Any) -> str:
        """Return a scalar as it is written."""
        return str(self.construct_scalar(node))


_Loader.yaml_constructors = {
    **yaml.CSafeLoader.yaml_constructors,
    f"{_TAG}int": _Loader.construct_yaml_int,
    f"{_TAG}float": _Loader.construct_yaml_float,
    f"{_TAG}binary": _Loader.construct_yaml_binary,
    f"{_TAG}timestamp": _Loader.construct_text,
    f"{_TAG}python/unicode": _Loader.construct_text,
}


def _number(node: Node) -> str:
    if not isinstance(node, ScalarNode):
        raise _wrong("expected a number", node)
    text: str = node.value
    if len(text) > NUMBER_LIMIT_CHARACTERS:
        raise _wrong("found a number that is too long", node)
    return text


def _sources(value: Node) -> list[MappingNode]:
    """Return the mappings that a merge key names."""
    sources = value.value if isinstance(value, SequenceNode) else [value]
    if not all(isinstance(source, MappingNode) for source in sources):
        raise _wrong("found a merge key whose value is no mapping", value)
    return list(sources)


def _wrong(problem: str, place: Any) -> ConstructorError:
    return ConstructorError(None, None, problem, place.start_mark)
