"""
The page of the console, and its files.

Everything ships with the package and nothing is loaded from elsewhere; the Content-Security-Policy
sees to it.
"""

import asyncio
import functools
import hashlib
import html
from importlib import resources
from typing import Annotated

from fastapi import APIRouter, Header, Path, Request, Response
from fastapi.routing import iter_route_contexts
from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute
from starlette.types import Scope

from saltapi.config import RestAsgiConfig
from saltapi.errors import NotFound
from saltapi.netapi._http import answers
from saltapi.netapi.rest_asgi.console import modules
from saltapi.netapi.rest_asgi.packaged import PackagedFile, opener_policy, packaged
from saltapi.netapi.rest_asgi.protection import READS, costs
from saltapi.netapi.rest_asgi.requests import engine_of

PACKAGE = __package__
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""What is served, by the end of its name."""
SCRIPTS = {".js", ".mjs"}
START, FIRST_VIEW = "main.js", "views/overview.js"
"""What the page runs, and the view that most people see first."""
PRELOAD = '<link rel="modulepreload" href="{{files}}/{name}"{how}>'
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
PAGE_HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "same-origin",
}
FileName = Annotated[str, Path(description="The file's path.", examples=["main.js"])]
IfNoneMatch = Annotated[str | None, Header(include_in_schema=False)]


def routes(section: RestAsgiConfig) -> APIRouter:
    """Return the routes of the console; none where it is switched off or `app` takes its place."""
    router = APIRouter(tags=["console"])
    if not section.console or section.app:
        return router
    path = f"{section.root_prefix.rstrip('/')}{section.console_path.rstrip('/')}"
    if section.console_path.rstrip("/"):
        router.add_api_route(path, page, include_in_schema=False)
    router.add_api_route(f"{path}/console/{{name:path}}", file, include_in_schema=False)
    return router


def wants_console(connection: HTTPConnection) -> bool:
    """Return whether a browser asks for the page that the console has at `/`."""
    section = engine_of(connection).section
    return bool(
        section.console
        and not section.app
        and not section.console_path.rstrip("/")
        and connection.scope.get("method") == "GET"
        and connection.scope["path"].rstrip("/") == connection.scope["saltapi.base"]
        and answers.wants_page(connection.headers.get("Accept"))
    )


async def prepared() -> None:
    """Return when all files have been read, so that nobody waits for that when they are wanted."""
    if not _preloads.cache_info().currsize:
        await asyncio.to_thread(lambda: (_edition(), _preloads()))


@costs(READS)
async def page(request: Request, if_none_match: IfNoneMatch = None) -> Response:
    """Return the page. Needs no session: the page asks for one."""
    base = request.scope["saltapi.base"]
    path = engine_of(request).section.console_path.rstrip("/")
    await prepared()
    files, has_cookie = f"{base}{path}/console/{_edition()}", answers.COOKIE in request.cookies
    found = await asyncio.to_thread(_page, base, files, has_cookie=has_cookie)
    response = found.response(request, if_none_match, answers.HTML_PAGE_TYPE)
    response.headers.update(PAGE_HEADERS)
    response.headers.update(opener_policy(request))
    return response


@costs(READS)
async def file(name: FileName, request: Request, if_none_match: IfNoneMatch = None) -> Response:
    """
    Return a script, a style sheet or a picture of the page. Needs no session.

    Below the name of the edition, as the page has them, browsers keep them for good.
    """
    await prepared()
    edition, _, rest = name.partition("/")
    for_good = edition == _edition()
    path = rest if for_good else name
    if path not in _names():
        raise NotFound(f"The path '{request.url.path}' was not found.")
    found = _file(path)
    return found.response(request, if_none_match, TYPES[_suffix(path)], for_good=for_good)


class Files:
    """
    The files that browsers keep for good, without what other requests pass.

    A page has dozens of them, the same for everybody: no session is looked up for them, and they
    do not count as somebody's requests.
    """

    def __init__(self, routes: list[BaseRoute]) -> None:
        """Take all routes of the application."""
        contexts = iter_route_contexts(routes)
        self._route = next((found for found in contexts if found.endpoint is file), None)
        self._path = "" if self._route is None else str(self._route.path).partition("{")[0]

    def answer(self, scope: Scope) -> Response | None:
        """Return what answers a request, whose *scope* then has its route; None for all others."""
        is_ready = self._route is not None and _edition.cache_info().currsize
        if not is_ready or scope.get("method") != "GET":
            return None
        path = scope["path"].removeprefix(scope["root_path"])
        edition, _, name = path.removeprefix(self._path).partition("/")
        if not path.startswith(self._path) or edition != _edition() or name not in _names():
            return None
        scope["route"] = self._route
        request = Request(scope)
        known = request.headers.get("If-None-Match")
        return _file(name).response(request, known, TYPES[_suffix(name)], for_good=True)


@functools.cache
def _page(base: str, files: str, *, has_cookie: bool) -> PackagedFile:
    """Return the page; for who cannot have a session, with the form that the scripts would show."""
    top = resources.files(PACKAGE).joinpath("static")
    text = top.joinpath("index.html").read_text().replace("{preloads}", _preloads())
    text = text.replace("{session}", "yes" if has_cookie else "no")
    text = text.replace("{form}", "" if has_cookie else top.joinpath("login.html").read_text())
    text = text.replace("{base}", html.escape(base)).replace("{files}", html.escape(files))
    return PackagedFile(text.encode())


@functools.cache
def _preloads() -> str:
    """Return links to the scripts: else a browser learns of one when it has who imports it."""
    names = sorted(name for name in _names() if _suffix(name) in SCRIPTS)
    top = resources.files(PACKAGE).joinpath("static")
    sources = {name: top.joinpath(*name.split("/")).read_text() for name in names}
    first = modules.needed(sources, START)
    second = [name for name in modules.needed(sources, FIRST_VIEW) if name not in first]
    links = [PRELOAD.format(name=name, how="") for name in first]
    links += [PRELOAD.format(name=name, how=' fetchpriority="low"') for name in second]
    return "\n".join(links)


@functools.cache
def _edition() -> str:
    """Return a name for all files as they are: with another one of them it is another name."""
    tags = "".join(f"{name} {_file(name).tag}\n" for name in sorted(_names()))
    return hashlib.sha256(tags.encode()).hexdigest()[:16]


def _file(name: str) -> PackagedFile:
    return packaged(PACKAGE, f"static/{name}")


@functools.cache
def _names() -> frozenset[str]:
    """Return the paths of the files that may be asked for."""
    top = resources.files(PACKAGE).joinpath("static")
    found = set()
    folders = [("", top)]
    while folders:
        prefix, folder = folders.pop()
        for entry in folder.iterdir():
            if entry.is_dir():
                folders.append((f"{prefix}{entry.name}/", entry))
            elif _suffix(entry.name) in TYPES:
                found.add(f"{prefix}{entry.name}")
    return frozenset(found)


def _suffix(name: str) -> str:
    return name[name.rfind(".") :]
