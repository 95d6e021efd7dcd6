"""Files below a directory that requests may name."""

import os
from collections.abc import Sequence
from pathlib import Path


def file_below(directory: str, segments: Sequence[str]) -> Path | None:
    """
    Return the readable file that *segments* name below *directory*, or None.

    A link is what it leads to, if that is below *directory* too: what else the process may read is
    nobody's business. The directory itself may be a link.
    """
    if not segments or any(s in {".", ".."} or "/" in s or "\0" in s for s in segments):
        return None
    try:
        root = Path(directory).resolve(strict=True)
        path = root.joinpath(*segments).resolve(strict=True)
        is_ours = path.is_relative_to(root) and path.is_file() and os.access(path, os.R_OK)
    except (OSError, RuntimeError):  # for example a name that is too long, or links in a circle
        return None
    return path if is_ours else None
