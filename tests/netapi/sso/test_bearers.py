"""Tokens of an identity provider, at every module."""

import time
from functools import partial
from typing import Any

import pytest
from joserfc.jwk import RSAKey

from tests.netapi.sso.door import MODULES, PING, PONG, WAYS, Doors, is_refused, result
from tests.oidc_master import DEPLOYED
from tests.waiting import eventually, scaled


@pytest.mark.parametrize(("module", "by"), WAYS)
def test_accepted(doors: Doors, module: str, by: str) -> None:
    """Who has a token of the provider runs what user and groups may, and nothing else."""
    token = doors.master.issuer.token(sub="carol", groups=["ops"])

    assert PONG == result(doors.run(module, token, PING, by=by))
    assert PONG != result(doors.run(module, token, {**PING, "fun": "sys.doc"}, by=by))


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("attack", ["forged", "expired", "aud", "none"])
def test_attack(doors: Doors, module: str, attack: str) -> None:
    """A token that the provider has not signed for us, now, gets 401 before anything runs."""
    issuer = doors.master.issuer
    good = issuer.token(groups=["admins"])
    token = {
        "forged": issuer.token(groups=["admins"], key=RSAKey.generate_key(2048)),
        "expired": issuer.token(groups=["admins"], exp=int(time.time()) - 1),
        "aud": issuer.token(groups=["admins"], aud="other"),
        "none": good.rpartition(".")[0] + ".",
    }[attack]

    for by in ("header", "chunk"):
        answer = doors.run(module, token, PING, by=by)
        if module == "rest_tornado" and answer.status in {200, 302}:
            assert PONG != result(answer)
        else:
            assert 401 == answer.status, answer
        assert b"minion-1" not in answer.body


@pytest.mark.parametrize("module", ["rest_asgi", "rest_cherrypy", "rest_tornado"])
def test_beside_a_cookie(doors: Doors, module: str) -> None:
    """A bearer token of a stranger's is passed over beside a session, one of ours is not."""
    cookie = f"session_id={doors.login()}"
    issuer = doors.master.issuer

    def status(bearer: str) -> int:
        headers = {"Cookie": cookie, "Authorization": f"Bearer {bearer}"}
        return doors.send(module, "GET", "/jobs", headers=headers).status

    assert 200 == status(issuer.token(iss="https://elsewhere.example.com"))
    assert 200 == status(issuer.token(aud="somebody-else"))
    assert 200 == status("no-token-at-all")
    assert 200 != status(issuer.token(exp=int(time.time()) - 1))


@pytest.mark.parametrize("module", MODULES)
def test_beside_a_token(doors: Doors, module: str) -> None:
    """A stranger's bearer token is passed over beside a session's token in a chunk or a header."""
    session, foreign = doors.login(), doors.master.issuer.token(iss="https://elsewhere.example.com")
    bearer = {"Authorization": f"Bearer {foreign}", "Content-Type": "application/json"}
    chunk = [{**PING, "token": session}]
    ways: list[tuple[dict[str, str], Any, str]] = [({}, chunk, "/")]
    if module != "rest_wsgi":
        ways = [({}, chunk, "/run"), ({"X-Auth-Token": session}, [PING], "/")]
    for headers, body, path in ways:
        sent = {**bearer, **headers}
        answer = doors.send(module, "POST", path, headers=sent, json_body=body)
        assert PONG == result(answer), answer


def test_workload_deploys(doors: Doors) -> None:
    """A job of CI applies the state that its rule has, with its own token, and nothing else."""
    token = doors.master.issuer.token(sub="ci")
    deploy = {"client": "local", "tgt": "minion-1", "fun": "state.apply", "arg": ["deploy"]}
    found = result(doors.run("rest_asgi", token, deploy))

    assert [DEPLOYED] == [state["__id__"] for state in found["minion-1"].values()]
    for chunk in ({**deploy, "arg": ["other"]}, {**deploy, "arg": []}, PING):
        assert 401 == doors.run("rest_asgi", token, chunk).status


def test_ends_with_the_token(doors: Doors) -> None:
    """The session, and the master's token behind it, end when the provider's token does."""
    token = doors.master.issuer.token(groups=["admins"], exp=int(time.time() + scaled(3)))
    answer = doors.server.send("GET", "/v1/whoami", headers={"Authorization": f"Bearer {token}"})

    assert scaled(3) >= answer.value()["expires_in_seconds"]
    eventually(lambda: doors.run("rest_asgi", token, PING).status == 401, scaled(10))


def test_logout(doors: Doors) -> None:
    """After a logout the token opens nothing, in no module."""
    token = doors.master.issuer.token(groups=["admins"])
    headers = {"Authorization": f"Bearer {token}"}
    assert PONG == result(doors.run("rest_cherrypy", token, PING))
    assert 200 == doors.server.send("POST", "/logout", headers=headers).status

    for module in MODULES:
        eventually(partial(is_refused, doors, module, token), scaled(5))


def test_kept_by_hash(doors: Doors) -> None:
    """The token is in no file and no log."""
    token = doors.master.issuer.token(groups=["admins"], marker="x")
    assert PONG == result(doors.run("rest_asgi", token, PING))
    store = doors.master.directory / "master" / "cache" / "saltapi" / "tokens.sqlite"

    assert token.encode() not in store.read_bytes()
    assert token.rpartition(".")[2] not in doors.server.log()
