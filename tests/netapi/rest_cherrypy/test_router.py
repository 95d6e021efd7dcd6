"""From a URL to what answers there: nothing but what the documentation names."""

from typing import Any

import pytest

from tests.netapi.rest_cherrypy.doors import WsgiDoor


@pytest.fixture(scope="module")
def door() -> WsgiDoor:
    return WsgiDoor()


@pytest.mark.parametrize(
    "path",
    [
        "/GET/__self__",
        "/GET/__self__/login",
        "/OPTIONS/__self__/run",
        "/door",
        "/door/section",
        "/refuse",
        "/_cp_config",
        "/favicon_ico",
        "/index",
        "/default",
        "/Login",
        "/LOGIN",
        "/login/x",
        "/run/x",
        "/minions/a/b",
        "/jobs/1/2",
        "/keys/a/b",
        "/stats/x",
        "/nope",
        "/%00",
        "/log in",
        "/log.in",
        "/..",
        "/login/..",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_there_is_nothing_else(door: WsgiDoor, method: str, path: str) -> None:
    """A path that is not in the table is 404 (405 below a URL that takes no such method)."""
    answer = door.ask(method, path, headers={"Accept": "application/json"})

    assert answer.status in {404, 405}
    if method != "HEAD":
        assert answer.status == answer.value()["status"]


@pytest.mark.parametrize("path", ["/login", "/login/", "//login", "//login//"])
def test_slashes(door: WsgiDoor, path: str) -> None:
    """More slashes than needed change nothing, and are not redirected."""
    assert "Please log in" == door.ask("GET", path).value()["return"]


@pytest.mark.parametrize("name", ["resource", "self", "door", "path", "mid", "handler"])
def test_names_of_parameters(door: WsgiDoor, name: str) -> None:
    """A parameter in the URL is never taken for one of ours: it is 404 where there is none."""
    assert 404 == door.ask("GET", "/", query=f"{name}=1").status
    odd = {"Content-Type": "image/png"}
    sent = door.ask("POST", "/login", query=f"{name}=1", headers=odd, body=b"x")
    assert sent.status in {404, 406}


@pytest.mark.parametrize(
    ("headers", "environ"),
    [
        ({"Cookie": "a=b; (=c"}, {}),
        ({}, {"HTTP_HOST": None}),
        ({}, {"QUERY_STRING": "mid=%ff%fe"}),
    ],
)
@pytest.mark.parametrize("accept", ["application/json", "application/x-yaml"])
def test_errors_before_the_handler(
    door: WsgiDoor, headers: dict[str, str], environ: dict[str, Any], accept: str
) -> None:
    """What CherryPy refuses by itself comes in the client's format, with a request id."""
    answer = door.ask("GET", "/login", headers={**headers, "Accept": accept}, **environ)

    assert answer.status in {400, 404}
    assert accept == answer.media_type
    assert answer.status == answer.value()["status"]
    assert answer.header("X-Request-Id")
    assert b"Traceback" not in answer.body
