"""rest_wsgi, by the real command and inside this process."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from saltapi.demo import PrivateMaster
from tests.daemons import Daemon, Home
from tests.netapi.rest_wsgi.serving import Door, home_of, serving, serving_here


@pytest.fixture(scope="package")
def home(tmp_path_factory: pytest.TempPathFactory, master: PrivateMaster) -> Home:
    return home_of(tmp_path_factory.mktemp("api"), master)


@pytest.fixture(scope="package")
def daemon(home: Home) -> Iterator[tuple[Door, Daemon]]:
    """The real command, for all tests of this module."""
    with serving(home) as found:
        yield found


@pytest.fixture(scope="package")
def door(daemon: tuple[Door, Daemon]) -> Door:
    return daemon[0]


@pytest.fixture(scope="package")
def login(master: PrivateMaster) -> dict[str, str]:
    """The credentials of somebody who may run everything."""
    return master.credentials()


@pytest.fixture
def here(master: PrivateMaster) -> Callable[..., Any]:
    """Return `serving_here` for the session's master."""
    return lambda *args, **section: serving_here(master.config_dir, *args, **section)
