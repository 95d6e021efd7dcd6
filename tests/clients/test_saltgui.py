"""
What SaltGUI sends and relies on (it runs in a browser, so its requests are made here).

Every POST is JSON labelled as plain text, chunks are bare mappings, and before the login the token
is an empty header.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer
from tests.wire import Answer

TEXT = "text/plain;charset=UTF-8"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
PAGE = "<!doctype html><title>SaltGUI</title>"


@pytest.fixture(scope="module", params=["rest_cherrypy", "rest_asgi"])
def gui(
    request: pytest.FixtureRequest, master: PrivateMaster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ApiServer]:
    """A server with a single-page app, as its installation guide sets it up."""
    home = tmp_path_factory.mktemp("saltgui")
    static = home / "static"
    static.mkdir()
    (home / "index.html").write_text(PAGE)
    (static / "app.js").write_text("let a = 1;\n")
    section = {"app": str(home / "index.html"), "static": str(static), "static_path": "/static"}
    with ApiServer(master, OURS, section, module=request.param) as server:
        yield server


class Browser:
    """A session of the app."""

    def __init__(self, server: ApiServer) -> None:
        self.server = server
        self.token = ""
        self.cookie = ""

    def send(
        self, method: str, path: str, value: Any = None, accept: str = "application/json"
    ) -> Answer:
        """Send what the app's `fetch` sends."""
        headers = {"Accept": accept, "X-Auth-Token": self.token}
        if self.cookie:
            headers["Cookie"] = self.cookie
        body = None
        if value is not None:
            headers["Content-Type"] = TEXT
            body = json.dumps(value).encode()
        return self.server.send(method, path, headers=headers, body=body)

    def login(self) -> dict[str, Any]:
        """Log in and return what came back."""
        answer = self.send("POST", "/login", self.server.master.credentials())
        assert 200 == answer.status, answer
        found: dict[str, Any] = answer.value()["return"][0]
        self.token = found["token"]
        self.cookie = (answer.header("Set-Cookie") or "").partition(";")[0]
        return found

    def run(self, **chunk: Any) -> Any:
        """Run one bare chunk and return its result."""
        answer = self.send("POST", "/", chunk)
        assert 200 == answer.status, answer
        return answer.value()["return"][0]


@pytest.fixture
def browser(gui: ApiServer) -> Browser:
    """A session that is logged in."""
    browser = Browser(gui)
    browser.login()
    return browser


def test_login_has_permissions(gui: ApiServer) -> None:
    """The login works with an empty token header, and `perms` is not empty."""
    found = Browser(gui).login()
    assert {"token", "start", "expire", "user", "eauth", "perms"} == found.keys()
    assert found["perms"]


def test_page(gui: ApiServer) -> None:
    """A browser gets the app's page, which it must not keep in its back/forward cache."""
    for path in ("/", "/app", "/app/minions"):
        answer = gui.send("GET", path, headers={"Accept": BROWSER})
        assert 200 == answer.status
        assert PAGE == answer.body.decode()
        assert "text/html" == answer.media_type
        assert "no-store" in (answer.header("Cache-Control") or "")


@pytest.mark.parametrize(
    "url",
    [
        "/?id=20261127101112131415",  # a job's page, reloaded
        "/?minionid=minion-1",
        "/?reason=logout",  # the login after a logout
        "/login?reason=expired-session",
        "/?popup=run-command&tgttype=list&tgt=a%2Cb&cmd=test.ping",
        "/?",
    ],
)
def test_reload(browser: Browser, url: str) -> None:
    """The app keeps its state in the URL: whoever comes there by a reload or bookmark gets it."""
    for cookie in ("", browser.cookie):
        headers = {"Accept": BROWSER, **({"Cookie": cookie} if cookie else {})}
        for more in ({}, {"Cache-Control": "max-age=0"}):
            answer = browser.server.send("GET", url, headers={**headers, **more})
            assert (200, PAGE) == (answer.status, answer.body.decode())
            assert "no-store" in (answer.header("Cache-Control") or "")


def test_welcome(gui: ApiServer) -> None:
    """With `Accept: application/json` the root is the welcome."""
    answer = gui.send("GET", "/", headers={"Accept": "application/json"})
    assert "Welcome" == answer.value()["return"]


