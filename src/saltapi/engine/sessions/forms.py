"""Kinds of tokens, told apart by how they look; nothing is said of what they open."""

import re
from typing import Any

TOKEN_FORMAT = re.compile(r"[0-9a-f]{32,128}")
MACHINE_PREFIX = "saltapi_"
MACHINE_FORMAT = re.compile(r"saltapi_[0-9a-f]{16}_[0-9a-f]{64}")
"""The prefix is for those who look for tokens that have leaked; the first part is the id."""


def is_token(value: Any) -> bool:
    """Return whether *value* has the form of a Salt token: the hex digest of a hash."""
    return isinstance(value, str) and TOKEN_FORMAT.fullmatch(value) is not None


def is_machine_token(value: Any) -> bool:
    """Return whether *value* has the form of a token for machines."""
    return isinstance(value, str) and MACHINE_FORMAT.fullmatch(value) is not None


def may_be_in_url(value: Any) -> bool:
    """Return whether *value* is a token that may stand in a URL: logs know how to hide it."""
    return is_token(value) or is_machine_token(value)
