"""What a check yields."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the answer: `ok`, `note`, `warning` or `error`, and a sentence."""

    level: str
    text: str
    path: tuple[Any, ...] = ()
    """The keys that lead to the option that is meant, from the top level of the config."""

    def __str__(self) -> str:
        return f"{self.level:<8} {self.text}"
