"""
Running a job again: the same function and arguments, on all of its minions or on some.

What the event bus and the job cache say of a job may be forged by whoever is root on a minion, and
runs with the rights of whoever asks for it. So it runs only if it is what was recorded when the job
was started here; else it is shown first, and runs when exactly that is confirmed.
"""

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from saltapi.bridge.bus.job_starts import Source
from saltapi.bridge.jobs.registered import RegisteredJob
from saltapi.bridge.jobs.states import MinionState
from saltapi.engine.jobs.owners import digest
from saltapi.errors import ConfirmationNeeded, Conflict, InvalidField
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
        Conflict: It is no job of minions, what it has run is not known, or no minion is chosen.
        InvalidField: A name is none of the job's minions.
    """
    if job.kind != "local":
        raise Conflict("Only jobs of minions can be run again from here.")
    if not job.fun or job.arg is None:
        raise Conflict("What this job has run is not known any more; send the command itself.")
    chunk: Chunk = {"client": "local", "fun": job.fun, **_arguments(job)}
    if job.batch is not None:
        chunk["batch"] = dict(job.batch.plan)
    if choice == "all" and job.tgt is not None:
        delimiter = {} if job.delimiter is None else {"delimiter": job.delimiter}
        return {**chunk, "tgt": job.tgt, "tgt_type": job.tgt_type or "glob", **delimiter}
    minions = list(job.minions) if choice == "all" else _chosen(job, choice)
    if not minions:
        raise Conflict(f"No minion of this job is {choice}; there is nothing to run again.")
    return {**chunk, "tgt": minions, "tgt_type": "list"}


def check_confirmed(
    job: RegisteredJob, choice: Choice, chunk: Chunk, *, recorded: bool, confirm: str | None
) -> None:
    """
    Return if *chunk* may run: it was recorded, or it was shown before and is confirmed.

    Args:
        job: The job that is run again.
        choice: On which of its minions.
        chunk: What `chunk_for` returned.
        recorded: Whether function, arguments and target of the job are those that were recorded.
        confirm: What the client has sent to confirm.

    Raises:
        ConfirmationNeeded: It has to be shown first.
    """
    wanted, is_lost = digest(chunk), MinionState.MASTER_LOST in job.silent.values()
    if confirm == wanted or (recorded and not is_lost and _are_sure(job, choice, chunk)):
        return
    changed = "" if confirm is None else "This is not what you have confirmed. "
    why = "The master of this job is lost: the command shown here would run at another one"
    if not is_lost:
        why = "It is not sure that this job has run the command shown here"
    raise ConfirmationNeeded(
        f"{changed}{why}. If it is what you"
        " want to run, send the request again with the field 'confirm' of this answer.",
        command=chunk,
        confirm=wanted,
    )


def _are_sure(job: RegisteredJob, choice: Choice, chunk: Chunk) -> bool:
    """Return whether the minions of *chunk* are some that the job was for, or the client names."""
    if not isinstance(choice, str) or (choice == "all" and job.tgt is not None):
        return True
    sure = job.base if job.source is not Source.READ else ()
    named = job.tgt if isinstance(job.tgt, list) else ()
    return set(chunk["tgt"]) <= {*sure, *named}


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
