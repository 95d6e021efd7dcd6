"""What the URLs that every salt-api has can tell: jobs, keys, minions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from saltapi_client import errors
from saltapi_client.api import Api
from saltapi_client.resources import Job, Key, ListedJob, Minion, made_from
from saltapi_client.shapes import part

ANSWER_SECONDS = 86400.0
"""How long a command may take where its answer comes all at once."""
KEY_STATES = {
    "minions": "accepted",
    "minions_pre": "pending",
    "minions_rejected": "rejected",
    "minions_denied": "denied",
}


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


def has_failed(result: Mapping[str, Any]) -> bool:
    """Return whether a function has failed, by what the job cache has of its return."""
    return result.get("success") is False or result.get("retcode") not in (0, None)


def function_result(found: Any) -> tuple[Any, bool]:
    """Return what a runner or wheel function returned, and whether it has failed."""
    data = found.get("data") if isinstance(found, dict) and "tag" in found else None
    if isinstance(data, dict) and "return" in data:
        return data["return"], data.get("success") is False
    failed = isinstance(found, str) and found.startswith("Exception occurred in")
    return found, failed


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
    failed = [minion for minion, result in returns.items() if has_failed(result)]
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
