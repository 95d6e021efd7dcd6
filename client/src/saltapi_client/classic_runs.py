"""Commands at the URLs that every salt-api has: sent to `/`, their returns from the event bus."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from saltapi_client import errors
from saltapi_client.api import Api
from saltapi_client.classic import function_result, job, mapping, names, posted
from saltapi_client.listening import Events
from saltapi_client.records import (
    Event,
    Gap,
    JobStarted,
    MinionReturn,
    Progress,
    Record,
    Summary,
)
from saltapi_client.runs import Records

LISTEN_SECONDS = 10.0
"""The wait for the event stream to begin, before the command is sent."""
SILENT_SECONDS = 10.0
"""After so many seconds without a return the silent minions are asked."""
POLL_SECONDS = 1.0


class ClassicRun(Records):
    """
    A lowstate sent to `/`, one chunk after the other.

    Chunks for `local` are started with `local_async` and their returns taken from the event bus:
    so it is known who was expected, and a long one outlives its connection.
    """

    def __init__(self, api: Api, chunks: Sequence[Mapping[str, Any]]) -> None:
        """
        Args:
            api: The server.
            chunks: The lowstate.
        """
        super().__init__()
        self._api = api
        self._chunks = list(chunks)

    def _records(self) -> Iterator[Record]:
        for number, chunk in enumerate(self._chunks):
            if self._closed.is_set():
                return
            if chunk.get("client", "local") == "local":
                yield from self._local(number, dict(chunk))
            else:
                yield from self._at_once(number, dict(chunk))

    def _local(self, number: int, chunk: dict[str, Any]) -> Iterator[Record]:
        started = time.monotonic()
        returns = Returns(self._api)
        try:
            try:
                found = posted(self._api, {**chunk, "client": "local_async"})
            except errors.BadRequest as error:
                if isinstance(error, errors.NotFound) or "local_async" not in error.detail:
                    raise
                yield from self._at_once(number, {**chunk, "client": "local"})
                return
            if not isinstance(found, dict) or not found.get("jid"):
                raise errors.NoMinionsMatched("The target matches no minion; nothing was run.")
            jid, expected = str(found["jid"]), sorted(names(found.get("minions")))
            self._note(jid)
            unknown = unknown_in(chunk, expected)
            yield JobStarted(
                chunk=number,
                jid=jid,
                fun=chunk.get("fun"),
                tgt=chunk.get("tgt"),
                tgt_type=chunk.get("tgt_type", "glob"),
                expected=expected,
                unknown_minions=unknown,
            )
            yield from self._returns(returns, number, jid, expected, started, chunk)
        finally:
            returns.close()

    def _returns(
        self,
        returns: Returns,
        number: int,
        jid: str,
        expected: list[str],
        started: float,
        chunk: Mapping[str, Any],
    ) -> Iterator[Record]:
        waiting = set(expected)
        returned: list[str] = []
        failed: list[str] = []
        silent = float(chunk.get("timeout") or SILENT_SECONDS)
        while waiting and not self._closed.is_set():
            found = returns.of(jid, silent)
            if found is None:
                runs = running(self._api, jid, sorted(waiting))
                returns_kept = returns.pending(jid)
                if not runs and not returns_kept:
                    break
                yield Progress(
                    chunk=number,
                    jid=jid,
                    returned=len(returned),
                    waiting={m: "running" if m in runs else "no_answer" for m in waiting},
                )
                continue
            record = minion_return(number, jid, found)
            if record.minion in returned:
                continue
            waiting.discard(record.minion)
            returned.append(record.minion)
            if record.failed:
                failed.append(record.minion)
            yield record
        missing = dict.fromkeys(sorted(waiting), "no_response")
        missing.update(dict.fromkeys(unknown_in(chunk, expected), "unknown_minion"))
        yield Summary(
            chunk=number,
            jid=jid,
            state="incomplete" if missing else "complete",
            complete=not missing,
            returned=returned,
            failed=failed,
            missing=missing,
            duration_seconds=round(time.monotonic() - started, 3),
        )

    def _at_once(self, number: int, chunk: dict[str, Any]) -> Iterator[Record]:
        """Yield the records of a chunk whose answer comes when all is done."""
        started = time.monotonic()
        client = str(chunk.get("client"))
        is_local = client.startswith(("local", "ssh"))
        if client == "local":
            chunk["full_return"] = True
        found = posted(self._api, chunk, every=True)
        seconds = round(time.monotonic() - started, 3)
        if client.endswith("_async"):
            first = found[0] if found and isinstance(found[0], dict) else {}
            self._note(str(first.get("jid", "")))
            yield JobStarted(
                chunk=number, jid=first.get("jid"), fun=chunk.get("fun"), client=client
            )
            yield Summary(chunk=number, jid=first.get("jid"), state="running", complete=False)
            return
        yield JobStarted(chunk=number, fun=chunk.get("fun"), tgt=chunk.get("tgt"), client=client)
        if not is_local:
            value, failed = function_result(found[0] if found else None)
            yield Summary(
                chunk=number,
                result=value,
                failed=[client] if failed else [],
                duration_seconds=seconds,
            )
            return
        merged: dict[str, Any] = {}
        for each in found:
            merged.update(mapping(each))
        if not merged:
            raise errors.NoMinionsMatched("No minion has returned; the target may match none.")
        records = [minion_return(number, None, {"id": m, **full(v)}) for m, v in merged.items()]
        yield from records
        yield Summary(
            chunk=number,
            returned=[record.minion for record in records],
            failed=[record.minion for record in records if record.failed],
            duration_seconds=seconds,
        )


class ClassicFollow(Records):
    """The records of a job that was started before, from the job cache."""

    def __init__(self, api: Api, jid: str) -> None:
        super().__init__()
        self._api = api
        self.jids = [jid]

    def _records(self) -> Iterator[Record]:
        jid = self.jids[0]
        found = job(self._api, jid)
        yield JobStarted(
            jid=jid,
            fun=found.fun,
            tgt=found.tgt,
            tgt_type=found.tgt_type,
            user=found.user,
            start=found.start,
            expected=found.expected,
        )
        told: set[str] = set()
        while not self._closed.is_set():
            for minion, value in found.returns.items():
                if minion not in told:
                    told.add(minion)
                    yield minion_return(0, jid, {"id": minion, **value})
            if found.complete:
                break
            runs = running(self._api, jid, sorted(found.missing))
            before, found = found, job(self._api, jid)  # who has ended may have returned meanwhile
            if runs:
                self._closed.wait(POLL_SECONDS)
            elif found.returns.keys() == before.returns.keys():
                break
        yield Summary(
            jid=jid,
            state=found.state,
            complete=found.complete,
            returned=found.returned,
            failed=found.failed,
            missing=found.missing,
        )


def unknown_in(chunk: Mapping[str, Any], expected: Sequence[str]) -> list[str]:
    """Return the names in a list target that the master does not know."""
    names = chunk.get("tgt")
    if chunk.get("tgt_type") != "list" or not isinstance(names, list):
        return []
    return [str(name) for name in names if name not in expected]


class Returns:
    """What minions return, from the event bus; it listens before the command is sent."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._events = Events(api, ["salt/job/*/ret/*"])
        self._queue: queue.Queue[Event | Gap | Exception] = queue.Queue()
        self._kept: list[dict[str, Any]] = []
        threading.Thread(target=self._read, daemon=True).start()
        self._events.listens.wait(LISTEN_SECONDS)

    def _read(self) -> None:
        try:
            for event in self._events:
                self._queue.put(event)
        except errors.Error as error:
            self._queue.put(error)

    def of(self, jid: str, seconds: float) -> dict[str, Any] | None:
        """Return the data of the next return of a job; None after so many silent seconds."""
        deadline = time.monotonic() + seconds
        while True:
            if self._kept:
                return self._kept.pop(0)
            try:
                found = self._queue.get(timeout=max(deadline - time.monotonic(), 0.0))
            except queue.Empty:
                return None
            if isinstance(found, Exception):
                raise found
            if isinstance(found, Gap):
                self._kept += from_cache(self._api, jid)
            elif isinstance(found.data, dict) and str(found.data.get("jid")) == jid:
                return found.data

    def pending(self, jid: str) -> bool:
        """Return whether the next one is there; what the master's job cache has counts too."""
        found = self.of(jid, 0.0)
        self._kept += from_cache(self._api, jid) if found is None else [found]
        return bool(self._kept)

    def close(self) -> None:
        """Stop listening."""
        self._events.close()


def full(value: Any) -> dict[str, Any]:
    """Return what a minion returned as the event has it, from `full_return` or without."""
    if isinstance(value, dict) and "ret" in value and "jid" in value:
        return {"return": value["ret"], "retcode": value.get("retcode", 0), "jid": value["jid"]}
    return {"return": value, "retcode": 0}


def minion_return(number: int, jid: str | None, data: Mapping[str, Any]) -> MinionReturn:
    """Return the record of a return event's data."""
    return MinionReturn(
        chunk=number,
        jid=jid or data.get("jid"),
        minion=str(data.get("id")),
        value=data.get("return"),
        retcode=data.get("retcode", 0),
        success=data.get("success", True),
    )


def running(api: Api, jid: str, minions: list[str]) -> set[str]:
    """Return who of *minions* says that it still runs a job."""
    found = posted(
        api,
        {
            "client": "local",
            "tgt": minions,
            "tgt_type": "list",
            "fun": "saltutil.find_job",
            "arg": [jid],
        },
    )
    return (
        {minion for minion, value in found.items() if value} if isinstance(found, dict) else set()
    )


def from_cache(api: Api, jid: str) -> list[dict[str, Any]]:
    """Return the returns of a job that the job cache has; none if the user may not look."""
    try:
        found = job(api, jid)
    except errors.Error:
        return []
    return [
        {"id": minion, "jid": jid, "return": r.get("return"), "retcode": r.get("retcode", 0)}
        for minion, r in found.returns.items()
    ]
