"""What the job cache says of a job when it was published."""

from collections.abc import Mapping
from typing import Any

LOST_TARGET = "unknown-target"
"""What Salt's runner functions name as the target of a job whose load is lost."""
NAMES = {
    "Function": "fun",
    "Arguments": "arg",
    "Target": "tgt",
    "Target-type": "tgt_type",
    "User": "user",
}
"""The keys of an entry as the runner functions format it, and those of a load."""
WANTED = (*NAMES.values(), "fun_args", "kwargs", "missing")


def facts_of(load: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a load, or an entry as the runner functions format it, says of its job."""
    known = {NAMES.get(key, key): value for key, value in load.items()}
    if known.get("tgt") == LOST_TARGET:  # what Salt puts in place of what is not there
        known = {key: known[key] for key in known if key not in {"tgt", "tgt_type", "user"}}
        known["arg"] = known.get("arg") or None
    return {key: known.get(key) for key in WANTED}


def is_of_master(load: Mapping[str, Any]) -> bool:
    """
    Return whether *load*, of a job cache, is what the master has written when it published a job.

    Where the cache is not `local_cache`, and for jobs that began on a minion or are functions of
    the master, what was returned takes its place (`salt.utils.job.store_job`), and a minion can
    return to any job, and say in it whose the job is.
    """
    return bool(load) and "return" not in load
