"""The live view, as lines: at two widths, with a few minions and with a thousand."""

import io

import pytest

from saltapi_client.cli.live import Live, frame
from saltapi_client.cli.progress import Board
from saltapi_client.cli.terminal import Paint, width_of
from saltapi_client.records import JobStarted, MinionReturn, Progress, Stage, StateResult, Summary

PLAIN = Paint(False)
LINES = 24


def board_of(count: int) -> Board:
    """Return a board of minions of which every tenth is at a state that fails, or has failed."""
    board = Board()
    names = [f"web-{number:04d}.example.com" for number in range(count)]
    board.add(JobStarted(jid="20261127180812345678", fun="state.apply", expected=names))
    for place, name in enumerate(names):
        for number in range(1, 4):
            is_bad = place % 10 == 1 and number == 2
            board.add(
                StateResult(
                    minion=name, number=number, of=4, state_id=f"s{number}", result=not is_bad,
                    comment="No such package\nin any of the repositories " * 9 if is_bad else "",
                )
            )  # fmt: skip
        if place % 20 == 1:
            board.add(MinionReturn(minion=name, value="No such package", retcode=2))
        elif place % 3 == 0:
            board.add(MinionReturn(minion=name, value=True))
    return board


@pytest.mark.parametrize("columns", [20, 80, 200])
@pytest.mark.parametrize("count", [0, 1, 3, 100, 1000])
def test_it_fits(count: int, columns: int) -> None:
    """Nothing is wider or longer than the terminal."""
    lines = frame(board_of(count), PLAIN, columns, LINES, 12.3)

    assert len(lines) <= LINES
    assert all(width_of(line) <= columns for line in lines), max(lines, key=len)


@pytest.mark.parametrize("columns", [80, 200])
def test_a_thousand(columns: int) -> None:
    """Failures are on top while they happen, and every minion has a sign."""
    head, bar, *lines = frame(board_of(1000), PLAIN, columns, LINES, 12.3)

    assert head.startswith("state.apply  367 of 1000 minions  0:12  states ")
    assert head.endswith("20261127180812345678")
    assert bar.startswith("✗ 50 failed  ✗ 34 failing  ✓ 317 fine  ▸ 599 running")
    assert lines[0].startswith("✗ web-0001.example.com  3 of 4, 1 failed  No such package")
    assert "  and 79 more" in lines
    grid = "".join(lines[lines.index("  and 79 more") + 1 :])
    assert [1000, 84] == [len(grid), grid.count("✗")]


def test_a_few() -> None:
    """Each of a few minions has a line: the worst first, with the state that it is at."""
    board = board_of(3)
    board.add(Stage(number=1, of=2, state="running"))
    board.add(
        Progress(waiting={"web-0001.example.com": "no_answer", "web-0002.example.com": "running"})
    )
    head, _, *lines = frame(board, PLAIN, 80, LINES, 3.0)

    assert "stage 1 of 2" in head
    assert ["✗ web-0001", "▸ web-0002", "✓ web-0000"] == [line[:10] for line in lines]
    assert "3 of 4  s3" in lines[1]


def test_not_run() -> None:
    """Whom a change has left out is not silent."""
    board = board_of(3)
    board.add(Summary(missing={"web-0002.example.com": "not_run"}))

    assert "not_run" in "".join(frame(board, PLAIN, 80, LINES, 3.0))


def test_only_changes_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second picture writes the lines that have changed, clears no screen, and is taken away."""
    monkeypatch.setattr("saltapi_client.cli.live.QUIET_SECONDS", 0.0)
    monkeypatch.setattr("saltapi_client.cli.live.FRAME_SECONDS", 0.0)
    stream, board = io.StringIO(), board_of(3)
    live = Live(PLAIN, stream)
    live.draw(board)
    first = stream.tell()
    board.add(MinionReturn(minion="web-0002.example.com", value=True))
    live.draw(board)
    second = stream.getvalue()[first:]
    live.clear()

    assert "web-0002" in second
    assert "web-0001" not in second
    assert "\x1b[2J" not in stream.getvalue()
    assert stream.getvalue().endswith("\x1b[5F" + "\x1b[K\n" * 5 + "\x1b[K\x1b[5F\x1b[?25h")
