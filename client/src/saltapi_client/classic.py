"""What the URLs that every salt-api has can do of it: commands, jobs, keys, minions."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from saltapi_client import errors
from saltapi_client.api import Api
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
from saltapi_client.resources import Job, Key, ListedJob, Minion, made_from
from saltapi_client.runs import Records
from saltapi_client.shapes import part

ANSWER_SECONDS = 86400.0
"""How long a command may take where its answer comes all at once."""
LISTEN_SECONDS = 10.0
"""The wait for the event stream to begin, before the command is sent."""
SILENT_SECONDS = 10.0
"""After so many seconds without a return the silent minions are asked."""
POLL_SECONDS = 1.0
KEY_STATES = {
    "minions": "accepted",
    "minions_pre": "pending",
    "minions_rejected": "rejected",
    "minions_denied": "denied",
}


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


def posted(api: Api, chunk: Mapping[str, Any], *, every: bool = False) -> Any:
    """Return the result of one chunk sent to `/`; the whole list with *every*. It is sent once."""
    found = api.ask(
        "POST", "/", body=[dict(chunk)], timeout_seconds=ANSWER_SECONDS, repeatable=False
    )
    results = part(found, "return", list)
    return results if every else (results[0] if results else None)


def first(found: Any, name: str) -> dict[str, Any]:
    """Return the mapping that is the first in an answer's list; an empty one if there is none."""
    listed = mapping(found).get(name)
    return mapping(listed[0]) if isinstance(listed, list) and listed else {}


def mapping(value: Any) -> dict[str, Any]:
    """Return a value if it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def names(value: Any) -> list[str]:
    """Return a list of names, whatever an answer has in its place."""
    return [str(each) for each in value] if isinstance(value, list) else []


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


def function_result(found: Any) -> tuple[Any, bool]:
    """Return what a runner or wheel function returned, and whether it has failed."""
    data = found.get("data") if isinstance(found, dict) and "tag" in found else None
    if isinstance(data, dict) and "return" in data:
        return data["return"], data.get("success") is False
    failed = isinstance(found, str) and found.startswith("Exception occurred in")
    return found, failed


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


def job(api: Api, jid: str) -> Job:
    """Return a job as the job cache has it."""
    info = first(api.ask("GET", f"/jobs/{quote(jid, safe='')}"), "info")
    if "Error" in info or not info.get("Function"):
        raise errors.NotFound(f"There is no job {jid} in the master's job cache.", status=404)
    results = mapping(info.get("Result"))
    returns = {
        minion: result if isinstance(result, dict) and "return" in result else {"return": result}
        for minion, result in results.items()
    }
    expected = sorted(names(info.get("Minions")) or returns)
    failed = [m for m, r in returns.items() if minion_return(0, jid, {"id": m, **r}).failed]
    missing = {minion: "no_response" for minion in expected if minion not in returns}
    return Job(
        jid=jid,
        fun=info.get("Function"),
        arg=info.get("Arguments"),
        tgt=info.get("Target"),
        tgt_type=info.get("Target-type"),
        user=info.get("User"),
        start=info.get("StartTime"),
        state="incomplete" if missing else "complete",
        complete=not missing,
        expected=expected,
        returned=list(returns),
        failed=failed,
        missing=missing,
        returns=returns,
        raw=info,
    )


def jobs(api: Api) -> list[ListedJob]:
    """Return the jobs of the job cache, the newest first."""
    entries = first(api.ask("GET", "/jobs"), "return")
    return [
        ListedJob(
            jid=jid,
            fun=info.get("Function"),
            tgt=info.get("Target"),
            tgt_type=info.get("Target-type"),
            user=info.get("User"),
            start=info.get("StartTime"),
            raw=info,
        )
        for jid, info in sorted(entries.items(), reverse=True)
        if isinstance(info, dict)
    ]


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
            if found.complete or not running(self._api, jid, sorted(found.missing)):
                break
            self._closed.wait(POLL_SECONDS)
            found = job(self._api, jid)
        yield Summary(
            jid=jid,
            state=found.state,
            complete=found.complete,
            returned=found.returned,
            failed=found.failed,
            missing=found.missing,
        )


def minions(api: Api) -> list[Minion]:
    """Return the minions whose keys the master has; their grains are not asked for."""
    return [Minion(id=key.id, key=key.state) for key in keys(api)]


def keys(api: Api) -> list[Key]:
    """Return all keys with their states, and fingerprints where the user may see them."""
    lists = part(api.ask("GET", "/keys"), "return", dict)
    prints: dict[str, Any] = {}
    try:
        value, _ = function_result(
            posted(api, {"client": "wheel", "fun": "key.finger", "match": "*"})
        )
        prints = mapping(value)
    except errors.Error:
        pass  # names and states are what was asked for
    return [
        made_from(
            Key,
            {"id": name, "state": state, "fingerprint": mapping(prints.get(kind)).get(name)},
        )
        for kind, state in KEY_STATES.items()
        for name in sorted(names(lists.get(kind)))
    ]


def change_key(api: Api, minion: str, action: str) -> None:
    """Accept, reject or delete a key (`key.accept`, `key.reject`, `key.delete`)."""
    chunk: dict[str, Any] = {"client": "wheel", "fun": f"key.{action}", "match": minion}
    if action != "delete":
        chunk |= {"include_rejected": action == "accept", "include_accepted": action == "reject"}
    _, failed = function_result(posted(api, chunk))
    if failed:
        raise errors.ServerError(f"The master could not {action} the key of {minion}.")
