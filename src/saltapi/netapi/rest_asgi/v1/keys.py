"""`/v1/keys`: the minions' keys, with their fingerprints."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Path, Query, Request
from pydantic import ConfigDict, Field
from starlette.responses import Response

from saltapi.engine.fleet.keys import Action, Change, Wish
from saltapi.errors import InvalidField, SaltApiError
from saltapi.netapi.rest_asgi.etags import NOT_MODIFIED, IfNoneMatch, tags_of, with_etag
from saltapi.netapi.rest_asgi.problems import problem, status_of
from saltapi.netapi.rest_asgi.protection import COMMANDS, READS, costs
from saltapi.netapi.rest_asgi.record_streams import document
from saltapi.netapi.rest_asgi.requests import TheCaller, TheEngine
from saltapi.netapi.rest_asgi.route import Model, Route, described
from saltapi.netapi.rest_asgi.v1.pages import CursorText, Limit, cursor_text, cursor_value, not_ours

router = APIRouter(tags=["keys"], route_class=Route)

State = Literal["accepted", "pending", "rejected", "denied"]
ID_CHARACTERS = 255
FINGERPRINT_CHARACTERS = 512
MANY_LIMIT = 1_000
EXAMPLE_FINGERPRINT = "5c:1f:a0:7e:9d:33:0b:c4"

MinionInPath = Annotated[
    str, Path(max_length=ID_CHARACTERS, description="The minion's id.", examples=["web-1"])
]
IfMatch = Annotated[
    str | None,
    Header(
        max_length=FINGERPRINT_CHARACTERS + 2,
        description="The fingerprint, in quotes: the key is changed only if it has this one.",
        examples=[f'"{EXAMPLE_FINGERPRINT}"'],
    ),
]


class Key(Model):
    """A key."""

    id: str = Field(description="The minion's id.")
    state: State
    fingerprint: str | None = Field(
        description="As `salt-call --local key.finger` says it on the minion; null if you may run"
        " neither `key.finger` nor `key.print`."
    )


class Counts(Model):
    """How many keys there are; of one id's denied keys one counts."""

    accepted: int
    pending: int
    rejected: int
    denied: int


class KeyList(Model):
    """A page of keys, in the order of their ids."""

    keys: list[Key]
    counts: Counts
    cursor: str | None = Field(
        description="Send it as `cursor` for the next page; null at the end."
    )


class Changed(Model):
    """What has become of a key."""

    id: str
    action: Action
    state: State | None = Field(description="null if it is deleted.")
    fingerprint: str | None


class Wanted(Model):
    """One change."""

    id: str = Field(max_length=ID_CHARACTERS)
    action: Action
    fingerprint: str | None = Field(
        default=None,
        max_length=FINGERPRINT_CHARACTERS,
        description="The key is changed only if it has this fingerprint.",
    )


EXAMPLE_KEY: dict[str, Any] = {
    "id": "web-1",
    "state": "pending",
    "fingerprint": EXAMPLE_FINGERPRINT,
}
EXAMPLE_CHANGED = {**EXAMPLE_KEY, "action": "accept", "state": "accepted"}
EXAMPLE_WANTED: dict[str, Any] = {
    "id": "web-1",
    "action": "accept",
    "fingerprint": EXAMPLE_FINGERPRINT,
}


