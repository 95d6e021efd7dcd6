"""Targets as the master takes them: nodegroups and ranges resolved on our side."""

import importlib.util

import salt.utils.minions

from saltapi.errors import InvalidChunk
from saltapi.lowstate.targets import check_names, words
from saltapi.types import Opts

NAME_TYPES = frozenset({"glob", "list", "pcre"})
"""Target types that look at the minions' ids alone; master and minions read them the same."""


class UnknownNodegroup(InvalidChunk):
    """The master's config has no such nodegroup."""


def resolve(opts: Opts, tgt: str | list[str], tgt_type: str) -> tuple[str | list[str], str]:
    """
    Return target and target type without nodegroups, as `LocalClient` sends them.

    Raises:
        UnknownNodegroup: There is no such nodegroup.
        InvalidChunk: Master and minions would read the target in different ways.
    """
    check_names(tgt, tgt_type)
    if tgt_type == "nodegroup":
        return " ".join(_nodegroup(opts, str(tgt))), "compound"
    if tgt_type in ("compound", "compound_pillar_exact"):
        resolved: list[str] = []
        for word in words(tgt):
            if word.startswith("N@") and len(word) > 2:
                resolved.extend(_nodegroup(opts, word[2:]))
            else:
                resolved.append(word)
        return " ".join(resolved), tgt_type
    if tgt_type == "range" and importlib.util.find_spec("seco") is not None:
        return _expand_range(opts, str(tgt)), "list"
    return tgt, tgt_type


def _nodegroup(opts: Opts, name: str) -> list[str]:
    groups = opts.get("nodegroups") or {}
    if name not in groups:
        raise UnknownNodegroup(f"There is no nodegroup {name!r} in the master config.", key="tgt")
    parts = salt.utils.minions.nodegroup_comp(name, groups)
    return parts.split() if isinstance(parts, str) else [str(part) for part in parts]


def _expand_range(opts: Opts, expression: str) -> list[str]:
    import seco.range  # type: ignore[import-not-found, unused-ignore]

    try:
        return list(seco.range.Range(opts["range_server"]).expand(expression))
    except seco.range.RangeException as error:
        raise InvalidChunk(
            f"The range server refuses {expression!r}: {error}", key="tgt"
        ) from error
