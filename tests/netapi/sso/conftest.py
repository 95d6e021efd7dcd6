"""One daemon with all four modules, on the master that trusts an identity provider."""

from collections.abc import Iterator
from typing import Any

import pytest

from saltapi.demo.master import HOST, free_ports
from tests.apis import OURS, ApiServer
from tests.netapi.sso.door import Doors
from tests.oidc_master import PROXY, OidcMaster

OTHERS = ("rest_cherrypy", "rest_tornado", "rest_wsgi")


@pytest.fixture(scope="package")
def doors(oidc_master: OidcMaster) -> Iterator[Doors]:
    """The modules of one daemon."""
    ports = dict(zip(OTHERS, free_ports(3), strict=True))
    common = {"host": HOST, "disable_ssl": True, "trusted_proxies": PROXY}
    sections: dict[str, Any] = {name: {"port": port, **common} for name, port in ports.items()}
    sections["api_login_failures"] = 1000
    audit = oidc_master.directory / "sso-audit.log"
    section = {"audit_log": str(audit), "trusted_proxies": PROXY}
    with ApiServer(oidc_master, OURS, section, module="rest_asgi", options=sections) as server:
        doors = Doors(oidc_master, server, {"rest_asgi": server.port, **ports}, audit)
        doors.wait()
        yield doors
