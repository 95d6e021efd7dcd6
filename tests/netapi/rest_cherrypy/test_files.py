"""Options that serve files: app, static, favicon, and the URLs around them."""

from pathlib import Path

import pytest

from tests.netapi.rest_cherrypy.doors import WsgiDoor
from tests.wire import Answer

PAGE = "<!doctype html><title>app</title>"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
JSON = "application/json"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "index.html").write_text(PAGE)
    (tmp_path / "icon.ico").write_bytes(b"icon")
    (tmp_path / "secret").write_text("secret")
    assets = tmp_path / "assets"
    (assets / "js").mkdir(parents=True)
    (assets / "js" / "app.js").write_text("let a = 1")
    (assets / "ünïcode name.txt").write_text("text")
    (assets / "link.js").symlink_to(assets / "js" / "app.js")
    return tmp_path


@pytest.fixture
def door(root: Path) -> WsgiDoor:
    return WsgiDoor(
        app=str(root / "index.html"),
        static=str(root / "assets"),
        favicon=str(root / "icon.ico"),
    )


def get(door: WsgiDoor, path: str, accept: str | None = None, **headers: str) -> Answer:
    return door.ask("GET", path, headers={**headers, **({"Accept": accept} if accept else {})})


def is_page(answer: Answer) -> bool:
    """Tell whether this is the app, not to be kept by the browser's back/forward cache."""
    if answer.body != PAGE.encode():
        return False
    assert (200, "text/html", "no-store") == (
        answer.status,
        answer.media_type,
        answer.header("Cache-Control"),
    )
    return True


@pytest.mark.parametrize("path", ["/app", "/app/", "/app/minions/minion-1", "/app/a%2Fb"])
@pytest.mark.parametrize("accept", [None, BROWSER, JSON])
def test_app_path(door: WsgiDoor, path: str, accept: str | None) -> None:
    """`app` is at `app_path`, whatever follows in the URL and whatever is accepted."""
    assert is_page(get(door, path, accept))


def test_other_app_path(root: Path) -> None:
    """`app_path` moves the app; the old place is nothing."""
    door = WsgiDoor(app=str(root / "index.html"), app_path="ui/v2/")

    assert is_page(get(door, "/ui/v2/x"))
    assert 404 == get(door, "/app").status
    assert 404 == get(door, "/ui").status


def test_no_app() -> None:
    """Without `app` there is no page, and a browser's request is not special."""
    door = WsgiDoor()

    assert 404 == get(door, "/app").status
    assert JSON == get(door, "/", BROWSER).media_type
    assert 406 == get(door, "/", "text/html").status


def test_app_that_is_gone(tmp_path: Path) -> None:
    """An `app` that is not there is 404 in the client's words."""
    answer = get(WsgiDoor(app=str(tmp_path / "none")), "/app", JSON)

    assert 404 == answer.status
    assert 404 == answer.value()["status"]


@pytest.mark.parametrize("path", ["/", "/login", "/minions", "/jobs/1", "/dashboard", "/a/b?c=d"])
@pytest.mark.parametrize("accept", ["text/html", BROWSER])
def test_browser_gets_the_app(door: WsgiDoor, path: str, accept: str) -> None:
    """With `app` set, a page that a browser asks for is the app, at every URL that is no file."""
    path, _, query = path.partition("?")
    answer = door.ask("GET", path, headers={"Accept": accept}, query=query)

    assert is_page(answer)
    assert 200 == door.ask("HEAD", path, headers={"Accept": accept}, query=query).status


@pytest.mark.parametrize("path", ["/", "/login", "/login/", "/minions"])
@pytest.mark.parametrize(
    "query",
    ["id=1", "reason=logout", "id=1&id=2", "a", "=", "self=1", "%FF=%FF", "a=" + "b" * 2000],
)
def test_parameters_of_the_app(door: WsgiDoor, path: str, query: str) -> None:
    """An app keeps its state in the URL: a reload, a bookmark or a popup is the app too."""
    for method in ("GET", "HEAD"):
        answer = door.ask(method, path, headers={"Accept": BROWSER}, query=query)
        assert 200 == answer.status
        assert "text/html" == answer.media_type


