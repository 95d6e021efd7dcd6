"""
`/openapi.json`, and `/docs`, a page that shows it.

The page is Swagger UI from files that ship with the package. Nothing is loaded from elsewhere, and
its Content-Security-Policy sees to it.
"""

import asyncio
import functools
from typing import Annotated

from fastapi import APIRouter, FastAPI, Header, Path, Request, Response

from saltapi import formats
from saltapi.errors import NotFound
from saltapi.netapi._http import answers
from saltapi.netapi.rest_asgi.openapi import document
from saltapi.netapi.rest_asgi.packaged import PackagedFile, packaged
from saltapi.netapi.rest_asgi.protection import READS, costs
from saltapi.netapi.rest_asgi.requests import TheEngine
from saltapi.netapi.rest_asgi.route import described

router = APIRouter(tags=["documentation"])

PACKAGE = "saltapi.netapi.rest_asgi"
FILES = {
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "swagger_ui/swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger_ui/swagger-ui.css": "text/css; charset=utf-8",
}
"""The files of the page with their types; their URLs have no directories."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PAGE_HEADERS = {"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer"}
FileName = Annotated[str, Path(description="The file's name.", examples=["page.js"])]
IfNoneMatch = Annotated[str | None, Header(include_in_schema=False)]


@router.get(
    "/openapi.json",
    operation_id="openapi",
    summary="This document",
    response_class=Response,
    response_description="The OpenAPI 3.1 document.",
    responses={
        200: {
            "content": {
                formats.JSON_TYPE: {
                    "schema": {"type": "object"},
                    "example": {"openapi": "3.1.0", "info": {"title": "saltapi"}, "paths": {}},
                }
            }
        }
    },
)
@costs(READS)
async def openapi(
    request: Request, engine: TheEngine, if_none_match: IfNoneMatch = None
) -> Response:
    """Return the OpenAPI document of the module. Needs no session."""
    prefix = engine.section.root_prefix.rstrip("/")
    file = await asyncio.to_thread(_described, request.app, prefix)
    return file.response(request, if_none_match, formats.JSON_TYPE)


@router.get(
    "/docs",
    operation_id="docs",
    summary="A page that shows this document",
    response_class=Response,
    response_description="The page.",
    responses={200: described("<!DOCTYPE html>…", formats.HTML_TYPE, text=True)},
)
@costs(READS)
async def docs(request: Request, if_none_match: IfNoneMatch = None) -> Response:
    """Return a page for browsers that shows the document, and tries requests. No session."""
    page = await asyncio.to_thread(packaged, PACKAGE, "docs/index.html")
    response = page.response(request, if_none_match, answers.HTML_PAGE_TYPE)
    response.headers.update(PAGE_HEADERS)
    return response


@router.get(
    "/docs/{name}",
    operation_id="docs_file",
    summary="A file of the page",
    response_class=Response,
    response_description="The file.",
    responses={
        200: {
            "content": {
                "text/css": {"schema": {"type": "string"}, "example": "body { margin: 0; }"},
                "text/javascript": {"schema": {"type": "string"}, "example": '"use strict";'},
            }
        },
        404: {"description": "There is no such file."},
    },
)
@costs(READS)
async def docs_file(
    name: FileName, request: Request, if_none_match: IfNoneMatch = None
) -> Response:
    """Return a script or a style sheet of the page `/docs`. Needs no session."""
    for path, content_type in FILES.items():
        if path.rpartition("/")[2] == name:
            file = await asyncio.to_thread(packaged, PACKAGE, f"docs/{path}")
            return file.response(request, if_none_match, content_type)
    raise NotFound(f"The path '{request.url.path}' was not found.")


@functools.cache
def _described(api: FastAPI, prefix: str) -> PackagedFile:
    return PackagedFile(formats.dump_json(document(api.routes, prefix)))
