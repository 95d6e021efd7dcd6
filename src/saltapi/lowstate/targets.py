"""What a target may say so that the master and the minions read it the same way."""

import re
from typing import Any

from saltapi.errors import InvalidChunk
from saltapi.lowstate.values import number_as_text, short
from saltapi.types import Chunk

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
NO_PART_OF_A_NAME = re.compile(r"[,/\\\x00-\x1f]")
ENGINE = re.compile(r"([GPIJ].?|[LNSERTM])@.")
"""How a word of a compound target begins that is no glob (`salt.utils.minions.TARGET_REX`)."""
DEFAULT_DELIMITER = ":"
DELIMITER_CHARACTERS = 10
CHECKED_REGEX_CHARACTERS = 10_000
"""Longer regular expressions are left to the master and the minions: compiling takes time."""


def target_of(chunk: Chunk) -> tuple[str | list[str], str]:
    """Return the target of *chunk* and its type; InvalidChunk if it is none."""
    tgt_type = chunk.get("tgt_type")
    if tgt_type is None:
        tgt_type = chunk.get("expr_form")  # its name before Salt 2017.7
    if tgt_type is None or tgt_type == "":
        tgt_type = "glob"
    if tgt_type not in TARGET_TYPES:
        raise InvalidChunk(
            f"Unknown target type {short(tgt_type)}; use one of {', '.join(TARGET_TYPES)}.",
            key="tgt_type",
        )
    tgt = number_as_text(chunk.get("tgt"))
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


def check_names(tgt: str | list[str], tgt_type: str) -> None:
    """
    Return if no name or glob in *tgt* is one thing to the master and another one to a minion.

    Raises:
        InvalidChunk: There is a comma, or something else that is no part of a minion id.
    """
    if tgt_type == "list":
        for name in tgt if isinstance(tgt, list) else tgt.split(","):
            if NO_PART_OF_A_NAME.search(name):
                raise InvalidChunk(
                    "A name in 'tgt' must be one minion id, without commas and slashes.", key="tgt"
                )
    elif tgt_type == "glob" and "," in tgt:
        raise InvalidChunk(
            'A glob in \'tgt\' cannot have a comma: for several names add "tgt_type": "list".',
            key="tgt",
        )
    elif tgt_type.startswith("compound") and any(
        "," in word and not ENGINE.match(word) for word in words(tgt)
    ):
        raise InvalidChunk(
            "A glob in a compound 'tgt' cannot have a comma: for several names write L@a,b.",
            key="tgt",
        )


def check_delimiter(delimiter: Any, tgt_type: str) -> None:
    """
    Return if *delimiter* can part grains and pillars in a target of this type.

    Raises:
        InvalidChunk: It cannot, or the minions would not know of it.
    """
    if delimiter in (None, DEFAULT_DELIMITER):
        return
    if not isinstance(delimiter, str) or not 1 <= len(delimiter) <= DELIMITER_CHARACTERS:
        raise InvalidChunk(
            f"'delimiter' must be a text of 1 to {DELIMITER_CHARACTERS} characters.",
            key="delimiter",
        )
    if tgt_type in ("pillar_pcre", "pillar_exact", "compound_pillar_exact"):
        raise InvalidChunk(
            f"Minions know no 'delimiter' for {tgt_type}: leave it out and use ':'.",
            key="delimiter",
        )


def words(tgt: str | list[str]) -> list[str]:
    """Return the words of a compound target."""
    return [word for part in ([tgt] if isinstance(tgt, str) else tgt) for word in part.split()]


def _check_regex(pattern: str) -> None:
    if len(pattern) > CHECKED_REGEX_CHARACTERS:
        return
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise InvalidChunk(f"'tgt' is no valid regular expression: {error}.", key="tgt") from error
