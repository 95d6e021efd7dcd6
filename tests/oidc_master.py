"""A master that trusts an identity provider, for the tests of single sign-on."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from joserfc.jwk import OKPKey

from saltapi.demo import PrivateMaster
from tests.issuer import CLIENT, DEVICE, SECRET, Issuer, running
from tests.waiting import scaled

REDIRECT_URL = "http://127.0.0.1:1/v1/login/oidc/callback"
LOGOUT_REDIRECT_URL = "http://127.0.0.1:1/v1/login/oidc/logged-out"
"""Tests bring there what a browser would."""
PROXY = "127.0.0.2"
"""The address of the login proxy that is believed; tests are where they want on loopback."""
PROXY_ISSUER = "https://login.example.com"
DEPLOYED = "deployed"
"""The id of the only state in `deploy.sls`, which a job of CI applies."""
RULES: dict[str, list[Any]] = {
    "admins%": [".*", "@runner", "@wheel"],
    "ops%": [{"minion-1": ["test.*"]}, "@runner"],
    "alice": ["test.ping"],
    "bob": [{"minion-1": ["test.*"]}, {"@runner": ["jobs.list_jobs"]}],
    "ci": [{"minion-1": [{"state.apply": {"args": [r"deploy\Z"]}}]}],
    "proxy:carol": ["test.ping"],
    "proxy:ops%": [{"minion-1": ["test.*"]}],
    "proxy:admins%": [".*", "@runner", "@wheel"],
}
"""What `external_auth` says of the users of the provider, and of those of a login proxy."""


class OidcMaster(PrivateMaster):
    """A master with one minion, whose users come from `issuer`, and from a file."""

    issuer: Issuer
    proxy_key: OKPKey
    """With which it is signed whom the login proxy has let in."""

    def oidc_credentials(self, user: str = "alice", **claims: Any) -> dict[str, str]:
        """Return `eauth`, `username` and `password` of a user of the issuer."""
        token = self.issuer.token(sub=user, **claims)
        return {"eauth": "oidc", "username": user, "password": token}


def proxy_options(directory: Path, key: OKPKey) -> dict[str, Any]:
    """Return the entry of `saltapi_oidc` of a login proxy, whose keys are in *directory*."""
    private, public = directory / "proxy.key", directory / "proxy.pub"
    private.touch(0o600)
    private.write_bytes(key.as_pem(private=True))
    public.write_bytes(key.as_pem(private=False))
    return {
        "issuer": PROXY_ISSUER,
        "user_prefix": "proxy:",
        "user_header": "X-Forwarded-User",
        "groups_header": "X-Forwarded-Groups",
        "signing_key_file": str(private),
        "keys_file": str(public),
        "modules": ["rest_asgi", "rest_cherrypy", "rest_tornado", "rest_wsgi"],
    }


@contextmanager
def running_oidc_master(**options: Any) -> Iterator[OidcMaster]:
    """Have one while something is done; *options* are more of the issuer's."""
    with running() as issuer, tempfile.TemporaryDirectory() as directory:
        secret, key = Path(directory, "secret"), OKPKey.generate_key("Ed25519")
        secret.write_text(f"{SECRET}\n")
        browsers = {
            "client_id": CLIENT,
            "device_client_id": DEVICE,
            "client_secret_file": str(secret),
            "redirect_url": REDIRECT_URL,
            "logout_redirect_url": LOGOUT_REDIRECT_URL,
            "name": "Example",
        }
        settings = {
            "external_auth": {"oidc": RULES},
            "saltapi_oidc": [
                issuer.options(**browsers, **options),
                proxy_options(Path(directory), key),
            ],
            "timeout": round(scaled(10)),
            "gather_job_timeout": round(scaled(10)),
        }
        users: dict[str, list[Any]] = {"scoped": [{"minion-1": ["test.*"]}], "low": ["test.ping"]}
        with OidcMaster(minions=1, users=users, options=settings) as master:
            master.issuer, master.proxy_key = issuer, key
            states = master.directory / "states"
            states.mkdir(exist_ok=True)
            (states / "deploy.sls").write_text(f"{DEPLOYED}:\n  test.succeed_with_changes\n")
            master.wait_ready(timeout=scaled(60))
            yield master
