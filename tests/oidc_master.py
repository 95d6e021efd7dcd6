"""A master that trusts an identity provider, for the tests of single sign-on."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from saltapi.demo import PrivateMaster
from tests.issuer import CLIENT, DEVICE, SECRET, Issuer, running
from tests.waiting import scaled

REDIRECT_URL = "http://127.0.0.1:1/v1/login/oidc/callback"
"""Tests bring there what a browser would."""
RULES: dict[str, list[Any]] = {
    "admins%": [".*", "@runner", "@wheel"],
    "ops%": [{"minion-1": ["test.*"]}, "@runner"],
    "alice": ["test.ping"],
    "bob": [{"minion-1": ["test.*"]}, {"@runner": ["jobs.list_jobs"]}],
}
"""What `external_auth` says of the users of the provider."""


class OidcMaster(PrivateMaster):
    """A master with one minion, whose users come from `issuer`, and from a file."""

    issuer: Issuer

    def oidc_credentials(self, user: str = "alice", **claims: Any) -> dict[str, str]:
        """Return `eauth`, `username` and `password` of a user of the issuer."""
        token = self.issuer.token(sub=user, **claims)
        return {"eauth": "oidc", "username": user, "password": token}


@contextmanager
def running_oidc_master(**options: Any) -> Iterator[OidcMaster]:
    """Have one while something is done; *options* are more of the issuer's."""
    with running() as issuer, tempfile.NamedTemporaryFile("w") as secret:
        secret.write(f"{SECRET}\n")
        secret.flush()
        browsers = {
            "client_id": CLIENT,
            "device_client_id": DEVICE,
            "client_secret_file": secret.name,
            "redirect_url": REDIRECT_URL,
            "name": "Example",
        }
        settings = {
            "external_auth": {"oidc": RULES},
            "saltapi_oidc": [issuer.options(**browsers, **options)],
            "timeout": round(scaled(10)),
            "gather_job_timeout": round(scaled(10)),
        }
        users: dict[str, list[Any]] = {"scoped": [{"minion-1": ["test.*"]}], "low": ["test.ping"]}
        with OidcMaster(minions=1, users=users, options=settings) as master:
            master.issuer = issuer
            master.wait_ready(timeout=scaled(60))
            yield master
