"""Why a minion is silent: the codes, what each means, and what to do about it."""

import enum


class Code(enum.StrEnum):
    """The answer in one word; those of `MinionState` that say why somebody has not returned."""

    CONNECTED = "connected"
    RETURNED = "returned"
    RETURNED_LATE = "returned_late"
    RETURNED_IN_GAP = "returned_in_gap"
    WAITING = "waiting"
    RUNNING = "running"
    NOT_ASKED = "not_asked"
    NOT_RECEIVED = "not_received"
    RETURN_LOST = "return_lost"
    RESTARTED = "restarted"
    MASTER_AWAY = "master_away"
    MASTER_LOST = "master_lost"
    NOT_CONNECTED = "not_connected"
    NO_RESPONSE = "no_response"
    KEY_PENDING = "key_pending"
    KEY_REJECTED = "key_rejected"
    KEY_DENIED = "key_denied"
    KEY_MISSING = "key_missing"
    BEHIND_SYNDIC = "behind_syndic"
    NOT_MATCHED = "not_matched"
    TERMINATED = "terminated"
    KILLED = "killed"
    NOT_RUN = "not_run"
    OUTCOME_UNKNOWN = "outcome_unknown"
    UNKNOWN_MINION = "unknown_minion"
    UNKNOWN_JOB = "unknown_job"
    NOT_PERMITTED = "not_permitted"


RUN_AGAIN = "Run it again on this minion, POST /v1/jobs/{jid}/rerun, once you know that it may."
ON_THE_MACHINE = (
    "See on the machine whether salt-minion runs, what its log says, and whether it reaches the"
    " master's ports {ports}."
)

SENTENCES: dict[Code, tuple[str, str]] = {
    Code.CONNECTED: ("{minion} is connected.", "Nothing; name a job with jid to ask about it."),
    Code.RETURNED: ("{minion} has returned the job{details}.", "See GET /v1/jobs/{jid}."),
    Code.RETURNED_LATE: (
        "{minion} has returned the job, when nobody waited for it any more{details}.",
        "See GET /v1/jobs/{jid}; wait longer the next time, with a higher timeout.",
    ),
    Code.RETURNED_IN_GAP: (
        "{minion} has returned the job while the event bus was not heard: the return is in the"
        " job cache.",
        "See GET /v1/jobs/{jid}.",
    ),
    Code.WAITING: (
        "{minion} has not returned the job yet, and is waited for.",
        "Wait: GET /v1/jobs/{jid}?wait=30.",
    ),
    Code.RUNNING: ("{minion} still runs the job{details}.", "Wait: GET /v1/jobs/{jid}?wait=30."),
    Code.NOT_ASKED: (
        "Nothing was heard of {minion} about this, and nobody has asked it of late.",
        "Ask it: send ask=true along.",
    ),
    Code.NOT_RECEIVED: (
        "{minion} is connected and does not run the job: it has not received it, or has refused"
        " it.",
        RUN_AGAIN,
    ),
    Code.RETURN_LOST: (
        "{minion} has run the job and runs it no more, and no return has come.",
        "See the minion's log: its return may be too large, or its process may have been killed.",
    ),
    Code.RESTARTED: (
        "{minion} was started anew after the job was published, and does not run it any more.",
        RUN_AGAIN,
    ),
    Code.MASTER_AWAY: (
        "The master was away{details}: what it publishes and what minions return may be lost.",
        "See whether salt-master runs; look at GET /readyz, and run the job again if need be.",
    ),
    Code.MASTER_LOST: (
        "The master that has published the job does not answer; the event log knows of no return.",
        "Start that master and its door; or run the job here, POST /v1/jobs/{jid}/rerun.",
    ),
    Code.NOT_CONNECTED: ("{minion} is not connected to the master{details}.", ON_THE_MACHINE),
    Code.NO_RESPONSE: (
        "{minion} does not answer, though it may be connected{details}.",
        ON_THE_MACHINE,
    ),
    Code.KEY_PENDING: (
        "The key of {minion} waits to be accepted; until then the master does not speak to it.",
        "Compare its fingerprint, then POST /v1/keys/{quoted}/accept.",
    ),
    Code.KEY_REJECTED: (
        "The key of {minion} was rejected; the master does not speak to it.",
        "If that is a mistake, POST /v1/keys/{quoted}/accept and start salt-minion again.",
    ),
    Code.KEY_DENIED: (
        "Somebody has come as {minion} with another key than the one the master has, and was"
        " denied.",
        "If the machine was set up anew, DELETE /v1/keys/{quoted} and accept its new key; else find"
        " out who it is.",
    ),
    Code.KEY_MISSING: (
        "The master has no key of {minion}: it was deleted, or never came.",
        "Start salt-minion there, and see that its option master names this master.",
    ),
    Code.BEHIND_SYNDIC: (
        "{minion} is no minion of this master; it may be one of a master below, whose syndic passes"
        " on what it returns.",
        "Ask on the masters below, and see whether salt-syndic runs there.",
    ),
    Code.NOT_MATCHED: (
        "The job was not for {minion}: {details}.",
        "See with GET /v1/minions?tgt=… whom a target matches.",
    ),
    Code.TERMINATED: ("The job was terminated on {minion}.", RUN_AGAIN),
    Code.KILLED: ("The job was killed on {minion}.", RUN_AGAIN),
    Code.NOT_RUN: (
        "The job was ended before it was the turn of {minion}.",
        RUN_AGAIN,
    ),
    Code.OUTCOME_UNKNOWN: (
        "It is not known whether the stage of the change that {minion} was in was published.",
        "See GET /v1/jobs/{jid} for its stages, and look at the minion before it runs again.",
    ),
    Code.UNKNOWN_MINION: (
        "The master knows no minion {minion}.",
        "See GET /v1/minions for the ids that there are.",
    ),
    Code.UNKNOWN_JOB: (
        "There is no job {jid}, or it is forgotten.",
        "See GET /v1/jobs for the jobs that there are.",
    ),
    Code.NOT_PERMITTED: (
        "There is no such minion, or no such job of it, that you may see.",
        "See GET /v1/whoami for what you may, and ask who operates the master.",
    ),
}
"""What each code means, and what to do next."""
