"""What a narrowed token for machines gets from every URL: nothing beside what it names."""

from typing import Any

import pytest

from tests.netapi.sso.door import Doors

OPENING = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
NARROW = [{"minion-1": ["test.ping"]}, {"@runner": ["jobs.active"]}]
SECRET = "what-the-maker-has-run"
FOREIGN = {"tgt": "minion-1", "fun": "test.arg", "arg": ["x"]}

ASKED: dict[tuple[str, str], Any] = {
    ("GET", "/keys"): None,
    ("POST", "/keys"): {"mid": "new"},
    ("GET", "/keys/{mid}"): None,
    ("GET", "/events"): None,
    ("GET", "/events/{token}"): None,
    ("GET", "/ws"): None,
    ("GET", "/ws/{token}"): None,
    ("POST", "/hook"): {},
    ("POST", "/hook/{tag}"): {},
    ("POST", "/logout"): None,
    ("GET", "/minions"): None,
    ("GET", "/minions/{mid}"): None,
    ("POST", "/minions"): FOREIGN,
    ("POST", "/minions/{mid}"): FOREIGN,
    ("GET", "/jobs"): None,
    ("GET", "/jobs/{jid}"): None,
    ("GET", "/v1/jobs/{jid}"): None,
    ("DELETE", "/v1/jobs/{jid}"): None,
    ("GET", "/v1/jobs/{jid}/events"): None,
    ("POST", "/v1/jobs/{jid}/rerun"): {},
    ("POST", "/v1/jobs/{jid}/pause"): {},
    ("POST", "/v1/jobs/{jid}/resume"): {},
    ("POST", "/v1/jobs/{jid}/stop"): {},
    ("GET", "/v1/events"): None,
    ("GET", "/v1/events/cursors"): None,
    ("POST", "/v1/events/cursors/{name}/ack"): {"id": "x"},
    ("DELETE", "/v1/events/cursors/{name}"): None,
    ("GET", "/v1/audit"): None,
    ("GET", "/v1/minions"): None,
    ("GET", "/v1/minions/events"): None,
    ("GET", "/v1/minions/{mid}"): None,
    ("GET", "/v1/minions/{mid}/why"): None,
    ("GET", "/v1/keys"): None,
    ("POST", "/v1/keys"): {"keys": [{"id": "minion-1", "action": "reject"}]},
    ("POST", "/v1/keys/{mid}/accept"): {},
    ("POST", "/v1/keys/{mid}/reject"): {},
    ("DELETE", "/v1/keys/{mid}"): None,
    ("GET", "/v1/functions"): None,
    ("GET", "/v1/tokens"): None,
    ("POST", "/v1/tokens"): {"name": "x"},
    ("DELETE", "/v1/tokens/{token_id}"): None,
    ("POST", "/v1/logout"): {},
}
"""What it asks for at rest_asgi, and may not have."""
COMMANDS = {("POST", "/"), ("POST", "/run"), ("POST", "/v1/run"), ("POST", "/v1/check")}
"""They take commands: `test_machine_tokens`."""
OWN = {("GET", "/v1/whoami"), ("GET", "/v1/jobs")}
"""What they tell is the token's own: `test_machine_tokens`."""
TICKET = ("POST", "/v1/events/ticket")
STATS = ("GET", "/stats")
"""Numbers of the server, and of nothing that the master manages; for everybody with a session."""
FOR_ALL = {
    *[("GET", path) for path in ("/", "/run", "/token", "/login", "/v1/login", "/openapi.json")],
    *[("GET", path) for path in ("/livez", "/readyz", "/metrics", "/docs", "/docs/{name}")],
    *[("GET", path) for path in ("/favicon.ico", "/app", "/app/{rest}", "/v1/login/oidc")],
    *[("POST", path) for path in ("/login", "/token")],
}
"""They ask for no session, and take none."""


@pytest.fixture(scope="module")
def whole(doors: Doors) -> str:
    """A token of the same administrator's that is not narrowed."""
    return doors.make(doors.login())


@pytest.fixture(scope="module")
def narrow(doors: Doors) -> str:
    """A token of an administrator's that may ping a minion and look at active jobs."""
    return doors.make(doors.login(), permissions=NARROW)


