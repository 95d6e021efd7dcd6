"""
SaltGUI's pages in a browser, one right after the other.

SaltGUI is in no registry, so it has to be named: `SALTAPI_TEST_SALTGUI` is the folder `saltgui` of
its sources, with `index.html` and `static` (https://github.com/erwindon/SaltGUI, 1.35).
"""

import base64
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Response, expect

from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer
from tests.console import browser as chromium

pytestmark = pytest.mark.long

FOLDER = "SALTAPI_TEST_SALTGUI"
ROUNDS = 5
LEFT_MS = 500
"""So long SaltGUI takes to hide a page that is left."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if chromium.executable() is None:
        pytest.skip(chromium.MISSING)
    with chromium.running_browser() as browser:
        yield browser


@pytest.fixture(scope="module", params=["rest_cherrypy", "rest_asgi"])
def gui(request: pytest.FixtureRequest, master: PrivateMaster) -> Iterator[ApiServer]:
    """A server of SaltGUI, as its installation guide sets it up."""
    if FOLDER not in os.environ:
        pytest.skip(f"{FOLDER} does not name the folder of a SaltGUI")
    home = Path(os.environ[FOLDER])
    section = {
        "app": str(home / "index.html"),
        "static": str(home / "static"),
        "static_path": "/static",
    }
    with ApiServer(master, OURS, section, module=request.param) as server:
        yield server


@pytest.fixture
def page(browser: Browser, gui: ApiServer) -> Iterator[Page]:
    """A page of somebody who has logged in."""
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(chromium.WAIT_MS)
    page.goto(gui.url)
    log_in(page, gui)
    yield page
    context.close()


def log_in(page: Page, gui: ApiServer) -> None:
    """Log in on the page that is shown."""
    known = gui.master.credentials()
    page.locator("#username").fill(known["username"])
    page.locator("#password").fill(known["password"])
    page.locator("#page-login select").select_option(known["eauth"])
    page.locator("#login-button").click()
    complete(page, "minions")


def show(page: Page, name: str) -> None:
    """Choose a page in the menu, as fast as a program can."""
    page.evaluate("name => document.getElementById(`button-${name}1`).click()", name)


def complete(page: Page, name: str) -> None:
    """Wait until a page has both minions, with what the master knows of them."""
    sign = r"300\d\." if name == "minions" else r"(\w\w:){15}"
    for minion in ("minion-1", "minion-2"):
        row = "m" + base64.urlsafe_b64encode(minion.encode()).decode().rstrip("=")
        expect(page.locator(f"#page-{name} #{row}")).to_contain_text(re.compile(sign))


def test_minions_right_after_keys(page: Page) -> None:
    """The page of the minions is complete and stays, however soon after that of the keys."""
    for _ in range(ROUNDS):
        show(page, "keys")
        complete(page, "keys")
        page.reload()  # so that the page of the minions is not one that was just left
        show(page, "minions")
        complete(page, "minions")
        page.wait_for_timeout(2 * LEFT_MS)
        expect(page.locator("#page-minions")).to_be_visible()


def test_all_that_was_asked_for_is_there(page: Page) -> None:
    """Also where SaltGUI hides the page to which somebody came back, everything is in it."""
    for _ in range(ROUNDS):
        show(page, "keys")
        show(page, "minions")
        complete(page, "minions")


def test_reload(page: Page, gui: ApiServer) -> None:
    """A job's page is there after a reload, and by its address: the state is in the query."""
    chunk = {"client": "local_async", "tgt": "*", "fun": "test.arg", "arg": ["a-sign"]}
    body = [{**chunk, **gui.master.credentials()}]
    jid = gui.send("POST", "/run", json_body=body).value()["return"][0]["jid"]

    def is_there(answer: Response | None) -> None:
        assert answer is None or 200 == answer.status
        expect(page.locator("#page-job")).to_contain_text("a-sign")

    is_there(page.goto(f"{gui.url}/?id={jid}#job"))
    is_there(page.reload())


def test_login_after_a_logout(page: Page, gui: ApiServer) -> None:
    """Who has logged out, and reloads the page with the reason in its URL, logs in there."""
    show(page, "logout")
    expect(page.locator("#login-button")).to_be_visible()
    expect(page).to_have_url(re.compile(r"\?reason=logout#login$"))
    answer = page.reload()
    assert answer is not None
    assert 200 == answer.status
    log_in(page, gui)
