"""`/v1/functions`: what can be run."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response

from saltapi.errors import InvalidField
from saltapi.formats import plain
from saltapi.netapi.rest_asgi.etags import NOT_MODIFIED, IfNoneMatch, with_etag
from saltapi.netapi.rest_asgi.protection import READS, costs
from saltapi.netapi.rest_asgi.record_streams import document
from saltapi.netapi.rest_asgi.requests import TheEngine, TheSession
from saltapi.netapi.rest_asgi.route import Model, Route, SaltValue, described

router = APIRouter(tags=["fleet"], route_class=Route)

ID_CHARACTERS = 255
PATTERN_CHARACTERS = 256


class Function(Model):
    """A function."""

    args: list[str] | None = Field(description="null if only its name is known.")
    defaults: list[SaltValue] | None = Field(description="Of the last of `args`.")
    varargs: bool | None = Field(description="Whether it takes more positional arguments.")
    kwargs: bool | None = Field(description="Whether it takes other named arguments.")
    summary: str | None = Field(description="The first line of its documentation.")
    doc: str | None = Field(default=None, description="All of it, with `docs=true`.")
    allowed: Literal["yes", "no", "depends"] = Field(
        description="Whether you may run it; it may depend on arguments, or on the minions."
    )


class FunctionList(Model):
    """Functions by name."""

    client: Literal["local", "runner", "wheel"]
    minion: str | None
    version: str = Field(description="The version of Salt.")
    asked: bool = Field(
        description="Whether the minion has said itself which functions it has; otherwise they are"
        " those of the Salt that is installed here."
    )
    functions: dict[str, Function]


EXAMPLE: dict[str, Any] = {
    "client": "local",
    "minion": "web-1",
    "version": "3008.3",
    "asked": True,
    "functions": {
        "test.arg": {
            "args": [],
            "defaults": [],
            "varargs": True,
            "kwargs": True,
            "summary": "Print out the data passed into the function ``*args`` and ``kwargs``.",
            "allowed": "yes",
        }
    },
}


@router.get(
    "/functions",
    operation_id="list_functions",
    summary="What can be run, with arguments and documentation",
    response_model=None,
    responses={
        200: described(EXAMPLE, model=FunctionList),
        **NOT_MODIFIED,
        404: {"description": "There is no such minion, or it is none that you may see."},
    },
)
@costs(READS)
async def list_functions(
    request: Request,
    engine: TheEngine,
    session: TheSession,
    client: Annotated[
        Literal["local", "runner", "wheel"],
        Query(description="Functions of minions, or of the master."),
    ] = "local",
    minion: Annotated[
        str | None, Query(max_length=ID_CHARACTERS, description="The functions of this minion.")
    ] = None,
    fun: Annotated[
        str | None, Query(max_length=PATTERN_CHARACTERS, description="Only names like this glob.")
    ] = None,
    docs: Annotated[bool, Query(description="With all of the documentation.")] = False,
    _etag: IfNoneMatch = None,
) -> Response:
    """
    List functions with their arguments, and whether you may run them.

    Arguments and documentation are those of the Salt that is installed here, which are read when
    somebody first asks. A minion is asked for its names, once, where you may run
    `sys.list_functions` on it.
    """
    if minion is not None and client != "local":
        raise InvalidField(f"minion has no functions of the client {client}.", key="minion")
    found = await engine.functions.listing(session, client, minion=minion, pattern=fun)
    functions: dict[str, Any] = {}
    for name, (known, allowed) in found.functions.items():
        functions[name] = {
            "args": None if known is None else list(known.args),
            "defaults": None if known is None else plain(list(known.defaults)),
            "varargs": None if known is None else known.varargs,
            "kwargs": None if known is None else known.kwargs,
            "summary": None if known is None else known.doc.partition("\n")[0],
            **({"doc": None if known is None else known.doc} if docs else {}),
            "allowed": allowed,
        }
    value = {
        "client": client,
        "minion": minion,
        "version": found.version,
        "asked": found.asked,
        "functions": functions,
    }
    return with_etag(request, await document(request, value))
