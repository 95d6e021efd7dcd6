"""
Keys as a session may see and change them.

They are read in this process where it may read the master's files, for who may run the wheel
functions that show them; else these functions are run with the user's token. What changes keys is
always a wheel function of the user's, so that the master decides.
"""

import asyncio
import fnmatch
import glob
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from saltapi.bridge.fleet.keys import DIRECTORIES, Fingerprint, KeyEntry, KeyState, KeyStore
from saltapi.engine.commands.asynchronous import AsyncAPIClient
from saltapi.engine.operations.api import Api
from saltapi.engine.operations.verdicts import verdict_on
from saltapi.engine.sessions.caller import Caller
from saltapi.errors import (
    AuthorizationFailed,
    Conflict,
    MalformedAnswer,
    NotFound,
    PreconditionFailed,
    SaltApiError,
)
from saltapi.types import MinionId

Action = Literal["accept", "reject", "delete"]

AT_ONCE = 100
"""So many keys are handed to one wheel function: it compares each of them with all that exist."""
LISTED, SHOWN = "key.list_all", ("key.finger", "key.print")
TAKES: Mapping[Action, tuple[KeyState, ...]] = {
    "accept": (KeyState.PENDING, KeyState.REJECTED),
    "reject": (KeyState.PENDING, KeyState.ACCEPTED),
    "delete": tuple(KeyState),
}
"""What each action is for; of a minion's keys the first of these."""
BECOMES: Mapping[Action, KeyState | None] = {
    "accept": KeyState.ACCEPTED,
    "reject": KeyState.REJECTED,
    "delete": None,
}


@dataclass(frozen=True, slots=True)
class Key:
    """One key; the fingerprint is None for who may not see it."""

    minion: MinionId
    state: KeyState
    fingerprint: str | None


