"""
A master made of a few lines, for tests of what can go wrong between it and us.

`FakeMaster` answers publishes and fires on a real hub what minions would; the tests of the
client interfaces use real masters.
"""

import asyncio
from collections.abc import Callable, Collection
from typing import Any

import salt.payload

from saltapi.bridge.bus.hub import Hub
from saltapi.bridge.bus.job_starts import JobStarts
from saltapi.bridge.jobs.jobs import JobRequest, Jobs
from saltapi.errors import NoMinionsMatched
from saltapi.types import Credentials, Published

CREDENTIALS = Credentials(token="5ec7e7" * 8)
BIG = 64 * 1024 * 1024


def frame_body(tag: str, data: Any) -> bytes:
    """Return an event as it travels on the bus."""
    payload: bytes = salt.payload.dumps(data, use_bin_type=True)
    return tag.encode() + b"\n\n" + payload


def new_hub(*, history_bytes: int = BIG, queue_bytes: int = BIG) -> Hub:
    """Return a hub that holds whatever a test gives it, of jobs at any time."""
    starts = JobStarts(late_seconds=float("inf"))
    return Hub(history_bytes=history_bytes, queue_bytes=queue_bytes, starts=starts)


def job_request(tgt: Any = "*", fun: Any = "test.ping", **more: Any) -> JobRequest:
    """Return a request with short times."""
    times = {"timeout_seconds": 0.05, "gather_job_timeout_seconds": 0.05}
    return JobRequest(tgt=tgt, fun=fun, credentials=CREDENTIALS, **{**times, **more})


class FakeMaster:
    """Knows *minions*; what they do is set by the attributes."""

    def __init__(self, hub: Hub, minions: Collection[str] = (), missing: tuple[str, ...] = ()):
        self.hub = hub
        self.minions = list(minions)
        self.missing = missing
        self.loads: list[dict[str, Any]] = []
        """What has been published, without `saltutil.find_job`."""
        self.questions: list[dict[str, Any]] = []
        """The publishes of `saltutil.find_job`."""
        self.running: set[str] = set()
        """The minions that say to `saltutil.find_job` that they are at it."""
        self.idle: set[str] = set()
        """The minions that say to `saltutil.find_job` that they are not."""
        self.before_answer: Callable[[dict[str, Any], list[str]], None] = lambda *_: None
        """Called with the load and its minions before the publish is answered."""
        self.error: Exception | None = None
        """What the next publishes end with."""
        self.answer_jid: str | None = None
        """The jid to answer with, if it is not that of the load."""

    async def publish(self, **load: Any) -> Published:
        """Answer as `Master.publish`."""
        question = load["fun"] == "saltutil.find_job"
        (self.questions if question else self.loads).append(load)
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        chosen = self.minions
        if load["tgt_type"] == "list":
            chosen = [minion for minion in self.minions if minion in load["tgt"]]
        if not chosen:
            raise NoMinionsMatched("No minions matched the target.")
        if question:
            for minion in chosen:
                if minion in self.running | self.idle:
                    running = {"jid": load["arg"][0], "pid": 1} if minion in self.running else {}
                    self.returned(load["jid"], minion, running)
        else:
            self.before_answer(load, chosen)
        return Published(self.answer_jid or load["jid"], tuple(chosen), self.missing)

    def fire(self, tag: str, data: Any) -> None:
        """Put an event on the bus."""
        self.hub.dispatch(frame_body(tag, data))

    def returned(self, jid: str, minion: str, value: Any = True, **more: Any) -> None:
        """Let *minion* return *value*."""
        data = {"id": minion, "jid": jid, "return": value, "retcode": 0, "success": True}
        self.fire(f"salt/job/{jid}/ret/{minion}", {**data, **more})


class FakePresence:
    """Says which minions have no connection, after `look` was awaited."""

    def __init__(self) -> None:
        self.gone: set[str] = set()
        self.syndics: set[str] = set()
        self.look: Callable[[], None] = lambda: None

    async def not_connected(self, minions: set[str]) -> set[str]:
        """Answer as `Presence.not_connected`."""
        await asyncio.sleep(0)
        self.look()
        return minions & self.gone

    def is_syndic(self, minion: str) -> bool:
        """Answer as `Presence.is_syndic`."""
        return minion in self.syndics


class Cleared:
    """Lets everything pass."""

    async def clear(self, request: JobRequest) -> JobRequest:
        """Answer as `Clearance.clear`."""
        return request

    async def check_absence(self, request: JobRequest) -> None:
        """Answer as `Clearance.check_absence`."""


def new_jobs(master: FakeMaster, presence: FakePresence | None = None, **opts: Any) -> Jobs:
    """Return jobs at *master*."""
    opts = {"timeout": 5, "gather_job_timeout": 10, **opts}
    present: Any = presence or FakePresence()
    return Jobs(opts, master.hub, master, present, Cleared())  # type: ignore[arg-type]
