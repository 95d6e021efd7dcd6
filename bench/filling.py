"""Fills at once what a process remembers of jobs, and what would take it an hour to fill by use."""

import time

import salt.utils.event

from bench.worlds import GROUP, RealWorld
from saltapi.bridge.bus import job_starts
from saltapi.bridge.bus.job_starts import jid_at
from saltapi.engine.events import subjects

TABLES_JOBS = max(job_starts.JOBS_LIMIT, subjects.JIDS_LIMIT)
"""Of so many of the latest jobs, whoever started them, a process keeps what it has heard."""
AT_ONCE = 200
"""So many are announced before everybody gets a moment: a burst of all would take memory itself,
and what grows later would grow into that, unseen."""
PAUSE_SECONDS = 0.05


def announce_jobs(world: RealWorld, count: int = TABLES_JOBS) -> None:
    """Announce *count* jobs on the event bus, as the master does; nothing is published."""
    jid = ""
    with salt.utils.event.get_event(
        "master", sock_dir=world.master.options["sock_dir"], opts=world.options, listen=False
    ) as bus:
        for number in range(count):
            while (new := jid_at(time.time())) == jid:
                time.sleep(0)  # they are made of microseconds
            jid = new
            started = {
                "jid": jid,
                "tgt": f"{GROUP}-*",
                "tgt_type": "glob",
                "fun": "test.ping",
                "arg": [],
                "minions": [world.target],
                "missing": [],
                "user": world.master.username,
            }
            bus.fire_event(started, f"salt/job/{jid}/new")
            if number % AT_ONCE == 0:
                time.sleep(PAUSE_SECONDS)
