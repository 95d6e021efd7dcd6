"""
Fetch the JavaScript that the console ships, as console/static/vendor/vendor.json lists it.

`python packaging/vendor.py` asks npm for each package, takes the one file of it that is used, lets
it import its neighbours by path (browsers know no packages), and writes down the checksums. Change
a version in vendor.json, run it, and look at the difference.
"""

import hashlib
import json
import re
import subprocess
import tarfile
import tempfile
from pathlib import Path

VENDOR = Path(__file__).parents[1] / "src/saltapi/netapi/rest_asgi/console/static/vendor"
LIST = VENDOR / "vendor.json"


def main() -> None:
    """Write all files anew."""
    entries = json.loads(LIST.read_text())
    files = {entry["imported_as"]: entry["file"] for entry in entries}
    for entry in entries:
        text = _fetch(f"{entry['package']}@{entry['version']}", entry["path"])
        text = re.sub(r"\n//# sourceMappingURL=.*\n?", "\n", text)
        text = re.sub(r'(from|import) ?"([^".][^"]*)"', lambda m: _by_path(m, files), text)
        (VENDOR / entry["file"]).write_text(text)
        entry["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    LIST.write_text(json.dumps(entries, indent=2) + "\n")


def _fetch(package: str, path: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        packed = subprocess.run(
            ["npm", "pack", "--silent", "--pack-destination", folder, package],
            check=True,
            capture_output=True,
            text=True,
        )
        with tarfile.open(Path(folder, packed.stdout.strip())) as archive:
            member = archive.extractfile(f"package/{path}")
            if member is None:
                raise SystemExit(f"{package} has no file {path}")
            return member.read().decode()


def _by_path(found: re.Match[str], files: dict[str, str]) -> str:
    return f'{found[1]}"./{files[found[2]]}"'


if __name__ == "__main__":
    main()
