"""
What Salt loads by itself, in the master and in its commands: modules in folders named as Salt's.

Every process of Salt imports this file, so it imports nothing; `salt.loader` in pyproject.toml
names it.
"""

import os


def directories() -> dict[str, list[str]]:
    """Return the directories of Salt's kinds of modules that have some of ours."""
    here = os.path.dirname(__file__)
    package = os.path.dirname(os.path.dirname(here))
    return {
        "auth": [os.path.join(here, "auth")],
        "cache": [os.path.join(here, "cache")],
        "tokens": [os.path.join(here, "tokens")],
        "netapi": [os.path.join(package, "netapi", "_salt_api")],
    }
