"""`/openapi.json`, and `/docs`, which shows it."""

import gzip
import hashlib
import json
import re
import tomllib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from saltapi.netapi import rest_asgi
from tests.netapi.rest_asgi.running import RunningServer

PREFIX = "/salt"
DIRECTORY = resources.files(rest_asgi).joinpath("docs")
VENDORED = DIRECTORY.joinpath("swagger_ui")
FACTS: dict[str, Any] = tomllib.loads(VENDORED.joinpath("vendor.toml").read_text())
URLS = ["/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css", "/docs/page.js", "/docs/page.css"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server below a prefix."""
    with RunningServer(tmp_path_factory.mktemp("documentation"), root_prefix=PREFIX) as server:
        yield server


def test_page(server: RunningServer) -> None:
    """The page comes without a session, and holds no script or style of its own."""
    answer = server.send("GET", f"{PREFIX}/docs")
    page = answer.body.decode()

    assert 200 == answer.status
    assert "text/html" == answer.media_type
    assert [] == re.findall(r"<script(?![^>]* src=)|<style|style=| on\w+=", page)


def test_page_loads_its_own_files_only(server: RunningServer) -> None:
    """All that the page loads is there, below the prefix; no address is of another server."""
    page = server.send("GET", f"{PREFIX}/docs").body.decode()
    links = re.findall(r'(?:src|href)="([^"]*)"', page)
    own = [link for link in links if link != "data:,"]

    assert 5 == len(own)
    for link in own:
        assert 200 == server.send("GET", f"{PREFIX}/{link}").status, link
    script = server.send("GET", f"{PREFIX}/docs/page.js").body.decode()
    assert [] == re.findall(r"https?:|//\w", page + script)
    assert 'url: "openapi.json"' in script


def test_policy(server: RunningServer) -> None:
    """The browser is told to load and to send nothing anywhere else."""
    policy = server.send("GET", f"{PREFIX}/docs").header("Content-Security-Policy")

    assert policy is not None
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("url", URLS)
def test_files(server: RunningServer, url: str) -> None:
    """A file comes with its type; who has it already gets 304."""
    answer = server.send("GET", PREFIX + url)
    tag = answer.header("ETag")

    assert 200 == answer.status
    assert ("text/css" if url.endswith("css") else "text/javascript") == answer.media_type
    assert tag is not None
    again = server.send("GET", PREFIX + url, headers={"If-None-Match": tag})
    assert (304, b"") == (again.status, again.body)


@pytest.mark.parametrize("url", [*URLS[:2], "/openapi.json"])
def test_compressed(server: RunningServer, url: str) -> None:
    """Large files are compressed for who takes that."""
    plain = server.send("GET", PREFIX + url)
    small = server.send("GET", PREFIX + url, headers={"Accept-Encoding": "gzip"})

    assert "gzip" == small.header("Content-Encoding")
    assert plain.body == gzip.decompress(small.body)


@pytest.mark.parametrize("name", ["vendor.toml", "LICENSE", "..%2findex.html", "index.html", ""])
def test_other_files(server: RunningServer, name: str) -> None:
    """Nothing but the files of the page can be reached."""
    answer = server.send("GET", f"{PREFIX}/docs/{name}")

    assert name == "" or 404 == answer.status
    assert b"[sha256]" not in answer.body


def test_document_below_a_prefix(server: RunningServer) -> None:
    """The document comes without a session; its paths are those of this server."""
    answer = server.send("GET", f"{PREFIX}/openapi.json")

    assert 200 == answer.status
    assert "application/json" == answer.media_type
    found = json.loads(answer.body)
    assert found["openapi"].startswith("3.1.")
    assert {PREFIX} == {path[: len(PREFIX)] for path in found["paths"]}
    answered = found["paths"][f"{PREFIX}/v1/jobs"]["get"]["responses"]["406"]
    assert {"$ref": "#/components/responses/problem_406"} == answered
    assert 404 == server.send("GET", "/openapi.json").status


def test_vendored_files() -> None:
    """The files of others are those that were published, and all of them are listed."""
    found = {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in VENDORED.iterdir()
        if file.name != "vendor.toml"
    }

    assert FACTS["sha256"] == found


def test_vendored_licence() -> None:
    """Version, licence and its text are there."""
    assert {"swagger-ui-dist", "Apache-2.0"} == {FACTS["name"], FACTS["licence"]}
    assert re.fullmatch(r"\d+\.\d+\.\d+", FACTS["version"])
    assert "Apache License" in VENDORED.joinpath("LICENSE").read_text()
    page = (Path(__file__).parents[3] / "docs" / "dependencies.md").read_text()
    assert f"swagger-ui-dist {FACTS['version']}" in page
