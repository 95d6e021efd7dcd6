"""What a change in stages has published, as `bridge.jobs` takes it."""

from dataclasses import replace

from saltapi.bridge.jobs.batches import Batch, Stage
from saltapi.bridge.jobs.jobs import JobRequest
from saltapi.lowstate.stages import PING
from saltapi.types import Credentials, Session


def whole_request(batch: Batch, session: Session) -> JobRequest:
    """Return what would run on the whole target at once."""
    return JobRequest(
        tgt=batch.tgt,
        tgt_type=batch.tgt_type,
        fun=batch.fun,
        arg=tuple(batch.arg),
        credentials=Credentials(token=session.token, session=session),
        ret=batch.ret,
        timeout_seconds=batch.timeout_seconds,
        gather_job_timeout_seconds=batch.gather_job_timeout_seconds,
        extra=tuple((str(key), value) for key, value in batch.extra),
    )


def stage_request(batch: Batch, session: Session, stage: Stage) -> JobRequest:
    """Return what runs on the minions of a stage; it is not published when its sender is gone."""
    whole = whole_request(batch, session)
    extra = tuple((key, value) for key, value in whole.extra if key != "delimiter")
    minions = batch.minions_of(stage)
    return replace(whole, tgt=minions, tgt_type="list", jid=stage.jid, lends=True, extra=extra)


def question(request: JobRequest) -> JobRequest:
    """Return what asks the target of *request* who is there."""
    extra = tuple((key, value) for key, value in request.extra if key == "delimiter")
    return replace(request, fun=PING, arg=(), ret="", jid=None, lends=False, extra=extra)
