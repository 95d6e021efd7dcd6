"""Who may import whom: imports point downwards only."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import saltapi

ROOT = Path(saltapi.__file__).parent
START_UP = {"check", "cli", "config", "daemon", "loader", "log", "service"}
"""Modules that read the config and start the others; they come before the layers."""
MAY_IMPORT_SALT = START_UP | {"bridge", "client", "demo", "shapes"}
FORBIDDEN = {
    "bridge": {"api", "batch", "blocking", "client", "netapi", "sessions", "shapes", "demo"},
    "netapi": {"bridge", "demo"},
    "client": {"api", "netapi", "demo"},
    "api": {"netapi", "demo"},
    "batch": {"api", "client", "netapi", "demo"},
    "sessions": {"api", "client", "netapi", "demo"},
    "shapes": {"api", "client", "netapi", "demo"},
    "lowstate": {"api", "client", "netapi", "bridge", "sessions", "demo"},
    "config": {"api", "client", "netapi", "bridge", "sessions", "lowstate", "demo"},
    "formats": {"api", "client", "netapi", "bridge", "sessions", "lowstate", "demo"},
    "access": {"api", "client", "netapi", "bridge", "sessions", "lowstate", "demo"},
}
"""What must not be imported, by who imports it; names below `saltapi`."""
NOTHING_OF_OURS = {"errors", "types"}
MODULES = sorted(ROOT.rglob("*.py"))


def part_of(path: Path) -> str:
    """Return the layer of a module: its package below `saltapi`, or its own name."""
    return path.relative_to(ROOT).with_suffix("").parts[0]


def imports_of(path: Path) -> Iterator[str]:
    """Yield the full names of everything that a module imports, wherever it does so."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert 0 == node.level, f"{path}: a relative import hides where it leads"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(path: Path) -> set[str]:
    """Return the layers of `saltapi` that a module imports."""
    names = (name.split(".") for name in imports_of(path))
    return {name[1] for name in names if name[0] == "saltapi" and len(name) > 1}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_the_rules_name_what_exists() -> None:
    """No rule here is about a module that is gone."""
    layers = {part_of(path) for path in MODULES}
    named = {*FORBIDDEN, *MAY_IMPORT_SALT, *NOTHING_OF_OURS, *set().union(*FORBIDDEN.values())}
    assert set() == named - layers


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_the_bridge_and_its_neighbours_import_salt(path: Path) -> None:
    """Salt is imported where its shapes and channels are known, and nowhere else."""
    salt = {name for name in imports_of(path) if name.split(".")[0] == "salt"}
    if part_of(path) not in MAY_IMPORT_SALT:
        assert set() == salt


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_downwards(path: Path) -> None:
    """No layer knows of those above it; netapi modules do not see the bridge."""
    assert set() == ours(path) & FORBIDDEN.get(part_of(path), set())


@pytest.mark.parametrize("name", sorted(NOTHING_OF_OURS))
def test_the_vocabulary_stands_alone(name: str) -> None:
    """Errors and types import nothing of ours."""
    assert set() == ours(ROOT / f"{name}.py")


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_nothing_imports_from_the_demo(path: Path) -> None:
    """The demo starts the service as anybody would; only the command line knows it."""
    if part_of(path) not in {"demo", "cli"}:
        assert "demo" not in ours(path)
