"""`netapi_returners`: where anybody may have results sent by the minions."""

from collections.abc import Iterable, Mapping
from typing import Any

from saltapi.config import ReturnerOption


class Returners:
    """The returners that the config lists for everybody, each with its keyword arguments."""

    def __init__(self, entries: Iterable[ReturnerOption]) -> None:
        """
        Args:
            entries: As in the config.
        """
        self._allowed: dict[str, frozenset[str]] = {}
        for entry in entries:
            named = {entry: []} if isinstance(entry, str) else entry
            self._allowed.update((name, frozenset(keys)) for name, keys in named.items())

    def allow(self, ret: str, extra: Mapping[str, Any]) -> bool:
        """
        Return whether anybody may have these returners with these arguments.

        Args:
            ret: Names of returners, separated by commas; the minions take them apart.
            extra: `ret_kwargs`, a mapping, and `ret_config`, if there are such.
        """
        named = extra.get("ret_kwargs") or {}
        if not ret or not isinstance(named, Mapping):
            return False
        keys = {*named, *({"ret_config"} if extra.get("ret_config") else ())}
        allowed = self._allowed
        return all(name in allowed and keys <= allowed[name] for name in ret.split(","))
