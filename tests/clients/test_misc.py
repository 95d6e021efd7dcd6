"""
What other clients send: buttersalt, saltypie, salt-mill, iodine, chaostoolkit-saltstack,
netunicorn. They cannot be installed here, so their requests are made by hand.
"""

import json
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlencode

import pytest

from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer
from tests.waiting import eventually
from tests.wire import Answer

FORM = "application/x-www-form-urlencoded"
BOTH = {"minion-1": True, "minion-2": True}


@pytest.fixture
def cookie(api: ApiServer) -> dict[str, str]:
    """The headers of a client that keeps the cookie and nothing else."""
    answer = post_form(api, "/login", {}, **api.master.credentials())
    assert 200 == answer.status
    return {"Cookie": (answer.header("Set-Cookie") or "").partition(";")[0]}


def post_form(api: ApiServer, path: str, headers: dict[str, str], **fields: Any) -> Answer:
    """POST a form."""
    body = urlencode(fields, doseq=True).encode()
    return api.send("POST", path, headers={"Content-Type": FORM, **headers}, body=body)


def run(api: ApiServer, headers: dict[str, str], **chunk: Any) -> Any:
    """Run a chunk, sent as JSON, and return its result."""
    answer = api.send("POST", "/", headers=headers, json_body=[chunk])
    assert 200 == answer.status, answer
    return answer.value()["return"][0]


def test_cookie_alone(api: ApiServer, cookie: dict[str, str]) -> None:
    """The cookie is enough for every URL that needs a session."""
    assert BOTH == run(api, cookie, client="local", tgt="*", fun="test.ping")
    for path in ("/minions/minion-1", "/jobs", "/keys", "/stats"):
        assert 200 == api.send("GET", path, headers=cookie).status
    assert {"success": True} == post_form(api, "/hook", cookie, a=1).value()


@pytest.mark.parametrize("path", ["/minions", "/minions/"])
def test_form_to_minions(api: ApiServer, cookie: dict[str, str], path: str) -> None:
    """A form to `/minions`, with or without a slash at its end, is 202 and no redirect."""
    answer = post_form(api, path, cookie, tgt="*", fun="test.ping", client="local_async")
    assert 202 == answer.status
    found = answer.value()
    assert ["minion-1", "minion-2"] == sorted(found["return"][0]["minions"])
    assert [{"href": f"/jobs/{found['return'][0]['jid']}"}] == found["_links"]["jobs"]


@pytest.mark.parametrize("name", ["expr_form", "tgt_type"])
def test_list_target(api: ApiServer, cookie: dict[str, str], name: str) -> None:
    """A target that is a JSON list, with the old name of its type and the new one."""
    names = ["minion-1", "minion-2"]
    assert BOTH == run(api, cookie, client="local", tgt=names, fun="test.ping", **{name: "list"})
    text = ",".join(names)
    assert BOTH == run(api, cookie, client="local", tgt=text, fun="test.ping", **{name: "list"})


def test_old_name_in_a_form(api: ApiServer, cookie: dict[str, str]) -> None:
    """`expr_form` in a form."""
    chunk = {"client": "local", "tgt": "minion-[12]", "fun": "test.ping", "expr_form": "pcre"}
    assert {"return": [BOTH]} == post_form(api, "/", cookie, **chunk).value()


@pytest.mark.parametrize("fun", ["jobs.lookup_jid", "jobs.list_job"])
def test_jid_of_a_runner(api: ApiServer, cookie: dict[str, str], fun: str) -> None:
    """The jid at top level, in `arg` (a list or a text) and in `kwarg`."""
    jid = run(api, cookie, client="local_async", tgt="*", fun="test.ping")["jid"]
    ways: list[dict[str, Any]] = [
        {"jid": jid},
        {"arg": [jid]},
        {"arg": jid},
        {"kwarg": {"jid": jid}},
    ]
    for way in ways:
        ask = partial(run, api, cookie, client="runner", fun=fun, **way)
        eventually(partial(lambda ask: "minion-2" in json.dumps(ask()), ask))


def test_python_in_a_form(api: ApiServer, cookie: dict[str, str]) -> None:
    """Values in Python's way of writing: an integer and a dict."""
    chunk = {"client": "local", "tgt": "minion-1", "fun": "test.arg"}
    answer = post_form(api, "/", cookie, **chunk, arg="1234", kwarg="{'a': 'b'}")
    found = answer.value()["return"][0]["minion-1"]
    assert [1234] == found["args"]
    assert "b" == found["kwargs"]["a"]


@pytest.mark.parametrize("timeout", ["60", "60.5", "None", "", 60, 60.5, None])
def test_timeout_as_text(api: ApiServer, cookie: dict[str, str], timeout: Any) -> None:
    """A timeout as Salt's main branch takes it."""
    chunk = {"client": "local", "tgt": "*", "fun": "test.ping", "timeout": timeout}
    assert BOTH == run(api, cookie, **chunk)


@pytest.mark.parametrize("timeout", ["soon", "-1", [], "nan", True])
def test_timeout_that_is_none(api: ApiServer, cookie: dict[str, str], timeout: Any) -> None:
    """Anything else is 400."""
    chunk = {"client": "local", "tgt": "*", "fun": "test.ping", "timeout": timeout}
    assert 400 == api.send("POST", "/", headers=cookie, json_body=chunk).status


def test_logout_with_the_cookie(api: ApiServer, cookie: dict[str, str]) -> None:
    """`POST /logout` with the cookie takes it back and ends the session."""
    answer = api.send("POST", "/logout", headers=cookie)
    assert 200 == answer.status
    assert "Max-Age=0" in (answer.header("Set-Cookie") or "")
    assert 401 == api.send("GET", "/keys", headers=cookie).status


@pytest.mark.long
def test_master_not_running(private_master: Callable[..., PrivateMaster]) -> None:
    """A login while the master does not run is 503; clients say so by this number."""
    master = private_master(minions=0)
    with ApiServer(master, OURS) as server:
        assert server.login()
        master.kill_master()
        answer = server.send("POST", "/login", json_body=master.credentials())
        assert 503 == answer.status
