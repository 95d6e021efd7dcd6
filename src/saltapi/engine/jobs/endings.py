"""Jobs that are waited for here while another process ends them on their minions."""

import asyncio
import time

from saltapi.bridge.jobs.registered import RegisteredJob
from saltapi.bridge.jobs.states import JobState
from saltapi.engine.jobs.silence import Silence

LOOK_SECONDS = 1.0
"""How often it is looked whether the job has been ended."""
ENDING_SECONDS = 120.0
"""For so long after its minions were told to end it, a job may still be being ended."""


class Endings:
    """Looks for what has become of them, from when the bus shows that minions are to end them."""

    def __init__(self, silence: Silence) -> None:
        """
        Args:
            silence: Knows what other processes have told of jobs.
        """
        self._silence = silence
        self._until: dict[RegisteredJob, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, job: RegisteredJob) -> None:
        """Look, for a while, if anybody here waits for *job*; idempotent."""
        if not job.held:
            return
        is_new = job not in self._until
        self._until[job] = time.monotonic() + ENDING_SECONDS
        if is_new:
            task = asyncio.ensure_future(self._look(job))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Look no more; idempotent."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self, job: RegisteredJob) -> None:
        try:
            while job.state is JobState.RUNNING and time.monotonic() < self._until[job]:
                await asyncio.sleep(LOOK_SECONDS)
                await self._silence.recall_end(job)
        finally:
            del self._until[job]
