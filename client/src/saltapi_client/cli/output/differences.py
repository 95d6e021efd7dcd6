"""What differs between two jobs, for a terminal: lines before and after, minions together."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from saltapi_client.cli.output import brief, nested
from saltapi_client.cli.output.folding import Group, heading
from saltapi_client.cli.terminal import Paint

CONTEXT_LINES = 2


def text(told: Mapping[str, Any], paint: Paint, width: int) -> str:
    """Return the text of what `jobs.difference` has found."""
    found = []
    for group in told["different"]:
        minions = Group(None, False, minions=group["minions"])
        found.append(heading(minions, paint, width, "bold"))
        before, now = (
            nested.text(group[name], Paint(False)).splitlines() for name in ("before", "now")
        )
        changed = list(difflib.unified_diff(before, now, n=CONTEXT_LINES, lineterm=""))[2:]
        found += [f"    {brief.coloured(line, paint)}" for line in changed]
    same = told["same"]
    answered = f"{same} minion{'s' * (same != 1)} answered the same in both jobs."
    return "\n".join([*found, answered] if same or not found else found)
