"""The console as it is served; what it does in a browser is in tests/console."""

import gzip
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from saltapi.netapi.rest_asgi import console
from saltapi.netapi.rest_asgi.console.modules import needed
from tests.netapi.rest_asgi.running import RunningServer
from tests.wire import Answer

STATIC = Path(str(resources.files(console).joinpath("static")))
VENDOR = STATIC / "vendor"
COMPRESSED_BYTES = 150_000
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@contextmanager
def serving(path: Path, **options: Any) -> Iterator[RunningServer]:
    with RunningServer(path, **options) as server:
        yield server


def page_of(server: RunningServer, path: str, **headers: str) -> Answer:
    return server.send("GET", path, headers={"Accept": BROWSER, **headers})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server below a prefix."""
    with serving(tmp_path_factory.mktemp("console"), root_prefix="/salt") as server:
        yield server


def test_page(server: RunningServer) -> None:
    """A browser gets the page at the module's address; no script or style stands in it."""
    answer = page_of(server, "/salt/")
    page = answer.body.decode()
    assert (200, "text/html") == (answer.status, answer.media_type)
    assert [] == re.findall(r"<script(?![^>]* src=)|<style|style=| on\w+=", page)
    assert 'content="/salt"' in page
    links = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert links
    for link in links:
        assert 200 == server.send("GET", link).status, link
    etag = answer.header("ETag") or ""
    assert 304 == page_of(server, "/salt/", **{"If-None-Match": etag}).status


def test_others_get_what_they_did(server: RunningServer) -> None:
    """Who asks for data, or says nothing, gets the welcome as before; so does a POST its answer."""
    for accept in ("application/json", "*/*", "application/json, text/html;q=0.5"):
        answer = server.send("GET", "/salt/", headers={"Accept": accept})
        assert "Welcome" == answer.value()["return"], accept
    assert 401 == server.send("POST", "/salt/", headers={"Accept": BROWSER}, json_body=[]).status


def test_policy(server: RunningServer) -> None:
    """The browser loads from here alone, and runs nothing that stands in the page."""
    policy = page_of(server, "/salt/").header("Content-Security-Policy") or ""
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert [] == re.findall(r"https?:|\*|data:", policy)


def test_files(server: RunningServer) -> None:
    """Each file has its type; what is no file of the console is not found, wherever it points."""
    for path in STATIC.rglob("*"):
        if path.suffix in console.pages.TYPES:
            name = path.relative_to(STATIC).as_posix()
            answer = server.send("GET", f"/salt/console/{name}")
            assert (200, path.read_bytes()) == (answer.status, answer.body), name
    for name in ("index.html", "../pages.py", "..%2fpages.py", "vendor", "vendor/vendor.json", ""):
        assert 404 == server.send("GET", f"/salt/console/{name}").status, name


def test_kept_for_good(server: RunningServer) -> None:
    """
    Browsers keep the files of the page for good, and ask for the page itself each time.

    Below the name of another edition there is nothing: a page of an older version says so.
    """
    page = page_of(server, "/salt/")
    assert "no-cache" == page.header("Cache-Control")
    for link in re.findall(r'(?:src|href)="([^"]*)"', page.body.decode()):
        assert "immutable" in (server.send("GET", link).header("Cache-Control") or ""), link
    assert "no-cache" == server.send("GET", "/salt/console/main.js").header("Cache-Control")
    assert 404 == server.send("GET", "/salt/console/0123456789abcdef/main.js").status


def test_first_view_is_short(server: RunningServer) -> None:
    """The page names every script that it begins with, so that no one waits for another."""
    page = page_of(server, "/salt/").body.decode()
    named = re.findall(r'rel="modulepreload" href="/salt/console/[0-9a-f]+/([^"]+)"', page)
    sources = {
        path.relative_to(STATIC).as_posix(): path.read_text() for path in STATIC.rglob("*.*js")
    }
    overview = needed(sources, "views/overview.js")
    assert set(needed(sources, "main.js")) | set(overview) == set(named)
    assert len(set(named)) == len(named) < len(sources)


def test_form_is_there_at_once(server: RunningServer) -> None:
    """Who cannot have a session gets the form with the page; who may have one does not see it."""
    page = page_of(server, "/salt/")
    other = page_of(server, "/salt/", Cookie="session_id=0123456789")
    assert '<input name="password" type="password"' in page.body.decode()
    assert "<input" not in other.body.decode()
    assert page.header("ETag") != other.header("ETag")


def test_files_count_for_nothing(tmp_path: Path) -> None:
    """A page has many files; none of them counts as a request of whoever opens it."""
    with serving(tmp_path, address_requests_per_minute=10) as server:
        page = page_of(server, "/").body.decode()
        links = re.findall(r'(?:src|href)="(/console/[^"]*)"', page)
        assert len(links) > 20
        assert {200} == {server.send("GET", link).status for link in links}
        tag = server.send("GET", links[0]).header("ETag") or ""
        assert 304 == server.send("GET", links[0], headers={"If-None-Match": tag}).status
        assert 200 == server.send("HEAD", links[0]).status


def test_imports_are_there() -> None:
    """Every module that is imported is a file, and none is of another server."""
    for path in STATIC.rglob("*.*js"):
        for name in re.findall(r'(?:from|import) ?\(?"([^"]+)"', path.read_text()):
            assert name.startswith("."), (path, name)
            assert (path.parent / name).is_file(), (path, name)


def test_size() -> None:
    """All of it is small: it is there before one has looked."""
    files = [path for path in STATIC.rglob("*") if path.suffix in {".js", ".mjs", ".css", ".svg"}]
    assert sum(len(gzip.compress(path.read_bytes())) for path in files) < COMPRESSED_BYTES


def test_vendored() -> None:
    """What others wrote is unchanged, and listed with version and licence."""
    entries = json.loads((VENDOR / "vendor.json").read_text())
    for entry in entries:
        text = (VENDOR / entry["file"]).read_bytes()
        assert entry["sha256"] == hashlib.sha256(text).hexdigest(), entry["file"]
        assert entry["version"]
        assert entry["licence"] in {"MIT", "Apache-2.0"}
    assert {entry["file"] for entry in entries} == {path.name for path in VENDOR.glob("*.mjs")}


def test_no_way_to_markup() -> None:
    """No script makes markup or code of texts: what a minion says stays text."""
    for path in STATIC.rglob("*.js"):
        found = re.findall(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|DOMParser",
            path.read_text(),
        )
        assert [] == found, path


def test_switched_off(tmp_path: Path) -> None:
    """With `console: False` there is none."""
    with serving(tmp_path, console=False) as server:
        assert "application/json" == server.send("GET", "/", headers={"Accept": "*/*"}).media_type
        assert "Welcome" == page_of(server, "/").value()["return"]
        assert 404 == server.send("GET", "/console/main.js").status


def test_moved(tmp_path: Path) -> None:
    """`console_path` moves it, and leaves `/` as it was."""
    with serving(tmp_path, console_path="/ui") as server:
        assert "Welcome" == page_of(server, "/").value()["return"]
        page = page_of(server, "/ui").body.decode()
        assert re.search('src="/ui/console/[0-9a-f]+/main.js"', page)
        assert 200 == server.send("GET", "/ui/console/main.js").status


def test_app_goes_first(tmp_path: Path) -> None:
    """Where `app` is set, browsers get that."""
    app = tmp_path / "app.html"
    app.write_text("<title>theirs</title>")
    with serving(tmp_path, app=str(app)) as server:
        assert b"<title>theirs</title>" == page_of(server, "/").body
        assert 404 == server.send("GET", "/console/main.js").status
