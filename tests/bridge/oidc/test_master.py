"""The eauth system `oidc` in the master itself, without our daemon."""

import json
import subprocess
import sys
import time
from typing import Any

import pytest
from joserfc.jwk import RSAKey

from tests.issuer import sign
from tests.oidc_master import DEPLOYED, PROXY_ISSUER, OidcMaster
from tests.waiting import scaled


def salt(master: OidcMaster, user: str, token: str, *command: str, program: str = "salt") -> Any:
    """Return what a command of Salt's prints for a user with a token, or its status."""
    entry = {"salt": "salt_main", "salt-run": "salt_run"}[program]
    done = subprocess.run(
        [
            *(sys.executable, "-P", "-c", f"import salt.scripts; salt.scripts.{entry}()"),
            *("-c", str(master.config_dir), "--out", "json"),
            *("-t", str(round(scaled(50)))),  # who asks for it may not look for the job
            *("-a", "oidc", "--username", user, "--password", token),
            *command,
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=scaled(60),
        stdin=subprocess.DEVNULL,
    )
    try:
        return json.loads(done.stdout)
    except ValueError:
        return done.returncode or done.stdout


def test_salt_command(oidc_master: OidcMaster) -> None:
    """`salt -a oidc` runs what the user's group allows, and nothing else."""
    token = oidc_master.issuer.token(sub="carol", groups=["ops"])

    assert {"minion-1": True} == salt(oidc_master, "carol", token, "minion-1", "test.ping")
    assert {"minion-1": True} != salt(oidc_master, "carol", token, "minion-1", "sys.doc")


def test_workload_deploys(oidc_master: OidcMaster) -> None:
    """A job of CI applies the state that its rule has, with its own token, and no other one."""
    token = oidc_master.issuer.token(sub="ci")
    found = salt(oidc_master, "ci", token, "minion-1", "state.apply", "deploy")

    assert [DEPLOYED] == [state["__id__"] for state in found["minion-1"].values()]
    other = salt(oidc_master, "ci", token, "minion-1", "state.apply", "other")
    assert not isinstance(other, dict)


@pytest.mark.parametrize("attack", ["forged", "expired", "other user"])
def test_refused(oidc_master: OidcMaster, attack: str) -> None:
    """The master takes no token that its issuer has not signed for this user, now."""
    issuer = oidc_master.issuer
    token = {
        "forged": issuer.token(sub="alice", key=RSAKey.generate_key(2048, {"kid": "key-1"})),
        "expired": issuer.token(sub="alice", exp=int(time.time()) - 1),
        "other user": issuer.token(sub="bob", groups=["admins"]),
    }[attack]

    assert {"minion-1": True} != salt(oidc_master, "alice", token, "minion-1", "test.ping")


def test_login_proxy(oidc_master: OidcMaster) -> None:
    """What our key signs for a login proxy is its user's here, with the prefix, for a minute."""

    def token(seconds: int) -> str:
        now = int(time.time())
        claims = {"iss": PROXY_ISSUER, "aud": PROXY_ISSUER, "sub": "dave", "groups": ["ops"]}
        times = {"iat": now, "exp": now + seconds}
        return sign({"alg": "Ed25519"}, {**claims, **times}, oidc_master.proxy_key)

    def runs(user: str, seconds: int) -> bool:
        found = salt(oidc_master, user, token(seconds), "minion-1", "test.ping")
        return bool(found == {"minion-1": True})

    assert runs("proxy:dave", 60)
    assert not runs("dave", 60)
    assert not runs("alice", 60)
    assert not runs("proxy:dave", 600)
