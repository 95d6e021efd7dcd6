"""The command `saltctl`, also as `python -m saltapi_client`."""

from __future__ import annotations

import sys

from saltapi_client.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
