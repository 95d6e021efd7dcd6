"""What a target may say so that the master and the minions read it the same way."""

import re
from typing import Any

from saltapi.errors import InvalidChunk

NO_PART_OF_A_NAME = re.compile(r"[,/\\\x00-\x1f]")
ENGINE = re.compile(r"([GPIJ].?|[LNSERTM])@.")
"""How a word of a compound target begins that is no glob (`salt.utils.minions.TARGET_REX`)."""
DEFAULT_DELIMITER = ":"
DELIMITER_CHARACTERS = 10


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