@dataclass(frozen=True, slots=True)
class KeyPage:
    """Some keys, how many there are of each state, and the last entry unless it is the end."""

    keys: list[Key]
    counts: dict[KeyState, int]
    last: KeyEntry | None


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to become of a minion's key; with a fingerprint only of the key that has it."""

    minion: MinionId
    action: Action
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What has become of it: the key as it is now, without a state if it is gone."""

    wish: Wish
    state: KeyState | None
    fingerprint: str | None


class Keys:
    """The keys of one master."""

    def __init__(self, client: AsyncAPIClient, api: Api, store: KeyStore) -> None:
        """
        Args:
            client: Knows what the master permits.
            api: Runs wheel functions.
            store: Reads the keys.
        """
        self._client = client
        self._api = api
        self._store = store

    async def page(
        self,
        caller: Caller,
        *,
        state: str | None = None,
        pattern: str | None = None,
        limit: int,
        after: tuple[str, str] | None = None,
    ) -> KeyPage:
        """
        Return keys in the order of their ids.

        Args:
            caller: Who asks.
            state: Only keys in this state.
            pattern: Only keys whose ids are like this glob.
            limit: So many at most; denied keys of one id count as one.
            after: Id and state of the last key of the page before.

        Raises:
            AuthorizationFailed: The master does not let the user list keys.
            ClientDisabled: `wheel` is not enabled.
        """
        view = await self._view(caller)
        wanted = [
            entry
            for entry in view.entries
            if (state is None or entry.state == state)
            and (pattern is None or fnmatch.fnmatchcase(entry.minion, pattern))
        ]
        rest = [entry for entry in wanted if after is None or entry > after]
        shown = rest[:limit]
        counts = dict.fromkeys(KeyState, 0)
        for entry in wanted:
            counts[entry.state] += 1
        fingers = await view.fingers(shown)
        unknown: list[str | None] = [None]
        keys = [
            Key(entry.minion, entry.state, finger)
            for entry in shown
            for finger in [each.shown for each in fingers[entry]] or unknown
        ]
        return KeyPage(keys, counts, shown[-1] if len(rest) > len(shown) else None)

    async def states(self, caller: Caller) -> dict[MinionId, KeyState]:
        """Return the state of each id's key, denied only where there is no other; as `page`."""
        found: dict[MinionId, KeyState] = {}
        for entry in (await self._view(caller)).entries:
            if entry.state is not KeyState.DENIED:
                found[entry.minion] = entry.state
            else:
                found.setdefault(*entry)
        return found

    async def change(self, caller: Caller, wishes: Sequence[Wish]) -> list[Change | SaltApiError]:
        """
        Accept, reject and delete keys; what cannot be done is an error in its place.

        Raises:
            AuthorizationFailed: The master does not let the user list keys.
            ClientDisabled: `wheel` is not enabled.
        """
        view = await self._view(caller)
        by_id: dict[MinionId, list[KeyEntry]] = defaultdict(list)
        for entry in view.entries:
            by_id[entry.minion].append(entry)
        fingers = await view.fingers(
            {entry for wish in wishes for entry in by_id.get(wish.minion, ())}, always=True
        )
        outcomes: dict[Wish, SaltApiError] = {}
        todo: dict[tuple[str, tuple[tuple[str, Any], ...]], dict[MinionId, Wish]] = defaultdict(
            dict
        )
        for wish in wishes:
            try:
                entries = by_id.get(wish.minion, [])
                entry = chosen(wish, {one: fingers[one] for one in entries})
            except SaltApiError as error:
                outcomes[wish] = error
            else:
                todo[_call(wish, entry, entries)][wish.minion] = wish
        for (fun, more), group in todo.items():
            outcomes |= await self._run_all(caller, fun, dict(more), group)
        return await self._outcomes(caller, wishes, outcomes)

    async def _outcomes(
        self, caller: Caller, wishes: Sequence[Wish], failed: Mapping[Wish, SaltApiError]
    ) -> list[Change | SaltApiError]:
        """Return what has become of the keys, as they are now."""
        self._store.changed()
        view = await self._view(caller)
        ids = {wish.minion for wish in wishes}
        entries = [entry for entry in view.entries if entry.minion in ids]
        fingers = await view.fingers(entries, always=True)
        found: list[Change | SaltApiError] = []
        for wish in wishes:
            becomes = BECOMES[wish.action]
            entry = None if becomes is None else KeyEntry(wish.minion, becomes)
            now = fingers.get(entry, []) if entry is not None else []
            if wish in failed:
                found.append(failed[wish])
            elif entry is None:
                found.append(Change(wish, None, None))
            elif entry not in entries:
                found.append(Conflict(f"The key of '{wish.minion}' has changed meanwhile."))
            elif wish.fingerprint and not any(f.is_same(wish.fingerprint) for f in now):
                found.append(
                    Conflict(
                        f"Another key of '{wish.minion}' took its place meanwhile: look at it."
                    )
                )
            else:
                shown = now[0].shown if now and view.shows_fingers else None
                found.append(Change(wish, becomes, shown))
        return found

    async def _run_all(
        self, caller: Caller, fun: str, more: dict[str, Any], group: Mapping[MinionId, Wish]
    ) -> dict[Wish, SaltApiError]:
        """Run *fun* for many minions at once, or for one after the other where that is refused."""
        failed: dict[Wish, SaltApiError] = {}
        ids = list(group)
        for start in range(0, len(ids), AT_ONCE):
            some = ids[start : start + AT_ONCE]
            try:
                await self._run(caller, fun, _arguments({**more, "match": _match(some, more)}))
            except AuthorizationFailed as error:
                if len(some) == 1:
                    failed[group[some[0]]] = error
                    continue
                for minion in some:  # what is permitted may depend on the name
                    kwargs = _arguments({**more, "match": _match([minion], more)})
                    if not await self._permitted(caller, fun, **kwargs):
                        failed[group[minion]] = error
                        continue
                    try:
                        await self._run(caller, fun, kwargs)
                    except SaltApiError as refused:
                        failed[group[minion]] = refused
            except SaltApiError as error:
                failed |= dict.fromkeys((group[minion] for minion in some), error)
        return failed

    async def _run(self, caller: Caller, fun: str, kwargs: dict[str, Any]) -> Any:
        chunk = {"client": "wheel", "fun": fun, "kwarg": kwargs}
        data = (await self._api.run([chunk], caller))[0]["data"]
        if not data.get("success", True):
            raise MalformedAnswer(f"The wheel function {fun} has failed: {data.get('return')}")
        return data.get("return")

    async def _view(self, caller: Caller) -> "_View":
        if not await asyncio.to_thread(lambda: self._store.readable):
            return await self._through_master(caller)
        if not await self._permitted(caller, LISTED):
            raise AuthorizationFailed(
                f"You may not see keys: the wheel function {LISTED} is not permitted to you."
            )
        shows = any([await self._permitted(caller, fun, match="*") for fun in SHOWN])
        return _View(await self._store.listing(), shows, self._store.fingerprints)

    async def _permitted(self, caller: Caller, fun: str, **kwargs: Any) -> bool:
        chunk = {"client": "wheel", "fun": fun, "kwarg": kwargs}
        (command,) = await self._api.commands([chunk], caller)
        verdict = await verdict_on(self._client, caller.known(), command)
        return verdict.allowed

    async def _through_master(self, caller: Caller) -> "_View":
        """Return what the wheel functions show, where the master's files are closed to us."""
        try:
            found = await self._run(caller, "key.print", {"match": "*"})
        except AuthorizationFailed:
            found = await self._run(caller, LISTED, {})
        if not isinstance(found, dict):
            raise MalformedAnswer("The wheel functions of keys answer something odd.")
        hash_type = str(self._client.opts.get("hash_type") or "sha256")
        fingers: dict[KeyEntry, list[Fingerprint]] = {}
        for state, directory in DIRECTORIES.items():
            keys = found.get(directory) or ()
            for minion in keys:
                pems = keys[minion] if isinstance(keys, dict) else []
                fingers[KeyEntry(str(minion), state)] = [
                    Fingerprint.of(str(pem).encode(), hash_type)
                    for pem in (pems if isinstance(pems, list) else [pems])
                ]

        async def known(entries: Iterable[KeyEntry]) -> dict[KeyEntry, list[Fingerprint]]:
            return {entry: fingers.get(entry, []) for entry in entries}

        return _View(sorted(fingers), shows_fingers=True, read=known)


