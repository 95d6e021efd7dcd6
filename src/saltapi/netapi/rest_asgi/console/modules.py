"""Which scripts a script needs: those that it imports, and those that these import."""

import posixpath
import re
from collections.abc import Mapping

IMPORT = re.compile(r"""(?:\bfrom|^import)\s*["'](\.[^"']+)["']""", re.MULTILINE)
"""What is imported at once, in the order of the text; `import(...)` is for later."""


def needed(sources: Mapping[str, str], start: str) -> list[str]:
    """
    Return the paths of all scripts that *start* cannot run without, itself the first.

    Args:
        sources: Path -> text.
        start: One of the paths.
    """
    found = [start]
    for path in found:
        for name in IMPORT.findall(sources[path]):
            imported = posixpath.normpath(posixpath.join(posixpath.dirname(path), name))
            if imported not in found:
                found.append(imported)
    return found
