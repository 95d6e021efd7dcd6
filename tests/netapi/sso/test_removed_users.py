"""Users whom `external_auth` names no more."""

from functools import partial

import pytest

from saltapi.demo.master import write_yaml
from tests.apis import OURS, ApiServer
from tests.bridge.oidc.test_master import salt
from tests.oidc_master import OidcMaster, running_oidc_master
from tests.waiting import eventually, scaled
from tests.wire import Answer

pytestmark = pytest.mark.long

CHUNK = {"client": "local", "tgt": "minion-1", "fun": "test.ping"}
PONG = {"minion-1": True}


def run(server: ApiServer, token: str) -> Answer:
    """Ping with a token."""
    headers = {"Authorization": f"Bearer {token}"}
    return server.send("POST", "/", headers=headers, json_body=[CHUNK])


def runs(server: ApiServer, token: str) -> bool:
    """Return whether a token still opens something."""
    answer = run(server, token)
    return answer.status == 200 and answer.value()["return"] == [PONG]


def remove(master: OidcMaster, user: str) -> None:
    """Take a user out of the config, and start the master anew, as it wants."""
    del master.options["external_auth"]["oidc"][user]
    write_yaml(master.config_dir / "master", master.options)
    master.kill_master()
    master.start_master()
    master.wait_ready(timeout=scaled(60))


def test_user_removed() -> None:
    """Sessions, tokens for machines and the provider's tokens of a removed user open nothing."""
    with running_oidc_master() as master:
        bob = master.issuer.token(sub="bob")
        with ApiServer(master, OURS, module="rest_asgi") as server:
            session = server.send("POST", "/login", json_body=master.oidc_credentials("bob"))
            headers = {"X-Auth-Token": session.value()["return"][0]["token"]}
            made = server.send("POST", "/v1/tokens", headers=headers, json_body={"name": "x"})
            tokens = [bob, headers["X-Auth-Token"], made.value()["token"]]
            assert all(runs(server, token) for token in tokens)
            remove(master, "bob")
            for token in tokens:
                eventually(partial(lambda token: not runs(server, token), token), scaled(10))
            again = master.issuer.token(sub="bob", jti="2")
            assert not runs(server, again)
        assert PONG != salt(master, "bob", again, "minion-1", "test.ping")
        carol = master.issuer.token(sub="carol", groups=["ops"])
        assert PONG == salt(master, "carol", carol, "minion-1", "test.ping")
