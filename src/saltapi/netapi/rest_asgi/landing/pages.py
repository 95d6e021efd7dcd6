"""
The page, and its script.

It is the answer to the browser that comes back from the provider, and to nothing else: no URL gives
out a token later. The Content-Security-Policy lets no other script in, and nobody frame it.
"""

import asyncio
import html
import json
from collections.abc import Mapping
from importlib import resources
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response

from saltapi.errors import NotFound
from saltapi.netapi._http.answers import HTML_PAGE_TYPE
from saltapi.netapi.rest_asgi.packaged import opener_policy, packaged
from saltapi.netapi.rest_asgi.protection import READS, costs
from saltapi.netapi.rest_asgi.requests import TheEngine

router = APIRouter(tags=["session"])

PACKAGE = __package__
SCRIPT = "/v1/login/oidc/landing.js"
SCRIPT_TYPE = "text/javascript; charset=utf-8"
SCRIPTS = "/scripts"
"""Where SaltGUI has its own, below its static files."""
HEADERS = {
    "Content-Type": HTML_PAGE_TYPE,
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; connect-src 'self'; form-action 'none';"
        " base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}


def may_land(request: Request) -> bool:
    """Return whether a window of the browser's gets the answer, and no script of a page."""
    sent = request.headers
    wants_document = sent.get("Sec-Fetch-Dest", "document") == "document"
    return wants_document and "Origin" not in sent


def page(request: Request, session: Mapping[str, Any], where: str, files: str) -> Response:
    """
    Return the page that hands a session to SaltGUI.

    Args:
        request: That of the browser which comes back from the provider.
        session: What `/login` answers.
        where: The path that it goes to then.
        files: The path of SaltGUI's static files.
    """
    base = request.scope["saltapi.base"]
    text = resources.files(PACKAGE).joinpath("page.html").read_text()
    values = {
        "script": f"{base}{SCRIPT}",
        "session": json.dumps(session),
        "next": where,
        "root": f"{base}/",
        "saltgui": f"{files}{SCRIPTS}",
    }
    # All at once: what is put in for one is not looked at for another.
    filled = text.format_map({name: html.escape(value) for name, value in values.items()})
    return Response(filled.encode(), 200, {**HEADERS, **opener_policy(request)})


@router.get(SCRIPT.removeprefix("/v1"), include_in_schema=False)
@costs(READS)
async def script(
    request: Request, engine: TheEngine, if_none_match: Annotated[str | None, Header()] = None
) -> Response:
    """Return the script of the page; there is nothing of anybody in it."""
    if not engine.section.app:
        raise NotFound(f"The path '{request.url.path}' was not found.")
    found = await asyncio.to_thread(packaged, PACKAGE, "page.js")
    return found.response(request, if_none_match, SCRIPT_TYPE)
