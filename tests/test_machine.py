"""The factor of all deadlines follows the machine."""

import pytest

from tests import machine


@pytest.mark.parametrize(
    ("slowness", "load", "cores", "expected"),
    [
        (0.5, 0.0, 2, 1.0),
        (1.0, 0.0, 2, 1.0),
        (1.0, 0.0, 64, 1.0),
        (2.0, 0.0, 2, 2.0),
        (1.0, 0.0, 1, 2.0),
        (1.5, 2.0, 2, 3.0),
        (1.0, 2.0, 8, 1.0),
        (9.0, 9.0, 1, machine.LARGEST_FACTOR),
    ],
)
def test_factor(slowness: float, load: float, cores: int, expected: float) -> None:
    """Slow and crowded machines get more time, up to a bound; fast ones not less."""
    assert expected == machine.factor(slowness, load, cores)


def test_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the environment asks for is the least; without it only what was measured counts."""
    monkeypatch.setenv(machine.MEASURED, "2.5")
    for asked, expected in {"4": 4.0, "1": 2.5, "": 2.5}.items():
        monkeypatch.setenv(machine.FLOOR, asked)
        assert expected == machine.timeout_factor()


def test_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """All processes of a run have the factor that the first has measured."""
    monkeypatch.delenv(machine.MEASURED)
    monkeypatch.delenv(machine.FLOOR, raising=False)
    monkeypatch.setattr(machine, "measured_factor", iter([3.0]).__next__)
    assert [3.0, 3.0] == [machine.timeout_factor() for _ in range(2)]
