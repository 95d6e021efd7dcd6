"""
Runs with an idempotency key: the second request with the same key gets the jobs of the first.

Jobs of minions are found by their ids, whoever has started them and whenever. What has no id of
ours, or cannot be found by it (functions of the master, batches, salt-ssh), is kept with the key.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from saltapi.bridge.jobs.registered import RegisteredJob, returned
from saltapi.bridge.jobs.states import MinionState
from saltapi.engine.jobs.service import JobService
from saltapi.engine.operations.runs import Part, Prepared, Run, Runs
from saltapi.engine.store.idempotency import Keyed
from saltapi.engine.store.outcomes import error_as_data, error_from_data, is_unknown
from saltapi.errors import NotFound, OutcomeUnknown, SaltApiError
from saltapi.types import Jid, Session

APPEAR_SECONDS = 2.0
"""How long a job that another process has published takes to be seen here, at most."""
POLL_SECONDS = 0.1


class Replays:
    """Starts runs once for each key, and finds them again."""

    def __init__(self, runs: Runs, job_service: JobService) -> None:
        """
        Args:
            runs: Starts them.
            job_service: Finds their jobs.
        """
        self._runs = runs
        self._job_service = job_service
        self._noting: set[asyncio.Task[None]] = set()

    async def find(self, keyed: Keyed, session: Session) -> Run | None:
        """
        Return the run that the first request with this key has started; None if it is the first.

        Raises:
            KeyReused: The key belongs to another request.
            StillStarting: The first request has not started everything yet.
            OutcomeUnknown: It was broken off, and its jobs cannot be found.
            SaltApiError: What the first request was answered with.
        """
        known = await keyed.find(session)
        return None if known is None else await self._run_of(keyed, session, known)

    async def start(self, keyed: Keyed, prepared: Prepared) -> Run:
        """
        Start the commands under the request's key; or the same as `find`.

        Raises:
            What `Runs.start` and `find` raise.
        """
        session = prepared.session
        reservation = await keyed.reserve(session, prepared.commands)
        if reservation.repeated:
            return await self._run_of(keyed, session, reservation)
        try:
            run = await self._runs.start(Prepared(session, tuple(reservation.commands)))
            if len(run.parts) == 1:
                await reservation.started(run.jids)
        except SaltApiError as error:
            await asyncio.shield(reservation.failed(error))
            raise
        except BaseException:
            await asyncio.shield(reservation.end())
            raise
        task = asyncio.create_task(_note(run, reservation))
        self._noting.add(task)
        task.add_done_callback(self._noting.discard)
        return run

    async def close(self) -> None:
        """Note what is known of the runs that are on their way; idempotent."""
        tasks = list(self._noting)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run_of(self, keyed: Keyed, session: Session, known: Keyed) -> Run:
        if known.results is None and not await self._all_found(session, known):
            if known.broken:
                raise known.unknown()
            known = await keyed.find(session, ended=True) or known
        kept = known.results or []
        parts: list[Part] = []
        for index, jid in enumerate(known.jids):
            data = kept[index] if index < len(kept) else None
            part = Part(index, None)
            if data is not None and "error" in data:
                part.error = error_from_data(data["error"])
            elif data is not None:
                part.job = self._restored(session, data)
                part.only_started = data["only_started"]
            elif jid is not None:
                part.job = await self._found(session, jid)
            if part.job is None and part.error is None:
                raise known.unknown()
            parts.append(part)
            if part.error is not None:
                break
        return Run(self._job_service, session, parts, whole=True)

    async def _all_found(self, session: Session, known: Keyed) -> bool:
        for jid in known.jids:
            if jid is None or await self._found(session, jid) is None:
                return False
        return True

    async def _found(self, session: Session, jid: Jid) -> RegisteredJob | None:
        deadline = time.monotonic() + APPEAR_SECONDS
        while True:
            try:
                return await self._job_service.get(session, jid)
            except (NotFound, OutcomeUnknown):
                if time.monotonic() > deadline:
                    return None
            await asyncio.sleep(POLL_SECONDS)

    def _restored(self, session: Session, data: Mapping[str, Any]) -> RegisteredJob:
        job = self._job_service.registry.new(data["jid"], data["kind"])
        job.describe(data)
        job.own(session.name, session.eauth)
        job.started_at, job.ended_at = data["started_at"], data["ended_at"]
        job.expect(data["minions"])
        for minion, found in data["returns"].items():
            job.take(returned(minion, found, arrived_at=found["arrived_at"]), 0)
        if data["settled"]:
            job.settle({minion: MinionState(why) for minion, why in data["silent"].items()})
        return job


async def _note(run: Run, reservation: Keyed) -> None:
    """Follow *run* to its end and keep with the key what a repeat needs."""
    try:
        results: list[Any] = []
        for part in run.parts:
            try:
                await run.started(part)
            except SaltApiError as error:
                if is_unknown(error):
                    return
                results.append({"error": error_as_data(error)})
                break
            results.append(None)
        await reservation.started(run.jids)
        for index, part in enumerate(run.parts):
            job = part.job
            if job is None or (_is_found_by_jid(job) and not part.only_started):
                continue
            while not (job.settled or job.error or part.only_started):
                await job.pulse().wait()
            results[index] = {**_snapshot(job), "only_started": part.only_started}
        await reservation.done(results)
    finally:
        await asyncio.shield(reservation.end())


def _is_found_by_jid(job: RegisteredJob) -> bool:
    return job.kind == "local" and bool(job.jid)


def _snapshot(job: RegisteredJob) -> dict[str, Any]:
    if job.error is not None:
        error = job.error if isinstance(job.error, SaltApiError) else SaltApiError(str(job.error))
        return {"error": error_as_data(error)}
    return {
        "jid": job.jid,
        "kind": job.kind,
        "fun": job.fun,
        "arg": job.arg,
        "tgt": job.tgt,
        "tgt_type": job.tgt_type,
        "started_at": job.started_at,
        "ended_at": job.ended_at,
        "minions": list(job.minions),
        "settled": job.settled,
        "silent": {minion: str(why) for minion, why in job.silent.items()},
        "returns": {
            found.minion: {
                "return": found.read(),
                "retcode": found.retcode,
                "success": found.success,
                "arrived_at": found.arrived_at,
            }
            for found in job.returns.values()
        },
    }
