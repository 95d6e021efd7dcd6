"""Running a job again: the same function and arguments, on all of its minions or on some."""

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from saltapi.bridge.jobs.registry import RegisteredJob
from saltapi.errors import Conflict, InvalidField
from saltapi.types import Chunk, MinionId

Choice: TypeAlias = Literal["all", "failed", "missing", "unsuccessful"] | Sequence[MinionId]
"""`unsuccessful` are those that have failed and those that have not returned."""


def chunk_for(job: RegisteredJob, choice: Choice) -> Chunk:
    """
    Return the chunk that runs *job* again.

    Args:
        job: The job.
        choice: On which of its minions; `all` takes the same target again.

    Raises:
        Conflict: It is no job of minions, or no minion is chosen.
        InvalidField: A name is none of the job's minions.
    """
    if job.kind != "local":
        raise Conflict("Only jobs of minions can be run again from here.")
    chunk: Chunk = {"client": "local", "fun": job.fun, **_arguments(job)}
    if choice == "all":
        return {**chunk, "tgt": job.tgt, "tgt_type": job.tgt_type or "glob"}
    minions = _chosen(job, choice)
    if not minions:
        raise Conflict(f"No minion of this job is {choice}; there is nothing to run again.")
    return {**chunk, "tgt": minions, "tgt_type": "list"}


def _chosen(job: RegisteredJob, choice: Choice) -> list[MinionId]:
    if not isinstance(choice, str):
        for name in choice:
            if name not in job.minions and name not in job.unknown:
                raise InvalidField(f"{name!r} is no minion of this job.", key="minions")
        return list(dict.fromkeys(choice))
    failed = job.failed if choice in {"failed", "unsuccessful"} else []
    silent = job.outstanding if choice in {"missing", "unsuccessful"} else []
    return [*failed, *silent]


def _arguments(job: RegisteredJob) -> dict[str, Any]:
    """Return `arg`, and `kwarg` for what was published as the named arguments."""
    arg = job.arg if isinstance(job.arg, list) else [job.arg]
    if isinstance(job.fun, list):
        return {"arg": arg}
    named: dict[str, Any] = {}
    positional: list[Any] = []
    for each in arg:
        if isinstance(each, dict) and each.get("__kwarg__") is True:
            named |= {key: value for key, value in each.items() if key != "__kwarg__"}
        else:
            positional.append(each)
    return {"arg": positional, **({"kwarg": named} if named else {})}
