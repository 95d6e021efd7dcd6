"""The facts that an answer to "why is it silent" rests on, each with its time."""

import time
from dataclasses import dataclass, field
from typing import Any

from saltapi.bridge.bus.outages import Outages
from saltapi.bridge.fleet.keys import KeyState
from saltapi.bridge.jobs.registered import RegisteredJob
from saltapi.engine.fleet.minion import Minion
from saltapi.engine.fleet.sight import Sight
from saltapi.engine.jobs.times import time_text
from saltapi.masking import without_private_keys
from saltapi.types import MinionId, Session

FACTS_LIMIT = 30
TARGET_CHARACTERS = 200
OUTAGES_SHOWN = 5
SIGNS = {
    "return": "it returned something",
    "auth": "it signed in",
    "start": "it started",
    "beacon": "it sent a beacon's event",
    "event": "it sent an event",
    "presence": "the master saw its connection",
    "data": "the master cached its grains",
}
ACTS = {"accept": "accepted", "reject": "rejected", "delete": "deleted", "pend": "pending"}


class Facts:
    """Some facts; those without a time are true now."""

    def __init__(self) -> None:
        self._found: list[tuple[float, str]] = []

    def add(self, at: float | None, what: str) -> None:
        """Add a fact with its time in epoch seconds, None for now."""
        self._found.append((time.time() if at is None else at, what))

    def told(self) -> list[dict[str, Any]]:
        """Return the facts in the order of their times."""
        ordered = sorted(self._found, key=lambda fact: fact[0])[-FACTS_LIMIT:]
        return [{"time": time_text(at), "what": what} for at, what in ordered]


@dataclass(slots=True)
class Case:
    """What is asked, and what was found out."""

    session: Session
    sight: Sight
    minion: Minion
    states: frozenset[KeyState]
    """Of the keys of its id, as far as the session may see them."""
    keys_known: bool
    connected: bool | None
    answered: bool | None = None
    """Whether it has answered now; None if it was not asked."""
    facts: Facts = field(default_factory=Facts)
    details: str = ""


def of_minion(case: Case) -> None:
    """Add what is known of the minion itself."""
    minion, add = case.minion, case.facts.add
    for state in sorted(case.states):
        add(None, f"The master has a key of it that is {state}.")
    if minion.key_act is not None and case.sight.shows_keys:
        at, act = minion.key_act
        add(at, f"Its key was {ACTS.get(act, 'changed')}.")
    if minion.refused is not None and case.sight.shows_keys:
        add(minion.refused[0], "The master refused a key that came under its id.")
    if minion.started_at is not None:
        add(minion.started_at, "It said that it has started.")
    if minion.seen_at is not None:
        what = SIGNS.get(minion.seen_by or "", "it gave a sign of life")
        add(minion.seen_at, f"It was seen last: {what}.")
    if minion.is_silent and minion.lost_at is not None:
        add(minion.lost_at, "It was asked, and has given no sign of life since.")
    if case.connected is not None and (case.states or not case.keys_known):
        held = "is connected to the master" if case.connected else "is not connected to the master"
        add(None, f"It {held}, as far as the connections and its last signs of life tell.")


def of_outages(case: Case, outages: Outages, since: float) -> None:
    """Add when the bus was not heard after *since*, in epoch seconds."""
    for outage in outages.since(since)[-OUTAGES_SHOWN:]:
        case.facts.add(outage.begin, "The master's event bus was lost.")
        if outage.end is not None:
            case.facts.add(outage.end, "The master's event bus was heard again.")


def of_job(case: Case, job: RegisteredJob) -> None:
    """Add what is known of the job, on this minion."""
    name, add = case.minion.id, case.facts.add
    fun = job.fun if isinstance(job.fun, str) else ", ".join(map(str, job.fun or ()))
    target = "" if job.tgt in (None, "") else f" for {job.tgt_type or 'glob'} {_short(job.tgt)}"
    add(job.started_at, f"The job was published: {fun}{target}.")
    if job.asked_at is not None and name in job.answers:
        add(job.asked_at, "It was asked whether it runs the job.")
    if (reply := job.replies.get(name)) is not None:
        said = "runs the job" if reply.running else "does not run the job"
        add(reply.at, f"It said that it {said}.")
    if text := how_far_text(job, name):
        add(None, f"What it has told of its states{text}.")


def how_far_text(job: RegisteredJob, minion: MinionId) -> str:
    """Return at which state a minion is; nothing if it has not told."""
    known = job.progress.minions.get(minion)
    if known is None or known.ended or not known.number:
        return ""
    state = without_private_keys({"id": known.last[0]})["id"]
    return f": state {known.number} of {known.of or '?'}, {_short(state)}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= TARGET_CHARACTERS else f"{text[:TARGET_CHARACTERS]}…"
