"""Marks: what a client has seen of a job."""

import pytest

from saltapi.engine.jobs import cursors, step_records
from saltapi.engine.jobs.cursors import Cursor, CursorMaker

BASE = tuple(f"minion-{number:03}" for number in range(100))


def test_every_mark_can_be_read() -> None:
    """The cursor of each record says which returns went out before, also of unexpected minions."""
    maker = CursorMaker(BASE, ())
    seen: set[str] = set()
    for minion in ("minion-042", "another.minion", "minion-000", "minion-099", "täst"):
        maker.saw(minion)
        seen.add(minion)
        assert Cursor(seen) == cursors.read(maker.cursor(), BASE)
    assert Cursor(seen, ended=True) == cursors.read(maker.cursor(ended=True), BASE)
    assert CursorMaker(BASE, seen).cursor() == maker.cursor()


def test_marks_are_short() -> None:
    """A cursor takes a bit for each minion; jobs of very many minions are marked as not seen."""
    maker = CursorMaker(BASE, BASE)
    assert len(maker.cursor()) < 40
    many = tuple(str(number) for number in range(cursors.CURSOR_MINIONS_LIMIT + 1))
    assert Cursor(ended=True) == cursors.read(CursorMaker(many, many).cursor(ended=True), many)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "1-2",
        "….…",
        CursorMaker(BASE[:-1], BASE[:50]).cursor(),
        CursorMaker(BASE, BASE[:50]).cursor()[:-3] + "!!",
        f"{cursors.digest_of(BASE)}.*.end.",
        f"{cursors.digest_of(BASE)}...e30",
        f"{cursors.digest_of(BASE)}...W1tb",
        "x" * 100_000,
    ],
)
def test_what_is_no_cursor(text: str | None) -> None:
    """What is no cursor of this job says that nothing was seen: rather twice than never."""
    assert Cursor() == cursors.read(text, BASE)


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "AAAA",
        cursors.packed({}),
        cursors.packed([[1], {}]),
        cursors.packed([[["a", 1, True]], {}]),
        cursors.packed([5, 6]),
    ],
)
def test_steps_of_others(text: str) -> None:
    """What says nothing of steps says that none was seen."""
    assert ({}, {}) == step_records.seen_of(text)


def test_steps() -> None:
    """What was told of steps comes back from a cursor, with what has returned."""
    maker = CursorMaker(["master"], [])
    maker.steps = cursors.packed([[[1, 2, True], [2, 0, False]], {"j": "c"}])
    maker.saw("master")
    found = cursors.read(maker.cursor(), ["master"])

    assert {"master"} == found.minions
    assert ({1: (2, True), 2: (0, False)}, {"j": "c"}) == step_records.seen_of(found.steps)
