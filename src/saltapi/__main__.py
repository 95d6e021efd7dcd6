"""`python -m saltapi` is the `saltapi` command."""

from saltapi.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
