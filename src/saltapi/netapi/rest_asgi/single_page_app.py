"""The single-page app that browsers get where others get data."""

import asyncio
import os

from starlette.requests import HTTPConnection
from starlette.responses import FileResponse, Response

from saltapi.netapi._http import answers
from saltapi.netapi.rest_asgi.problems import no_such_path
from saltapi.netapi.rest_asgi.requests import engine_of


def wants_app(connection: HTTPConnection) -> bool:
    """Return whether a browser asks for a page where there is a single-page app."""
    return bool(
        engine_of(connection).section.app
        and connection.scope.get("method") == "GET"
        and answers.wants_page(connection.headers.get("Accept"))
    )


async def app_page(connection: HTTPConnection) -> Response:
    """
    Return the page of the single-page app; it is never stored, so that its streams end.

    Raises:
        NotFound: There is none.
    """
    page = engine_of(connection).section.app
    if not page or not await asyncio.to_thread(os.access, page, os.R_OK):
        raise no_such_path(connection)
    return FileResponse(page, media_type="text/html", headers={"Cache-Control": "no-store"})
