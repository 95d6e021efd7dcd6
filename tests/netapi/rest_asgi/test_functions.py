"""What can be run, at a real master."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import salt.cache

from saltapi import config
from saltapi.bridge.salt_line import SALT_LINE
from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer
from tests.waiting import eventually
from tests.wire import Answer

WORKERS = 2


@pytest.fixture(scope="module")
def api(master: PrivateMaster) -> Iterator[ApiServer]:
    with ApiServer(master, OURS, {"workers": WORKERS}, module="rest_asgi") as server:
        yield server


@pytest.fixture(scope="module")
def ask(api: ApiServer) -> Callable[..., Answer]:
    tokens = {name: api.login(name) for name in (None, "low", "scoped", "runners")}

    def send(query: str, user: str | None = None) -> Answer:
        return api.send(
            "GET", f"/v1/functions?{query}", headers={"X-Auth-Token": tokens[user]}, timeout=200
        )

    return send


def allowed(answer: Answer) -> dict[str, str]:
    assert 200 == answer.status, answer
    return {name: one["allowed"] for name, one in answer.value()["functions"].items()}


def test_functions_of_a_minion(ask: Callable[..., Answer]) -> None:
    """A minion says which functions it has; arguments and documentation come with them."""
    query = "minion=minion-1&fun=test.[pa]*&docs=true"

    def asked() -> Any:
        found = ask(query).value()
        return found if found["asked"] else None  # a minion on a busy machine is late

    found = eventually(asked)
    sleep = found["functions"]["test.arg"]
    assert sleep["varargs"] is True
    assert sleep["doc"].startswith(sleep["summary"])
    assert "yes" == found["functions"]["test.ping"]["allowed"]
    assert 1000 < len(ask("minion=minion-1").value()["functions"])


def test_asked_once(api: ApiServer, ask: Callable[..., Answer]) -> None:
    """A minion is asked once by each worker; while it and its version stay, that is kept."""
    headers = {"X-Auth-Token": api.login()}

    def questions() -> int:
        page = api.send("GET", "/v1/jobs?fun=sys.list_functions&limit=500", headers=headers)
        return len(page.value()["jobs"])

    eventually(lambda: ask("minion=minion-2&fun=test.ping").value()["asked"])
    before = questions()
    found = [ask("minion=minion-2&fun=test.ping").value() for _ in range(10)]
    assert questions() - before <= WORKERS - 1
    (version,) = {each["version"] for each in found}
    assert version.startswith(str(SALT_LINE))


@pytest.mark.long
def test_changed_version(api: ApiServer, master: PrivateMaster, ask: Callable[..., Answer]) -> None:
    """A minion that has another version of Salt is asked again, once by each worker."""
    headers = {"X-Auth-Token": api.login()}
    query = "minion=minion-1&fun=test.ping"

    def ran(fun: str, **chunk: Any) -> None:
        body = {"fun": fun, **chunk}
        assert 200 == api.send("POST", "/v1/run", headers=headers, json_body=body).status

    def questions() -> int:
        page = api.send("GET", "/v1/jobs?fun=sys.list_functions&limit=500", headers=headers)
        return len(page.value()["jobs"])

    def asked_of(version: str) -> bool:
        found = [ask(query).value() for _ in range(2 * WORKERS)]
        return all(each["asked"] and each["version"] == version for each in found)

    version = ask(query).value()["version"]
    eventually(lambda: asked_of(version))
    opts = config.load(master.config_dir)
    place = ("grains", "minion-1") if SALT_LINE >= 3008 else ("minions/minion-1", "data")
    cache = salt.cache.factory(dict(opts))
    known = cache.fetch(*place)
    other = {**known, "saltversion": "3006.9"}
    if SALT_LINE < 3008:
        other = {**known, "grains": {**known["grains"], "saltversion": "3006.9"}}
    before = questions()
    try:
        cache.store(*place, other)
        tag = "minion/refresh/minion-1"
        ran(
            "event.send",
            client="runner",
            kwarg={"tag": tag, "data": {"Minion data cache refresh": "minion-1"}},
        )
        eventually(lambda: asked_of("3006.9"))
        assert 1 <= questions() - before <= WORKERS
    finally:
        cache.store(*place, known)
        ran("saltutil.refresh_grains", tgt="minion-1")
    eventually(lambda: ask(query).value()["version"] == version)


def test_functions_of_the_master(ask: Callable[..., Answer]) -> None:
    """Runner and wheel functions have their arguments with the defaults."""
    found = ask("client=runner&fun=jobs.list_job").value()["functions"]["jobs.list_job"]
    assert ["jid", "ext_source", "display_progress"] == found["args"]
    assert [None, False] == found["defaults"]
    assert "key.accept" in ask("client=wheel").value()["functions"]


def test_allowed(ask: Callable[..., Answer]) -> None:
    """What a user may run is said of each function."""
    assert {"test.ping": "yes", "test.arg": "no"}.items() <= allowed(
        ask("fun=test.*", "low")
    ).items()
    scoped = allowed(ask("fun=test.ping", "scoped"))
    assert {"test.ping": "depends"} == scoped
    assert {"test.ping": "yes"} == allowed(ask("fun=test.ping&minion=minion-1", "scoped"))
    assert {"yes"} == set(allowed(ask("client=runner", "runners")).values())
    assert {"no"} == set(allowed(ask("client=wheel", "runners")).values())


def test_refused(ask: Callable[..., Answer]) -> None:
    """A minion that the user may not see is none, and has no runner functions."""
    answer = ask("minion=minion-2", "scoped")
    assert (404, "not_found") == (answer.status, json.loads(answer.body)["code"])
    assert 400 == ask("minion=minion-1&client=runner").status
