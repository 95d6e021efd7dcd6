"""What a check yields."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the answer: `ok`, `note`, `warning` or `error`, and a sentence."""

    level: str
    text: str

    def __str__(self) -> str:
        return f"{self.level:<8} {self.text}"
