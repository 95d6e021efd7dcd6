"""
The events of Salt's own batches, so that `salt-run batch.status` and `batch.list_active` know ours.

Since Salt 3008 the master keeps what an event says of a batch that another process drives
(`driver: cli`, `salt.utils.batch_manager.BatchManager`). Arguments are not among it.
"""

import time
from typing import Any, Literal

from saltapi.bridge.bus.events import Event
from saltapi.bridge.jobs.batches import BEGUN, Batch, StageState
from saltapi.bridge.salt_line import SALT_LINE
from saltapi.types import Jid, Tag

KNOWN = SALT_LINE >= 3008
"""Whether the installed Salt knows batches."""
PREFIX = "salt/batch/"
What = Literal["new", "progress", "complete", "halted"]


def event_of(batch: Batch, what: What) -> tuple[Tag, dict[str, Any]]:
    """Return tag and data of the event that says *what* of *batch*."""
    done: dict[str, Any] = {}
    failed: dict[str, str] = {}
    active: dict[str, float] = {}
    pending: list[str] = []
    for stage in batch.stages:
        minions = batch.minions_of(stage)
        if stage.state in BEGUN:
            active |= dict.fromkeys(minions, stage.started_at or batch.started_at)
        elif stage.state in {StageState.PENDING, StageState.NOT_RUN}:
            pending += minions
        else:
            failed |= dict.fromkeys(stage.missing, "timeout")
            bad = set(stage.failed)
            done |= {m: {"retcode": int(m in bad)} for m in minions if m not in stage.missing}
    base = {
        "jid": batch.jid,
        "fun": batch.fun,
        "tgt": batch.tgt,
        "tgt_type": batch.tgt_type,
        "user": batch.user,
        "driver": "cli",
    }
    size = max((stage.end - stage.first for stage in batch.stages), default=1)
    state = {
        **base,
        "all_minions": list(batch.minions),
        "pending": pending,
        "active": active,
        "done": done,
        "failed": failed,
        "wait": [],
        "batch_size": size,
        "arg": [],
        "kwargs": {},
        "failhard": batch.plan.get("max_failed") is not None,
        "batch_wait": batch.plan.get("wait", 0),
        "timeout": 60 if batch.timeout_seconds is None else batch.timeout_seconds,
        "gather_job_timeout": 10,
        "last_progress": time.time(),
        "created": batch.started_at,
        "halted": what == "halted",
        "halted_reason": batch.reason if what == "halted" else None,
        "ret": batch.ret,
    }
    counts = {
        "total_minions": len(batch.minions),
        "batch_size": size,
        "created": batch.started_at,
        "completed": len(done),
        "active": len(active),
        "pending": len(pending),
        "failed": len(failed),
        "reason": state["halted_reason"],
    }
    return f"{PREFIX}{batch.jid}/{what}", {**base, **counts, "state": state}


def is_stopped(event: Event) -> Jid | None:
    """Return the batch that the master says is halted (`salt-run batch.stop`); None otherwise."""
    parts = event.tag.split("/")
    if len(parts) != 4 or parts[3] != "halted" or "state" in event.data:  # that one is ours
        return None
    return parts[2]
