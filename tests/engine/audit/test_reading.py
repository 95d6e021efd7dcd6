"""The audit log, read from its end."""

import json
from pathlib import Path

import pytest

from saltapi.engine.audit import reading
from saltapi.engine.audit.reading import read_page


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A log with 300 lines, one of which is torn."""
    path = tmp_path / "audit.log"
    lines = [json.dumps({"number": number, "fun": f"mod.f{number % 7}"}) for number in range(300)]
    lines[100] = '{"number": 10'
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("block", [1, 7, 64, 100_000])
def test_pages(path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    """All lines come, each once, the newest first, however the blocks fall; torn ones do not."""
    monkeypatch.setattr(reading, "BLOCK_BYTES", block)
    found: list[int] = []
    before: int | None = None
    while True:
        page = read_page(str(path), search="", limit=37, before=before)
        found += [entry["number"] for entry in page.entries]
        before = page.before
        if before is None:
            break
    assert [number for number in reversed(range(300)) if number != 100] == found


def test_search(path: Path) -> None:
    """Only lines with the text come, whatever its case."""
    page = read_page(str(path), search="MOD.F3", limit=1000, before=None)
    assert {"mod.f3"} == {entry["fun"] for entry in page.entries}
    assert 43 == len(page.entries)


def test_bound(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search looks at so much of the file, and says where to go on."""
    monkeypatch.setattr(reading, "SCAN_LIMIT_BYTES", 1000)
    page = read_page(str(path), search='"number": 0,', limit=10, before=None)
    assert [] == page.entries
    seen = 0
    while page.before is not None and not page.entries:
        page = read_page(str(path), search='"number": 0,', limit=10, before=page.before)
        seen += 1
    assert [0] == [entry["number"] for entry in page.entries]
    assert seen > 5


def test_no_file(tmp_path: Path) -> None:
    """A file that is not there has no lines."""
    assert [] == read_page(str(tmp_path / "none"), search="", limit=10, before=None).entries
