"""
What is costly to start and asked for by several files, each with its parameters in turn.

A fixture with parameters ends what it has made whenever the parameter changes, so for each file
anew; what it keeps here lives as long as the fixture that has made the `Kept`.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any, Self, TypeVar

T = TypeVar("T")


class Kept:
    """Things by their names, each made when it is first asked for. Use it as a context."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._made: dict[Any, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._made.clear()
        self._stack.close()

    def get(self, name: Any, make: Callable[[], AbstractContextManager[T]]) -> T:
        """Return what *make* has made for *name*, now or before."""
        if name not in self._made:
            self._made[name] = self._stack.enter_context(make())
        found: T = self._made[name]
        return found
