"""The pinned requirements: each is one version of files whose hashes are known."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "requirements").glob("*.txt"))
PIN = re.compile(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+( ; .+)?")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def requirements(path: Path) -> list[list[str]]:
    """Return each requirement of a file: the pin, and what follows it."""
    text = "".join(line for line in path.open() if not line.startswith("#"))
    lines = text.replace("\\\n", "\n--").splitlines()
    found: list[list[str]] = []
    for line in lines:
        if line.startswith("--"):
            found[-1].append(line[2:].strip())
        else:
            found.append([line.strip()])
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_hashes(path: Path) -> None:
    """Every requirement is pinned and has hashes; none names a registry."""
    found = requirements(path)
    assert len(found) > 3
    for pin, *hashes in found:
        assert PIN.fullmatch(pin), pin
        assert hashes, pin
        assert all(HASH.fullmatch(text) for text in hashes), pin
    assert "://" not in path.read_text()
    assert "index" not in path.read_text()


def test_nothing_else_is_installed() -> None:
    """`make` takes no file whose hash it does not know, nor lets pip choose what builds sources."""
    recipe = (ROOT / "Makefile").read_text()
    installs = [line for line in recipe.splitlines() if " -r " in line]
    assert 7 == len(installs)
    assert all("--require-hashes" in line for line in installs)
    of_salt = [line for line in installs if "build.txt" not in line and "docs" not in line]
    assert 3 == len(
        [line for line in of_salt if "--no-build-isolation" in line or "--no-index" in line]
    )
