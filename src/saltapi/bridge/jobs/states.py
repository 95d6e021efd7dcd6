"""How far a job is, and what is known of each of its minions."""

import enum


class JobState(enum.StrEnum):
    """How far a job is."""

    RUNNING = "running"
    """Minions are waited for."""
    COMPLETE = "complete"
    """Every minion has returned, however it went."""
    INCOMPLETE = "incomplete"
    """Nobody is waited for any more, and some have not returned."""
    UNKNOWN = "unknown"
    """A past job in a list: nobody has looked at its returns."""


class MinionState(enum.StrEnum):
    """What is known of one minion of a job."""

    WAITING = "waiting"
    """It is waited for."""
    RUNNING = "running"
    """It has said to `saltutil.find_job` that it runs the job."""
    NO_ANSWER = "no_answer"
    """It has been asked and has not said so (yet)."""
    RETURNED = "returned"
    FAILED = "failed"
    """It has returned that the function failed."""
    NOT_CONNECTED = "not_connected"
    NO_RESPONSE = "no_response"
    """It is not waited for any more, and nothing tells why."""
    NOT_RECEIVED = "not_received"
    """It is there, and has said that it does not run the job."""
    RETURN_LOST = "return_lost"
    """It has run the job and runs it no more, and no return came."""
    RESTARTED = "restarted"
    """It has started anew after the job was published."""
    MASTER_AWAY = "master_away"
    """The master was away after the job was published."""
    MASTER_LOST = "master_lost"
    """The master that has published the job does not answer, and the log knows of no return."""
    BEHIND_SYNDIC = "behind_syndic"
    """It is a minion of a master below this one."""
    UNKNOWN = "unknown_minion"
    """The master knows no minion of this name."""
    NOT_RUN = "not_run"
    """A batch has ended before it was this minion's turn."""
    OUTCOME_UNKNOWN = "outcome_unknown"
    """It is not known whether the stage of a change that it was in was published."""
    TERMINATED = "terminated"
    KILLED = "killed"
