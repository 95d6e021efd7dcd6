"""The eauth system `oidc` in the master itself, without our daemon."""

import json
import subprocess
import sys
import time
from typing import Any

import pytest
from joserfc.jwk import RSAKey

from tests.oidc_master import OidcMaster
from tests.waiting import scaled


def salt(master: OidcMaster, user: str, token: str, *command: str, program: str = "salt") -> Any:
    """Return what a command of Salt's prints for a user with a token, or its status."""
    entry = {"salt": "salt_main", "salt-run": "salt_run"}[program]
    done = subprocess.run(
        [
            *(sys.executable, "-P", "-c", f"import salt.scripts; salt.scripts.{entry}()"),
            *("-c", str(master.config_dir), "--out", "json", "--static"),
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
