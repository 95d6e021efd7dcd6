"""
Values in, checked commands out.

Everything about a chunk that can be checked without asking the master is checked here, for
every chunk of a lowstate, before the first one runs (0.8.4, "Usage", "lowstate").
"""

from saltapi.lowstate.chunks import (
    MASTER_KEYS,
    METADATA_CHARACTERS,
    REFUSED_LOCAL_KEYS,
    RUNNER_KEYS,
    WHEEL_KEYS,
    Command,
    check,
    check_all,
    chunks_from,
    takes_long,
)
from saltapi.lowstate.credentials import CREDENTIAL_KEYS, credentials_of, with_bearer, with_token
from saltapi.lowstate.functions import FUNCTION_NAME_CHARACTERS, FUNCTIONS, check_argument_names
from saltapi.lowstate.targets import DELIMITER_CHARACTERS, TARGET_TYPES
from saltapi.lowstate.values import checked_jid, checked_minion_id, seconds

__all__ = [
    "CREDENTIAL_KEYS",
    "DELIMITER_CHARACTERS",
    "FUNCTIONS",
    "FUNCTION_NAME_CHARACTERS",
    "MASTER_KEYS",
    "METADATA_CHARACTERS",
    "REFUSED_LOCAL_KEYS",
    "RUNNER_KEYS",
    "TARGET_TYPES",
    "WHEEL_KEYS",
    "Command",
    "check",
    "check_all",
    "check_argument_names",
    "checked_jid",
    "checked_minion_id",
    "chunks_from",
    "credentials_of",
    "seconds",
    "takes_long",
    "with_bearer",
    "with_token",
]
