"""Marks: what a client has seen of a job."""

import pytest

from saltapi.engine.jobs import cursor
from saltapi.engine.jobs.cursor import Mark, Marker

BASE = tuple(f"minion-{number:03}" for number in range(100))


def test_every_mark_can_be_read() -> None:
    """The mark of each record says which returns went out before, also of unexpected minions."""
    marker = Marker(BASE, ())
    seen: set[str] = set()
    for minion in ("minion-042", "another.minion", "minion-000", "minion-099", "täst"):
        marker.saw(minion)
        seen.add(minion)
        assert Mark(seen) == cursor.read(marker.mark(), BASE)
    assert Mark(seen, ended=True) == cursor.read(marker.mark(ended=True), BASE)
    assert Marker(BASE, seen).mark() == marker.mark()


def test_marks_are_short() -> None:
    """A mark takes a bit for each minion; jobs of very many minions are marked as not seen."""
    marker = Marker(BASE, BASE)
    assert len(marker.mark()) < 40
    many = tuple(str(number) for number in range(cursor.MARKED_MINIONS_LIMIT + 1))
    assert Mark(ended=True) == cursor.read(Marker(many, many).mark(ended=True), many)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "1-2",
        "….…",
        Marker(BASE[:-1], BASE[:50]).mark(),
        Marker(BASE, BASE[:50]).mark()[:-3] + "!!",
        f"{cursor.digest_of(BASE)}.*.end.",
        f"{cursor.digest_of(BASE)}...e30",
        f"{cursor.digest_of(BASE)}...W1tb",
        "x" * 100_000,
    ],
)
def test_what_is_no_mark(text: str | None) -> None:
    """What is no mark of this job says that nothing was seen: rather twice than never."""
    assert Mark() == cursor.read(text, BASE)
