"""Tokens of an identity provider, at every module."""

import time
from functools import partial

import pytest
from joserfc.jwk import RSAKey

from tests.netapi.sso.door import MODULES, PING, PONG, WAYS, Doors, is_refused, result
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