def test_static_files(gui: ApiServer) -> None:
    """Static files are served; one that is missing is 404, for the app probes for some."""
    assert b"let a = 1;\n" == gui.send("GET", "/static/app.js").body
    for accept in ("*/*", BROWSER, "application/json"):
        answer = gui.send("GET", "/static/minions.txt", headers={"Accept": accept})
        assert 404 == answer.status


@pytest.mark.parametrize("path", ["/static/../index.html", "/static/..%2findex.html"])
def test_nothing_outside_the_static_directory(gui: ApiServer, path: str) -> None:
    """No path leads out of the static directory."""
    answer = gui.send("GET", path)
    assert answer.status in {400, 403, 404}
    assert PAGE not in answer.body.decode()


def test_events_by_cookie(browser: Browser) -> None:
    """`EventSource` sends the cookie alone, and a browser's Accept does not make it a page."""
    for accept in ("text/event-stream", BROWSER):
        headers = {"Accept": accept, "Cookie": browser.cookie}
        answer = browser.server.send("GET", "/events", headers=headers)
        assert 200 == answer.status, answer
        assert "text/event-stream" == answer.media_type
        assert b"retry: 400\n" == answer.body


def test_local(browser: Browser) -> None:
    """A synchronous command."""
    found = browser.run(client="local", fun="test.ping", tgt="*", tgt_type="glob")
    assert {"minion-1": True, "minion-2": True} == found


def test_local_async(browser: Browser) -> None:
    """An asynchronous command."""
    found = browser.run(client="local_async", fun="test.ping", tgt="*", tgt_type="glob")
    assert ["minion-1", "minion-2"] == sorted(found["minions"])


def test_grains_and_pillar(browser: Browser) -> None:
    """The cached grains and pillars of minions, by the runner `cache`."""
    found = browser.run(client="runner", fun="cache.grains", tgt="*")
    assert ["minion-1", "minion-2"] == sorted(found)
    assert isinstance(browser.run(client="runner", fun="cache.pillar", tgt="*"), dict)


def test_jobs(browser: Browser) -> None:
    """Running jobs, one job by its jid at top level, and a search."""
    target = "minion-[12]"
    jid = browser.run(client="local_async", fun="test.ping", tgt=target)["jid"]
    assert isinstance(browser.run(client="runner", fun="jobs.active"), dict)
    job = browser.run(client="runner", fun="jobs.list_job", jid=jid)
    assert "test.ping" == job["Function"]
    # Salt's search fails where it comes upon a job of several functions; this target is ours alone.
    wanted = {"search_function": ["test.ping"], "search_target": ["minion-[[]12]"]}
    jobs = browser.run(client="runner", fun="jobs.list_jobs", **wanted)
    assert jid in jobs


def test_versions(browser: Browser) -> None:
    """The versions of master and minions."""
    assert "Master" in browser.run(client="runner", fun="manage.versions")


def test_orchestration_preview(browser: Browser) -> None:
    """`state.orchestrate_show_sls` with `arg: ["*"]` answers 200, whatever Salt says to it."""
    chunk = {"client": "runner", "fun": "state.orchestrate_show_sls", "arg": ["*"]}
    assert 200 == browser.send("POST", "/", chunk).status


def test_wheel(browser: Browser) -> None:
    """The wheel functions that it uses."""
    keys = browser.run(client="wheel", fun="key.list_all")["data"]["return"]
    assert ["minion-1", "minion-2"] == sorted(keys["minions"])
    found = browser.run(client="wheel", fun="key.finger", match="*")["data"]["return"]
    assert {"minion-1", "minion-2"} <= found["minions"].keys()
    config = browser.run(client="wheel", fun="config.values")["data"]["return"]
    assert "external_auth" in config
    browser.run(client="wheel", fun="key.accept", match="nobody-waits")
    connected = browser.run(client="wheel", fun="minions.connected")["data"]["return"]
    assert isinstance(connected, list)


def test_stats(browser: Browser) -> None:
    """`/stats` is 200 and JSON also without `collect_stats`."""
    answer = browser.send("GET", "/stats")
    assert 200 == answer.status
    assert {} == answer.value()


def test_logout(browser: Browser) -> None:
    """The app posts to `/logout`, also with a token that is dead already."""
    assert 200 == browser.send("POST", "/logout", {}).status
    answer = browser.send("POST", "/", {"client": "local", "tgt": "*", "fun": "test.ping"})
    assert 401 == answer.status
    assert browser.send("POST", "/logout", {}).status in {200, 401}