class _View:
    """The keys as one user sees them."""

    def __init__(self, entries: list[KeyEntry], shows_fingers: bool, read: Any) -> None:
        self.entries = entries
        self.shows_fingers = shows_fingers
        self._read = read

    async def fingers(
        self, entries: Iterable[KeyEntry], *, always: bool = False
    ) -> dict[KeyEntry, list[Fingerprint]]:
        """Return the fingerprints; *always* also of what the user may not see, to compare them."""
        if not self.shows_fingers and not always:
            return {entry: [] for entry in entries}
        found: dict[KeyEntry, list[Fingerprint]] = await self._read(entries)
        return found


def chosen(wish: Wish, keys: Mapping[KeyEntry, Sequence[Fingerprint]]) -> KeyEntry:
    """
    Return which of the keys of one minion is meant.

    Raises:
        NotFound: There is no key.
        PreconditionFailed: None has the fingerprint.
        Conflict: The action is none for the key.
    """
    if not keys:
        raise NotFound(f"There is no key of '{wish.minion}'.")
    meant = list(keys)
    if wish.fingerprint is not None:
        text = wish.fingerprint
        meant = [entry for entry in keys if any(f.is_same(text) for f in keys[entry])]
        if not meant:
            raise PreconditionFailed(
                f"No key of '{wish.minion}' has this fingerprint; look at it again."
            )
    for state in TAKES[wish.action]:
        if KeyEntry(wish.minion, state) in meant:
            return KeyEntry(wish.minion, state)
    state = meant[0].state
    if state is KeyState.DENIED:
        raise Conflict(
            f"The key of '{wish.minion}' is denied: it can only be deleted. Delete the other key"
            " that the minion has, and let the minion come again with the one it has now."
        )
    raise Conflict(f"The key of '{wish.minion}' is {state} already.")


def _call(
    wish: Wish, entry: KeyEntry, entries: Sequence[KeyEntry]
) -> tuple[str, tuple[tuple[str, Any], ...]]:
    """Return the wheel function that does it, and its arguments beside `match`."""
    fun = f"key.{wish.action}"
    if wish.action == "delete":
        if wish.fingerprint is not None and len(entries) > 1:  # the others stay
            return f"{fun}_dict", (("directory", DIRECTORIES[entry.state]),)
        return fun, ()
    if entry.state is KeyState.PENDING:
        return fun, ()
    return fun, ((f"include_{entry.state}", True),)


def _arguments(known: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a wheel function, of those that `_call` and `_match` have found."""
    kwargs = dict(known)
    directory = kwargs.pop("directory", None)
    if directory is not None:
        kwargs["match"] = {directory: kwargs["match"]}
    return kwargs


def _match(minions: list[MinionId], more: Mapping[str, Any]) -> Any:
    """Return the argument `match` for exactly these minions."""
    if "directory" in more:
        return minions
    patterns = [glob.escape(minion) for minion in minions]
    # What the master permits may be about a name; a comma in one would part it into two.
    return patterns[0] if len(patterns) == 1 and "," not in patterns[0] else patterns