@pytest.fixture(scope="module")
def names(doors: Doors, narrow: str, whole: str) -> dict[str, str]:
    """What stands for the parts of paths: a job and a token of the maker's, and a minion."""
    ran = doors.v1("POST", "/run", whole, {**FOREIGN, "arg": [SECRET]}).value()
    return {
        "jid": ran["results"][0]["jid"],
        "mid": "minion-1",
        "token": narrow,
        "token_id": whole.split("_")[1],
        "tag": "x",
        "name": "x",
    }


def asked(
    doors: Doors, module: str, method: str, path: str, token: str, body: Any
) -> tuple[int, bytes]:
    """Return what somebody gets who asks for something with a token."""
    headers = {"X-Auth-Token": token, **(OPENING if "/ws" in path else {})}
    answer = doors.send(module, method, path, headers=headers, json_body=body)
    return answer.status, answer.body


@pytest.mark.parametrize(("method", "path"), ASKED, ids=lambda part: str(part).strip("/"))
def test_url(doors: Doors, narrow: str, names: dict[str, str], method: str, path: str) -> None:
    """A narrowed token gets from no URL what its permissions do not name."""
    body = ASKED[method, path]
    status, text = asked(doors, "rest_asgi", method, path.format(**names), narrow, body)

    assert status in ({400} if "logout" in path else {401, 403, 404}), (status, text)
    assert SECRET.encode() not in text


@pytest.mark.parametrize("path", ["/v1/events", "/v1/minions/events", "/v1/jobs/{jid}/events"])
def test_ticket(doors: Doors, narrow: str, names: dict[str, str], path: str) -> None:
    """A ticket of its opens what the token itself does: no stream but those of its own jobs."""
    ticket = doors.v1("POST", "/events/ticket", narrow).value()["ticket"]
    where = f"{path.format(**names)}?ticket={ticket}"

    assert doors.send("rest_asgi", "GET", where).status in {401, 403, 404}


def test_every_url(doors: Doors) -> None:
    """Every URL that there is has been thought of: a new one has to be put into a list above."""
    paths = doors.send("rest_asgi", "GET", "/openapi.json").value()["paths"]
    found = {(method.upper(), path) for path, methods in paths.items() for method in methods}

    assert found - FOR_ALL == {*ASKED, *COMMANDS, *OWN, TICKET, STATS} & found
    assert ASKED.keys() <= found


REFUSED = b'{"return": ["Failed to authenticate"]}'
"""What Salt's rest_tornado answers with a status of 200."""
CLASSIC = [
    ("rest_cherrypy", "GET", "/minions", None),
    ("rest_cherrypy", "GET", "/minions/minion-1", None),
    ("rest_cherrypy", "POST", "/minions", FOREIGN),
    ("rest_cherrypy", "GET", "/jobs", None),
    ("rest_cherrypy", "GET", "/jobs/{jid}", None),
    ("rest_cherrypy", "GET", "/keys", None),
    ("rest_cherrypy", "POST", "/keys", {"mid": "new"}),
    ("rest_cherrypy", "GET", "/events", None),
    ("rest_cherrypy", "GET", "/ws", None),
    ("rest_cherrypy", "GET", "/ws/{token}", None),
    ("rest_cherrypy", "POST", "/hook/x", None),
    ("rest_cherrypy", "POST", "/logout", None),
    ("rest_tornado", "GET", "/minions", None),
    ("rest_tornado", "GET", "/minions/minion-1", None),
    ("rest_tornado", "POST", "/minions", FOREIGN),
    ("rest_tornado", "GET", "/jobs", None),
    ("rest_tornado", "GET", "/jobs/{jid}", None),
    ("rest_tornado", "GET", "/keys", None),
    ("rest_tornado", "GET", "/events", None),
    ("rest_tornado", "GET", "/all_events/{token}", None),
    ("rest_tornado", "GET", "/formatted_events/{token}", None),
    ("rest_tornado", "POST", "/hook/x", None),
    ("rest_tornado", "POST", "/logout", None),
]


@pytest.mark.parametrize(("module", "method", "path", "body"), CLASSIC, ids=str)
def test_classic_url(
    doors: Doors,
    narrow: str,
    names: dict[str, str],
    module: str,
    method: str,
    path: str,
    body: Any,
) -> None:
    """Nor from one of the classic modules."""
    status, text = asked(doors, module, method, path.format(**names), narrow, body)

    assert status in {400, 401, 403, 404} or text == REFUSED, (status, text)
    assert SECRET.encode() not in text