class ManyWanted(Model):
    """Changes of many keys."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"keys": [EXAMPLE_WANTED]}]})

    keys: list[Wanted] = Field(min_length=1, max_length=MANY_LIMIT)


class Outcome(Model):
    """What came of one change."""

    id: str
    action: Action
    status: int = Field(description="200, or what the change alone would have been answered with.")
    state: State | None = None
    fingerprint: str | None = None
    error: dict[str, Any] | None = Field(default=None, description="A problem document.")


class Outcomes(Model):
    """What came of each change, in order."""

    outcomes: list[Outcome]


NO_SUCH: dict[int | str, dict[str, Any]] = {
    404: {"description": "The minion has no key here."},
    409: {"description": "The key is in a state that the action is none for."},
    412: {"description": "The key has another fingerprint than `If-Match` says."},
}


@router.get(
    "/keys",
    operation_id="list_all_keys",
    summary="The minions' keys and their fingerprints",
    response_model=None,
    responses={
        200: described({"keys": [EXAMPLE_KEY], "counts": {"accepted": 0, "pending": 1,
                        "rejected": 0, "denied": 0}, "cursor": None}, model=KeyList),
        **NOT_MODIFIED,
    },
)  # fmt: skip
@costs(READS)
async def list_all_keys(
    request: Request,
    engine: TheEngine,
    caller: TheCaller,
    state: Annotated[State | None, Query(description="Only keys in this state.")] = None,
    pattern: Annotated[
        str | None,
        Query(alias="id", max_length=ID_CHARACTERS, description="Only ids like this glob."),
    ] = None,
    limit: Limit = 100,
    cursor: CursorText = None,
    _etag: IfNoneMatch = None,
) -> Response:
    """
    List the keys that the master knows.

    You need permission for the wheel function `key.list_all`, for fingerprints for `key.finger` or
    `key.print` besides. A denied key is one that somebody came with under an id that has another.
    """

    found = await engine.keys.page(
        caller, state=state, pattern=pattern, limit=limit, after=_after(cursor)
    )
    keys = [
        {"id": k.minion, "state": str(k.state), "fingerprint": k.fingerprint} for k in found.keys
    ]
    counts = {str(name): count for name, count in found.counts.items()}
    last = None if found.last is None else cursor_text(list(map(str, found.last)))
    return with_etag(
        request, await document(request, {"keys": keys, "counts": counts, "cursor": last})
    )


@router.post(
    "/keys",
    operation_id="change_keys",
    summary="Accept, reject and delete many keys",
    response_model=None,
    responses={
        200: described(
            {"outcomes": [{**EXAMPLE_CHANGED, "status": 200, "error": None}]}, model=Outcomes
        ),
    },
)
@costs(COMMANDS)
async def change_keys(
    request: Request, engine: TheEngine, caller: TheCaller, body: ManyWanted
) -> Response:
    """Change each key for itself: what cannot be done stops nothing, and says why in its place."""
    wishes = [Wish(one.id, one.action, one.fingerprint) for one in body.keys]
    if len({wish.minion for wish in wishes}) < len(wishes):
        raise InvalidField("keys must name each minion once.", key="keys")
    changes = await engine.keys.change(caller, wishes)
    found = [_outcome(*both) for both in zip(wishes, changes, strict=True)]
    return await document(request, {"outcomes": found})


async def _change(request: Request, engine: TheEngine, caller: TheCaller, wish: Wish) -> Response:
    (change,) = await engine.keys.change(caller, [wish])
    if isinstance(change, SaltApiError):
        raise change
    return await document(request, _changed(change))


@router.post(
    "/keys/{mid:segment}/accept",
    operation_id="accept_key",
    summary="Accept the key of a minion",
    response_model=None,
    responses={200: described(EXAMPLE_CHANGED, model=Changed), **NO_SUCH},
)
@costs(COMMANDS)
async def accept_key(
    request: Request,
    engine: TheEngine,
    caller: TheCaller,
    mid: MinionInPath,
    if_match: IfMatch = None,
) -> Response:
    """
    Accept a key that is pending, or one that was rejected.

    Compare its fingerprint with what `salt-call --local key.finger` says on the minion, and send it
    in `If-Match`. You need permission for the wheel function `key.accept`.
    """
    return await _change(request, engine, caller, Wish(mid, "accept", _fingerprint(if_match)))


@router.post(
    "/keys/{mid:segment}/reject",
    operation_id="reject_key",
    summary="Reject the key of a minion",
    response_model=None,
    responses={
        200: described({**EXAMPLE_CHANGED, "action": "reject", "state": "rejected"}, model=Changed),
        **NO_SUCH,
    },
)
@costs(COMMANDS)
async def reject_key(
    request: Request,
    engine: TheEngine,
    caller: TheCaller,
    mid: MinionInPath,
    if_match: IfMatch = None,
) -> Response:
    """
    Reject a key that is pending, or one that was accepted.

    You need permission for the wheel function `key.reject`.
    """
    return await _change(request, engine, caller, Wish(mid, "reject", _fingerprint(if_match)))


@router.delete(
    "/keys/{mid:segment}",
    operation_id="delete_key",
    summary="Delete the keys of a minion",
    response_model=None,
    responses={
        200: described(
            {**EXAMPLE_CHANGED, "action": "delete", "state": None, "fingerprint": None},
            model=Changed,
        ),
        **NO_SUCH,
    },
)
@costs(COMMANDS)
async def delete_key(
    request: Request,
    engine: TheEngine,
    caller: TheCaller,
    mid: MinionInPath,
    if_match: IfMatch = None,
) -> Response:
    """
    Delete all keys of a minion; with `If-Match` only the one with the fingerprint.

    You need permission for the wheel function `key.delete`, and for `key.delete_dict` where one of
    several keys is to be deleted. Of denied keys all of the minion are.
    """
    return await _change(request, engine, caller, Wish(mid, "delete", _fingerprint(if_match)))


def _after(cursor: str | None) -> tuple[str, str] | None:
    value = cursor_value(cursor)
    if value is None:
        return None
    if not isinstance(value, list) or [str, str] != list(map(type, value)):
        raise not_ours()
    return value[0], value[1]


def _fingerprint(if_match: str | None) -> str | None:
    """Return the fingerprint in `If-Match`; None for any."""
    if if_match is None:
        return None
    tags = tags_of(if_match)
    if tags == ["*"]:
        return None
    if len(tags) != 1 or not tags[0].strip('"'):
        raise InvalidField("If-Match must be one fingerprint.", key="If-Match")
    return tags[0].strip('"')


def _changed(change: Change) -> dict[str, Any]:
    return {
        "id": change.wish.minion,
        "action": change.wish.action,
        "state": None if change.state is None else str(change.state),
        "fingerprint": change.fingerprint,
    }


def _outcome(wish: Wish, change: Change | SaltApiError) -> dict[str, Any]:
    if not isinstance(change, SaltApiError):
        return {**_changed(change), "status": 200, "error": None}
    status = status_of(type(change), of_v1=True)
    return {
        "id": wish.minion,
        "action": wish.action,
        "status": status,
        "state": None,
        "fingerprint": None,
        "error": problem(change, status),
    }
