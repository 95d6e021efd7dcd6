"""The plan of the package shows in its folders."""

from pathlib import Path

import pytest

import saltapi

PACKAGE = Path(saltapi.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
LINES = 450
NAMES_AT_THE_ROOT = 16
NEITHER = {"__init__.py", "__main__.py", "__pycache__", "py.typed"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_size_of_a_file(path: Path) -> None:
    """A file holds one subject, and is short enough to be read in one go."""
    assert LINES >= len(path.read_text().splitlines())


def test_names_at_the_root() -> None:
    """One listing shows the whole plan."""
    names = {path.name for path in PACKAGE.iterdir()} - NEITHER

    assert NAMES_AT_THE_ROOT >= len(names), sorted(names)


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if path.name == "__init__.py"],
    ids=lambda path: str(path.parent.relative_to(PACKAGE)),
)
def test_every_folder_says_what_it_is(path: Path) -> None:
    """Each folder says in its first lines what lives there."""
    assert path.read_text().startswith('"""')
