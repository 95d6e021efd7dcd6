"""Files that are served as they are: the single-page app, its assets, and the icon."""

import asyncio
import os
from typing import Annotated, Any

from fastapi import Path, Request, Response
from starlette.staticfiles import StaticFiles

from saltapi import errors
from saltapi.netapi._http.files import file_below
from saltapi.netapi.rest_asgi.classic import documents
from saltapi.netapi.rest_asgi.classic.route import Operation, raw
from saltapi.netapi.rest_asgi.paths import unescaped
from saltapi.netapi.rest_asgi.problems import no_such_path
from saltapi.netapi.rest_asgi.protection import READS
from saltapi.netapi.rest_asgi.requests import engine_of
from saltapi.netapi.rest_asgi.single_page_app import app_page

Name = Annotated[str, Path(description="The file's path below the directory.")]
Rest = Annotated[str, Path(description="Whatever the app makes of it.")]


@raw
async def static_file(request: Request, name: Name) -> Response:
    """Return a file below `static`; directories are not listed."""
    segments = [unescaped(part) for part in name.split("/")]
    directory = engine_of(request).section.static or ""
    file = await asyncio.to_thread(file_below, directory, segments)
    if file is None:
        raise no_such_path(request)
    return await _file(request, str(file))


@raw
async def static_directory(request: Request) -> Response:
    """Refuse to list the directory `static`."""
    raise no_such_path(request)


@raw
async def app(request: Request) -> Response:
    """Return the page of the single-page app."""
    return await app_page(request)


@raw
async def app_below(request: Request, rest: Rest) -> Response:
    """Return the page of the single-page app, whatever follows in the URL."""
    del rest
    return await app_page(request)


@raw
async def favicon(request: Request) -> Response:
    """Return the icon that `favicon` names."""
    icon = engine_of(request).section.favicon
    if not icon or not await asyncio.to_thread(os.access, icon, os.R_OK):
        raise errors.NotFound("There is no icon: set favicon.")
    return await _file(request, icon)


async def _file(request: Request, path: str) -> Response:
    status = await asyncio.to_thread(os.stat, path)
    return StaticFiles(check_dir=False).file_response(path, status, request.scope)


_FILE: dict[str, Any] = {
    "answer": "The file.",
    "content": documents.FILE,
    "responses": {404: documents.NO_FILE},
}
_PAGE: dict[str, Any] = {
    "answer": "The page.",
    "content": documents.PAGE,
    "responses": {404: documents.NO_FILE},
}

STATIC = [
    Operation("GET", static_directory, READS, answer="Never.", responses={404: documents.NO_FILE}),
    Operation("GET", static_file, READS, "/{name:path}", **_FILE),
]
APP = [
    Operation("GET", app, READS, **_PAGE),
    Operation("GET", app_below, READS, "/{rest:path}", **_PAGE),
]
FAVICON = [Operation("GET", favicon, READS, **_FILE)]
