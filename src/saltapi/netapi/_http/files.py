"""Files below a directory that requests may name."""

import os
from collections.abc import Sequence
from pathlib import Path


def file_below(directory: str, segments: Sequence[str]) -> Path | None:
    """Return the readable file that *segments* name below *directory*, or None."""
    if not segments or any(s in {".", ".."} or "/" in s or "\0" in s for s in segments):
        return None
    path = Path(directory, *segments)
    try:
        return path if path.is_file() and os.access(path, os.R_OK) else None
    except OSError:  # for example a name that is too long
        return None
