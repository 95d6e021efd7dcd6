"""`/v1/minions`: the fleet."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request
from pydantic import Field
from starlette.responses import Response

from saltapi import formats
from saltapi.engine.fleet import changes
from saltapi.engine.fleet.listing import MinionFilter
from saltapi.engine.fleet.sorting import KEY_TYPES, Place
from saltapi.errors import InvalidField
from saltapi.lowstate import TARGET_TYPES
from saltapi.lowstate.targets import target_of
from saltapi.netapi.rest_asgi.etags import NOT_MODIFIED, IfNoneMatch, with_etag
from saltapi.netapi.rest_asgi.protection import READS, STREAMS, costs
from saltapi.netapi.rest_asgi.record_streams import document, stream
from saltapi.netapi.rest_asgi.requests import TheEngine, TheSession
from saltapi.netapi.rest_asgi.route import Route, described, stream_content, streams
from saltapi.netapi.rest_asgi.streams import STREAM_TYPES
from saltapi.netapi.rest_asgi.v1 import minion_models as models
from saltapi.netapi.rest_asgi.v1.job_models import EXAMPLE_JID, JID_PATTERN
from saltapi.netapi.rest_asgi.v1.pages import CursorText, Limit, cursor_text, cursor_value, not_ours

router = APIRouter(tags=["fleet"], route_class=Route)

ID_CHARACTERS = 255
TARGET_CHARACTERS = 4_000
GRAIN_CHARACTERS = 256
GRAINS_LIMIT = 10
FIELDS_LIMIT = 30
CURSOR_CHARACTERS = 128
FIELD_PREFIX = "grains."
NO_MINION: dict[int | str, dict[str, Any]] = {
    404: {"description": "There is no such minion, or it is none that you may see."}
}

MinionInPath = Annotated[
    str, Path(max_length=ID_CHARACTERS, description="The minion's id.", examples=["web-1"])
]


@router.get(
    "/minions",
    operation_id="list_fleet",
    summary="The minions that you may see",
    response_model=None,
    responses={200: described(models.EXAMPLE_LIST, model=models.MinionList), **NOT_MODIFIED},
)
@costs(READS)
async def list_fleet(
    request: Request,
    engine: TheEngine,
    session: TheSession,
    pattern: Annotated[
        str | None,
        Query(alias="id", max_length=ID_CHARACTERS, description="Only ids like this glob."),
    ] = None,
    tgt: Annotated[
        str | None,
        Query(
            max_length=TARGET_CHARACTERS,
            description="Only those that a command with this target would be for.",
            examples=["G@os:Debian and web*"],
        ),
    ] = None,
    tgt_type: Annotated[
        str, Query(description=f"How to read `tgt`: {', '.join(TARGET_TYPES)}.")
    ] = "glob",
    key: Annotated[models.KeyState | None, Query(description="Only with such a key.")] = None,
    connected: Annotated[
        bool | None, Query(description="Only those that are sure to be, or sure not to be.")
    ] = None,
    grain: Annotated[
        list[Annotated[str, Field(max_length=GRAIN_CHARACTERS)]],
        Query(
            max_length=GRAINS_LIMIT,
            description="Only with this grain, as in targets; several: with all of them.",
            examples=[["os:Debian"]],
        ),
    ] = [],  # noqa: B006 - FastAPI copies it
    highstate: Annotated[
        models.WantedHighstate | None, Query(description="How the last highstate has gone.")
    ] = None,
    sort: Annotated[
        models.Sort, Query(description="What to sort by; with `-` the other way round.")
    ] = "id",
    fields: Annotated[
        str | None,
        Query(
            max_length=TARGET_CHARACTERS,
            description="What to show, parted by commas: names of this list, and grains as"
            " `grains.<path>`; the id is always there. All but grains without.",
            examples=["connected,grains.num_cpus"],
        ),
    ] = None,
    counts: Annotated[
        bool, Query(description="Count all that the filters let through, by their states.")
    ] = False,
    limit: Limit = 100,
    cursor: CursorText = None,
    _etag: IfNoneMatch = None,
) -> Response:
    """
    List minions: those with a key, with data that the master has cached, or that the bus has shown.

    Nobody is asked for it. You see the minions that you may run some function on; grains of those
    on which you may run `grains.items`, and jobs as `event_acl` shows you their events.
    """
    if tgt is not None:
        target_of({"tgt": tgt, "tgt_type": tgt_type})
    wanted = MinionFilter(
        id=pattern,
        tgt=tgt,
        tgt_type=tgt_type,
        key=key,
        connected=connected,
        grains=tuple(grain),
        highstate=highstate,
    )
    names, paths = _fields(fields)
    found = await engine.minions.page(
        session,
        wanted,
        sort=sort,
        fields=names,
        grain_paths=paths,
        limit=limit,
        after=_after(cursor, sort),
        counted=counts,
    )
    last = None if found.last is None else cursor_text([sort, *found.last])
    value: dict[str, Any] = {"minions": found.minions, "total": found.total, "cursor": last}
    if found.counts is not None:
        value["counts"] = found.counts
    return with_etag(request, await document(request, value))


@router.get(
    "/minions/events",
    operation_id="fleet_events",
    summary="What changes in the fleet",
    response_model=None,
    responses={
        200: {
            "description": "Each minion that changes, as it is then.",
            "content": stream_content(
                "FleetRecord",
                {
                    "text/event-stream": models.EXAMPLE_SSE,
                    "application/x-ndjson": models.EXAMPLE_NDJSON,
                },
            ),
        },
    },
)
@costs(STREAMS)
@streams
async def fleet_events(
    request: Request,
    engine: TheEngine,
    session: TheSession,
    since: Annotated[
        str | None,
        Query(max_length=CURSOR_CHARACTERS, description="As `Last-Event-ID`, which goes before."),
    ] = None,
    last_event_id: Annotated[
        str | None,
        Header(max_length=CURSOR_CHARACTERS, description="The last `id` that you have."),
    ] = None,
    _ticket: Annotated[
        str | None,
        Query(alias="ticket", description="From `POST /v1/events/ticket`, in place of a token."),
    ] = None,
) -> Response:
    """
    Stream the minions that you may see, each as in the list, whenever something of it has changed.

    Changes of half a second come together, and behind them a record `heartbeat` with an `id`. With
    that id, each minion comes first that has changed since, from any worker. A `gap` means that
    changes may be missing: load the list again.
    """
    media_type = formats.negotiate(request.headers.get("Accept"), STREAM_TYPES)
    if request.scope.get("saltapi.head"):
        return Response(headers={"Content-Type": media_type})
    client = engine.client
    await engine.minions.sights.of(session)  # who may see nothing is told so, not in the stream
    found = changes.records(
        engine.minions, client.hub, client.sessions, session, since=last_event_id or since
    )
    return stream(media_type, found)


@router.get(
    "/minions/{mid:segment}",
    operation_id="get_minion",
    summary="One minion",
    response_model=None,
    responses={
        200: described(models.EXAMPLE_ONE, model=models.Minion),
        **NOT_MODIFIED,
        **NO_MINION,
    },
)
@costs(READS)
async def get_minion(
    request: Request,
    engine: TheEngine,
    session: TheSession,
    mid: MinionInPath,
    _etag: IfNoneMatch = None,
) -> Response:
    """
    Return what the list says of a minion, all its grains, its last jobs, and its pillar.

    Grains and pillar are what the master has cached, and null where you may not run `grains.items`
    or `pillar.items` on the minion.
    """
    found = await engine.minions.document(session, mid, engine.jobs)
    return with_etag(request, await document(request, found))


@router.get(
    "/minions/{mid:segment}/why",
    operation_id="why",
    summary="Why a minion is silent",
    response_model=None,
    responses={200: described(models.EXAMPLE_WHY, model=models.Why)},
)
@costs(READS, waiting="ask")
async def why(
    request: Request,
    engine: TheEngine,
    session: TheSession,
    mid: MinionInPath,
    jid: Annotated[
        str | None,
        Query(
            pattern=JID_PATTERN,
            description="The job that it has not returned; without, why it is silent at all.",
            examples=[EXAMPLE_JID],
        ),
    ] = None,
    ask: Annotated[
        bool,
        Query(description="Ask the minion too, as you, with `saltutil.find_job`."),
    ] = False,
) -> Response:
    """
    Say why a minion is silent: a code, a sentence, the facts in order, and what to do next.

    Nobody is asked for it without `ask`. What you may not see is `not_permitted`, and so is what is
    not there, unless nothing would be hidden from you.
    """
    return await document(request, await engine.whys.why(session, mid, jid, ask=ask))


def _fields(text: str | None) -> tuple[list[str], list[str]]:
    """
    Return the names and the paths of grains in `fields`.

    Raises:
        InvalidField: Something else is in it, or too much.
    """
    wanted = [name.strip() for name in (text or "").split(",") if name.strip()]
    names = [name for name in wanted if not name.startswith(FIELD_PREFIX)]
    known = models.ListedMinion.model_fields.keys() - {"grains"}
    if len(wanted) > FIELDS_LIMIT or not known >= set(names):
        raise InvalidField(
            f"fields must be at most {FIELDS_LIMIT} names, parted by commas, of grains like"
            f" 'grains.os', or of {', '.join(sorted(known))}.",
            key="fields",
        )
    return names, [name.removeprefix(FIELD_PREFIX) for name in wanted if name not in names]


def _after(cursor: str | None, sort: str) -> Place | None:
    value = cursor_value(cursor)
    if value is None:
        return None
    try:
        sorted_by, (known, key), minion = value
        wanted = KEY_TYPES.get(sort.removeprefix("-"), (str,)) if known else (str,)
        same = sorted_by == sort and isinstance(minion, str) and known in (0, 1)
        if same and type(key) in wanted and key == key:  # not what is no number
            return (known, key), minion
    except (TypeError, ValueError):
        pass
    raise not_ours()
