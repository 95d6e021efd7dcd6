"""The differences that `docs/compatibility.md` lists."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def documented_ids(section: str) -> set[str]:
    """Return the ids in the first column of the table in a section of `docs/compatibility.md`."""
    text = (ROOT / "docs" / "compatibility.md").read_text()
    found = re.search(
        rf"^#+ {re.escape(section)}\n(.*?)(?=^#+ |\Z)", text, re.DOTALL | re.MULTILINE
    )
    return set(re.findall(r"^\| `([\w-]+)` \|", found[1], re.MULTILINE)) if found else set()
