"""A server of the console at the session's master, and people with browsers."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser

from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer
from tests.console import browser as chromium
from tests.console.browser import Visitor
from tests.console.runs import Run

SLS = """\
fine:
  test.succeed_without_changes
changing:
  test.succeed_with_changes
{% if grains['id'].endswith('1') %}
failing:
  test.fail_without_changes
{% endif %}
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The browser; the test is skipped where there is none."""
    if chromium.executable() is None:
        pytest.skip(chromium.MISSING)
    with chromium.running_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def api(master: PrivateMaster) -> Iterator[ApiServer]:
    """The module at the session's master, with an audit log, and some states to run."""
    states = master.directory / "states"
    states.mkdir(exist_ok=True)
    (states / "mixed.sls").write_text(SLS)
    section = {"workers": 1, "audit_log": str(master.directory / "console-audit.log")}
    with ApiServer(master, OURS, section, module="rest_asgi") as server:
        yield server


@pytest.fixture(scope="module")
def run(api: ApiServer) -> Run:
    """Run functions, not through the console."""
    return Run(api)


@pytest.fixture
def visitor(browser: Browser, api: ApiServer) -> Iterator[Callable[..., Visitor]]:
    """Make visitors; at the end, none of their pages has done what it must not."""
    with ExitStack() as visitors:

        def make(server: ApiServer = api, **options: Any) -> Visitor:
            made = Visitor(browser, server, **options)
            visitors.callback(made.close)
            return made

        yield make
