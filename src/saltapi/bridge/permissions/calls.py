"""One function with its arguments on one target, asked about as the master asks."""

import logging
import re
from collections.abc import Sequence
from typing import Any, TypeAlias

from saltapi.bridge.requests import arguments, targets
from saltapi.bridge.worker.authorizer import Authorizer

OPEN_FUNCTIONS = ["saltutil.find_job"]
"""What the master lets everybody publish; for targets that name minions, and no others."""
REGEX_TARGET_TYPES = frozenset({"pcre", "grain_pcre", "pillar_pcre"})
REGEX_WORD = re.compile(r"(E|[PJ].?)@")
"""A part of a compound target that is a regular expression; `P` and `J` may have a delimiter."""
DATA_WORD = re.compile(r"\S@")
"""A part of a compound target that is about data: all minions' data are read for each."""
DATA_PARTS = 8
"""So many of them are matched beside everybody else's checks."""
Calls: TypeAlias = list[tuple[str, list[Any]]]
"""Functions, each with its own arguments."""


class _OneLine(logging.Filter):
    """Makes one line of what Salt logs of a target that cannot be matched: the user is told."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log *record*: yes, as an information without a traceback."""
        if record.exc_info and record.args:
            problem = record.exc_info[1]
            record.levelno, record.levelname = logging.INFO, "INFO"
            record.msg = f"{record.getMessage()!r:.500}: {problem!r:.500}"
            record.args = ()
            record.exc_info = record.exc_text = None
        return True


ONE_LINE = _OneLine()


def open_to_all(fun: str | list[str], tgt_type: str) -> Sequence[str]:
    """
    Return the functions that the master lets everybody run, where they count.

    They do not in a list, nor where the target tells what data a minion has.
    """
    return OPEN_FUNCTIONS if isinstance(fun, str) and tgt_type in targets.NAME_TYPES else ()


def has_regex(tgt: str | list[str], tgt_type: str) -> bool:
    """Return whether a target holds a regular expression."""
    if tgt_type in REGEX_TARGET_TYPES:
        return True
    words = [tgt] if isinstance(tgt, str) else tgt
    return tgt_type.startswith("compound") and any(REGEX_WORD.search(word) for word in words)


def takes_long(tgt: str | list[str], tgt_type: str) -> bool:
    """Return whether matching a target may take long, or never end."""
    words = [tgt] if isinstance(tgt, str) else tgt
    return has_regex(tgt, tgt_type) or (
        tgt_type.startswith("compound")
        and sum(len(DATA_WORD.findall(word)) for word in words) > DATA_PARTS
    )


def permits_call(
    authorizer: Authorizer,
    rules: list[Any],
    call: tuple[str, list[Any]],
    tgt: str | list[str],
    tgt_type: str,
    minions: list[str],
    whitelist: Sequence[str],
) -> bool:
    """
    Return whether *rules* allow one function with its arguments on *minions*, as the master does.

    Where it is not sure how the minions would read the arguments, any must be allowed.
    """
    fun, args = call

    def ask(args: list[Any]) -> bool:
        return bool(
            authorizer.minions.auth_check(
                rules, fun, args, tgt, tgt_type, minions=minions, whitelist=whitelist
            )
        )

    return ask(args) and (arguments.are_plain(args) or ask([]))
