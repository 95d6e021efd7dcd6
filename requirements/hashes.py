"""Print requirements for the wheels in a folder, each with its hash: python hashes.py FOLDER"""

import hashlib
import sys
from pathlib import Path


def main(argv: list[str]) -> int:
    """Print a requirement for each wheel in the folder *argv[1]*."""
    for wheel in sorted(Path(argv[1]).glob("*.whl")):
        name, version, *_ = wheel.name.split("-")
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        sys.stdout.write(f"{name}=={version} --hash=sha256:{digest}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
