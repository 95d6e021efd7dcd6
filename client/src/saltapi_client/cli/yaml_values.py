"""
YAML as Salt reads and writes it, as far as a command line needs it.

What a text means is what `salt.utils.yaml.safe_load` says: dates stay text, `010` is ten, and a
mapping that has a key twice is an error.
"""

from __future__ import annotations

from typing import Any

import yaml

_TAG = "tag:yaml.org,2002:"


class NoYaml(ValueError):
    """A text is no YAML."""


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        if not isinstance(node, yaml.MappingNode):
            raise NoYaml("expected a mapping")
        self.flatten_mapping(node)
        mapping: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=deep)
            if isinstance(key, (dict, list)) or key in mapping:
                raise NoYaml("found a key twice, or one that is a collection")
            mapping[key] = self.construct_object(value_node, deep=deep)
        return mapping

    def construct_int(self, node: Any) -> Any:
        text = self.construct_scalar(node)
        if text.startswith("0") and not text.startswith(("0b", "0x")):
            node.value = text.lstrip("0") or "0"
        return super().construct_yaml_int(node)

    def construct_text(self, node: Any) -> Any:
        return self.construct_scalar(node)


_Loader.yaml_constructors = {
    **yaml.SafeLoader.yaml_constructors,
    f"{_TAG}int": _Loader.construct_int,
    f"{_TAG}timestamp": _Loader.construct_text,
    f"{_TAG}python/unicode": _Loader.construct_text,
}


def load(text: str) -> Any:
    """
    Return the value of a text.

    Raises:
        NoYaml: It is none.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, KeyError, RecursionError) as why:
        raise NoYaml(str(why)) from why


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, _data: Any) -> bool:
        return True

    def represent_text(self, text: str) -> Any:
        style = "|" if "\n" in text else None
        return self.represent_scalar(f"{_TAG}str", text, style=style)


_Dumper.add_representer(str, _Dumper.represent_text)


def dump(value: Any) -> str:
    """Return a value as YAML, in block style, mappings in their order."""
    text = yaml.dump(
        value, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, sort_keys=False
    )
    return text[: -len("...\n")] if text.endswith("\n...\n") else text
