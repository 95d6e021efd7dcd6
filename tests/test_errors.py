"""The one family of errors."""

import inspect

import pytest

from saltapi import errors
from saltapi.errors import InvalidChunk, SaltApiError, TooManyRequests

FAMILY = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, SaltApiError)
]


@pytest.mark.parametrize("kind", FAMILY)
def test_the_tree_in_the_docstring_is_true(kind: type[SaltApiError]) -> None:
    """The module's docstring shows each error with its status and code."""
    line = next(
        line
        for line in str(errors.__doc__).splitlines()
        if kind.__name__ in line.split() or line.lstrip("│├└─ ").startswith(f"{kind.__name__} ")
    )
    assert [str(kind.status), kind.code] == line.split(kind.__name__, 1)[1].split()[:2]


def test_codes_are_unique() -> None:
    """No two errors share a code."""
    assert len(FAMILY) == len({kind.code for kind in FAMILY})


def test_error_names_its_chunk() -> None:
    """An error that belongs to a chunk says which one, counted from 1."""
    error = InvalidChunk("'fun' is missing.", key="fun")
    assert "'fun' is missing." == str(error)
    error.index = 1
    assert "Chunk 2: 'fun' is missing." == str(error)
    assert "fun" == error.key


def test_an_index_belongs_to_one_error() -> None:
    """What is set on one error does not show on others."""
    first, second = InvalidChunk("a"), InvalidChunk("b")
    first.index, first.completed = 3, (1,)
    assert (None, ()) == (second.index, second.completed)


def test_too_many_requests_says_when_to_come_back() -> None:
    """`TooManyRequests` carries the seconds to wait."""
    assert 7 == TooManyRequests("Slow down.", retry_after_seconds=7).retry_after_seconds
