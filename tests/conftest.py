"""
Fixtures that all tests share: real masters with real and with simulated minions.

- `master`: one for the whole session, with `minion-1` and `minion-2`. Leave it as you found it.
- `private_master(**options)`: one of your own, to kill, or with other options.
- `oidc_master`: one that trusts an identity provider, for the tests of single sign-on.
- `nats_servers`: a server that keeps what several machines share; take a bucket of your own.
- `swarm`: simulated minions `sim-0` to `sim-19` at `master`, while the module runs.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import salt._logging
from hypothesis import settings

from saltapi.demo import PrivateMaster
from saltapi.demo import master as private
from tests.nats_servers import NatsServers
from tests.oidc_master import OidcMaster, running_oidc_master
from tests.swarm import Swarm
from tests.waiting import TIMEOUT_FACTOR, scaled

READY_SECONDS = 60.0
SWARM_SIZE = 20

USERS: dict[str, list[Any]] = {
    "low": ["test.ping"],
    "scoped": [{"minion-1": ["test.*"]}],
    "runners": ["@runner"],
    "wheels": ["@wheel"],
    "keylister": [{"@wheel": ["key.list_all"]}],
    "pillars": [{"minion-1": ["pillar.items"]}],
}
"""Users of `master` besides its `username`, who may run everything."""

PATIENT = {"timeout": round(scaled(20)), "gather_job_timeout": round(scaled(20))}
"""Options of a master whose minions do not look silent because this machine is slow."""

OPTIONS = {
    "nodegroups": {"first": "L@minion-1"},
    "token_expire_user_override": True,
    **PATIENT,
}
"""What the config of `master` has beside what it needs."""

MINION_OPTIONS = {
    "auth_timeout": round(scaled(3)),
    "return_retry_timer": round(scaled(5)),
    "return_retry_timer_max": round(scaled(10)),
}
"""How long minions wait for a master that is as slow as they are."""


def pytest_configure() -> None:
    """Let each process of pytest-xdist look for free ports where the others do not."""
    name = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    private.PORTS = private.PORTS[int(name.removeprefix("gw")) :: count]
    # No test asserts a time, and no machine is always quick.
    settings.register_profile("saltapi", deadline=None)
    settings.load_profile("saltapi")
    # Who starts the tests in the background may have them ignore it, with all that they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # It would keep what the tests log until they have ended, and nobody is there to read it.
    salt._logging.shutdown_temp_handler()


def pytest_report_header() -> str:
    """Say what this machine needs."""
    return f"deadlines: {TIMEOUT_FACTOR:g} times those of a quiet machine with two cores"


def pytest_itemcollected(item: pytest.Item) -> None:
    """Multiply the time limit of each test too, unless the command line has one."""
    if item.config.getoption("timeout") is None:
        marker = item.get_closest_marker("timeout")
        seconds = marker.args[0] if marker else item.config.getini("timeout")
        item.add_marker(pytest.mark.timeout(scaled(float(seconds))), append=False)


@pytest.fixture(scope="session")
def master() -> Iterator[PrivateMaster]:
    """The master of the session, with two real minions."""
    with PrivateMaster(users=USERS, options=OPTIONS, minion_options=MINION_OPTIONS) as master:
        master.wait_ready(timeout=scaled(READY_SECONDS))
        yield master


@pytest.fixture(scope="session")
def oidc_master() -> Iterator[OidcMaster]:
    """A master with one minion that trusts an identity provider; leave it as you found it."""
    with running_oidc_master() as master:
        yield master


@pytest.fixture(scope="session")
def nats_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServers]:
    """One server of NATS's."""
    with NatsServers(tmp_path_factory.mktemp("nats")) as servers:
        asyncio.run(servers.ready())
        yield servers


@pytest.fixture
def private_master() -> Iterator[Callable[..., PrivateMaster]]:
    """Start masters of your own; takes the arguments of `PrivateMaster`."""
    with ExitStack() as masters:

        def start(**options: Any) -> PrivateMaster:
            options["options"] = {**PATIENT, **options.get("options", {})}
            options.setdefault("minion_options", MINION_OPTIONS)
            master = masters.enter_context(PrivateMaster(**options))
            master.wait_ready(timeout=scaled(READY_SECONDS))
            return master

        yield start


@pytest.fixture(scope="module")
def swarm(master: PrivateMaster) -> Iterator[Swarm]:
    """Simulated minions at the master of the session; they are gone after the module."""
    with Swarm(master, SWARM_SIZE) as swarm:
        yield swarm