@pytest.mark.parametrize("accept", [None, "*/*", JSON, "application/json, text/html;q=0.9"])
def test_script_does_not_get_the_app(door: WsgiDoor, accept: str | None) -> None:
    """Who asks for data, or for anything, gets data."""
    assert "Welcome" == get(door, "/", accept).value()["return"]
    assert 404 == get(door, "/dashboard", accept).status


def test_browser_gets_files_as_they_are(door: WsgiDoor) -> None:
    """Files, and URLs that take no GET, are not replaced by the app; nor are other methods."""
    assert b"let a = 1" == get(door, "/static/js/app.js", BROWSER).body
    assert b"icon" == get(door, "/favicon.ico", BROWSER).body
    assert 404 == get(door, "/static/none", BROWSER).status
    assert 405 == get(door, "/hook", BROWSER).status
    assert 405 == door.ask("PUT", "/login", headers={"Accept": BROWSER}).status
    odd = {"Accept": BROWSER, "Content-Type": "image/png"}
    assert 406 == door.ask("POST", "/login", headers=odd, body=b"x").status


def test_static(door: WsgiDoor) -> None:
    """Files come with their type, length, and a date that a browser can ask with."""
    answer = get(door, "/static/js/app.js")
    changed = answer.header("Last-Modified") or ""

    assert 200 == answer.status
    assert b"let a = 1" == answer.body
    assert answer.media_type in {"text/javascript", "application/javascript"}
    assert "9" == answer.header("Content-Length")
    assert "nosniff" == answer.header("X-Content-Type-Options")
    assert 304 == get(door, "/static/js/app.js", **{"If-Modified-Since": changed}).status
    assert b"a = 1" == get(door, "/static/js/app.js", Range="bytes=4-").body
    assert b"" == door.ask("HEAD", "/static/js/app.js").body
    assert 200 == door.ask("GET", "/static/js/app.js", query="v=1.2").status


def test_names_of_static_files(door: WsgiDoor) -> None:
    """A name may have any characters, and a link is what it leads to."""
    latin = "/static/ünïcode name.txt".encode().decode("latin-1")

    assert b"text" == get(door, latin).body
    assert b"let a = 1" == get(door, "/static/link.js").body


@pytest.mark.parametrize(
    "path",
    [
        "/static",
        "/static/",
        "/static/js",
        "/static/js/",
        "/static/none.js",
        "/static/js/app.js/x",
        "/static/../secret",
        "/static/js/../../../secret",
        "/static/%2e%2e/secret",
        "/static/..%2Fsecret",
        "/static/js%2Fapp.js",
        "/static/..\\secret",
        "/static//etc/passwd",
        "/static/%2Fetc/passwd",
        "/static/js/app.js\0",
        "/static/" + "a" * 5000,
        "/static/" + "a/" * 5000,
    ],
)
def test_not_a_static_file(door: WsgiDoor, path: str) -> None:
    """Directories, what is not there, and ways out of the directory are all the same 404."""
    answer = get(door, path, JSON)

    assert 404 == answer.status
    assert 404 == answer.value()["status"]
    assert b"secret" not in answer.body.replace(b"secret' was not found", b"")


def test_static_path(root: Path) -> None:
    """`static_path` may have several segments."""
    door = WsgiDoor(static=str(root / "assets"), static_path="/ui/v2/assets/")

    assert b"let a = 1" == get(door, "/ui/v2/assets/js/app.js").body
    assert 404 == get(door, "/static/js/app.js").status


def test_no_static() -> None:
    """Without `static` there is nothing at `static_path`."""
    assert 404 == get(WsgiDoor(), "/static/js/app.js").status


def test_no_favicon() -> None:
    """Without `favicon` there is none, not CherryPy's own either."""
    assert 404 == get(WsgiDoor(), "/favicon.ico").status


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize("path", ["/static/js/app.js", "/app", "/favicon.ico"])
def test_files_are_only_read(door: WsgiDoor, method: str, path: str) -> None:
    """A file takes no other method."""
    answer = door.ask(method, path)

    assert 405 == answer.status
    assert "GET, HEAD, OPTIONS" == answer.header("Allow")
