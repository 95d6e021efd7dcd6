"""The roles of docs/security.md: each may do what the page says, and nothing beside it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer
from tests.waiting import scaled

READY_SECONDS = 60.0
PAGE = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
ROLES: dict[str, list[Any]] = yaml.safe_load(
    PAGE.partition("\n## Five roles\n")[2].partition("```yaml\n")[2].partition("```")[0]
)["external_auth"]["pam"]
WEB, STAGING, DB = "web-1", "web-staging", "db-1"

pytestmark = pytest.mark.long


def minion(tgt: str, fun: Any, *arg: Any, **more: Any) -> dict[str, Any]:
    """Return a command for minions."""
    return {"client": "local", "tgt": tgt, "fun": fun, "arg": list(arg), **more}


def master_function(client: str, fun: str, /, **kwarg: Any) -> dict[str, Any]:
    """Return a command for the master."""
    return {"client": client, "fun": fun, "kwarg": kwarg}


def apply(tgt: str, *mods: str, **kwarg: Any) -> dict[str, Any]:
    """Return a command that tries a state out."""
    return minion(tgt, "state.apply", *mods, kwarg={"test": True, **kwarg})


MAY: dict[str, list[dict[str, Any]]] = {
    "observer": [
        minion("*", "test.ping"),
        minion(WEB, "grains.get", "id"),
        minion("web-*", ["test.ping", "status.uptime"]),
        minion(DB, "service.status", "nginx"),
        master_function("runner", "manage.status"),
    ],
    "deployer": [minion("web-*", "test.ping"), apply(WEB, "webapp"), apply(STAGING, "webapp")],
    "oncall": [
        minion("*", "service.status", "nginx"),
        minion(DB, "service.restart", "nginx"),
        minion("*", "saltutil.running"),
        minion("*", "saltutil.term_job", "20200101000000000000"),
        master_function("runner", "jobs.active"),
    ],
    "keymaster": [
        master_function("wheel", "key.list_all"),
        master_function("wheel", "key.finger", match=WEB),
        master_function("wheel", "key.accept", match="nobody"),
    ],
    "ci": [apply(STAGING, "webapp")],
}
EVIL = "touch /tmp/saltapi-roles"
NOBODY_MAY = [
    minion("*", "cmd.run", EVIL),
    minion(STAGING, ["saltutil.find_job", "cmd.run"], ["20200101000000000000"], [EVIL]),
    minion("*", "test.pings"),
    minion(WEB, "grains.setval", "role", "web"),
    minion(WEB, "state.apply"),
    minion(WEB, "state.single", "cmd.run", f"name={EVIL}"),
    minion(WEB, "test.ping", ret="rawfile_json"),
    apply(STAGING, "webapp,other"),
    apply(STAGING, "webapp\n"),
    apply(STAGING, mods="webapp"),
    apply(DB, "webapp"),
    master_function("runner", "jobs.list_jobs"),
    master_function("runner", "salt.execute", tgt="*", fun="test.ping"),
    master_function("wheel", "key.gen_accept", id_="new"),
    master_function("wheel", "config.values"),
    master_function("wheel", "file_roots.write", data="x", path="x.sls"),
]
MAY_NOT: dict[str, list[dict[str, Any]]] = {
    "observer": [
        minion("*", "service.restart", "nginx"),
        minion("*", ["test.ping", "service.restart"], [], ["nginx"]),
        apply(WEB, "webapp"),
        master_function("runner", "manage.bootstrap"),
        master_function("wheel", "key.list_all"),
    ],
    "deployer": [
        minion("*", "test.ping"),
        apply("*", "webapp"),
        apply(WEB, "other"),
        minion(WEB, "state.apply", "mods=webapp"),
        minion("G@id:*", "test.ping", tgt_type="compound"),
        master_function("wheel", "key.list_all"),
    ],
    "oncall": [
        minion(DB, "service.restart", "sshd"),
        minion(DB, "service.restart", "nginx-evil"),
        minion(DB, "service.restart", "name=sshd", "nginx"),
        minion(DB, "service.stop", "nginx"),
        apply(WEB, "webapp"),
        master_function("wheel", "key.list_all"),
    ],
    "keymaster": [
        minion("*", "test.ping"),
        master_function("runner", "manage.status"),
        master_function("wheel", "key.accept_dict", match={"minions_pre": ["x"]}),
    ],
    "ci": [
        apply(WEB, "webapp"),
        apply("web-*", "webapp"),
        minion(STAGING, "test.ping"),
        apply(STAGING, "other"),
        master_function("wheel", "key.list_all"),
    ],
}


@pytest.fixture(scope="module")
def api() -> Iterator[ApiServer]:
    with PrivateMaster(minions=[WEB, STAGING, DB], users=ROLES) as master:
        states = master.directory / "states"
        states.mkdir(exist_ok=True)
        for name in ("webapp", "other"):
            (states / f"{name}.sls").write_text(f"{name}:\n  test.nop: []\n")
        master.wait_ready(timeout=scaled(READY_SECONDS))
        with ApiServer(master, OURS, module="rest_asgi") as server:
            yield server


def test_the_page_has_five_roles() -> None:
    """Each role of the page is tried here."""
    assert 5 == len(ROLES)
    assert set(ROLES) == set(MAY) == set(MAY_NOT)


@pytest.mark.parametrize("role", MAY)
def test_may(api: ApiServer, role: str) -> None:
    """The role does its work."""
    headers = {"X-Auth-Token": api.login(role)}
    for chunk in MAY[role]:
        answer = api.send("POST", "/", headers=headers, json_body=[chunk])
        assert 200 == answer.status, (chunk, answer)
        assert "state.apply" != chunk["fun"] or "'result': True" in str(answer.value()), answer


@pytest.mark.parametrize("role", MAY_NOT)
def test_may_not(api: ApiServer, role: str) -> None:
    """The role does nothing else, and is told so before anything runs."""
    headers = {"X-Auth-Token": api.login(role)}
    for chunk in [*NOBODY_MAY, *MAY_NOT[role]]:
        answer = api.send("POST", "/", headers=headers, json_body=[chunk])
        assert answer.status in {401, 403}, (chunk, answer)
    keys = api.send("POST", "/keys", json_body={"mid": "new", **api.master.credentials(role)})
    assert 401 == keys.status, keys
