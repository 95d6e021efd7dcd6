"""What is published for a command."""

from saltapi.bridge.jobs.jobs import JobRequest
from saltapi.bridge.requests.arguments import as_published
from saltapi.lowstate import Command
from saltapi.types import Credentials


def job_request(command: Command, credentials: Credentials) -> JobRequest:
    """Return what is to be published for a local *command*."""
    return JobRequest(
        tgt=command.tgt,
        tgt_type=command.tgt_type,
        fun=command.fun,
        arg=as_published(command.args, command.kwargs),
        credentials=credentials,
        ret=command.ret,
        jid=command.jid,
        timeout_seconds=command.timeout_seconds,
        gather_job_timeout_seconds=command.gather_job_timeout_seconds,
        extra=command.extra,
        lends=command.lends,
        client=command.client,
    )
