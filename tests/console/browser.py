"""A browser that notices everything that a page of the console must not do."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    expect,
    sync_playwright,
)

from tests.apis import ApiServer
from tests.waiting import scaled

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MISSING = "there is no Chromium to test the console with: apt install chromium"
WAIT_MS = scaled(15) * 1000
FAR = "salt.test"
"""A name of this machine that browsers take for another one: without TLS they trust it less."""
DESKTOP = {"width": 1280, "height": 800}
REFUSED = re.compile(r"the server responded with a status of (4\d\d|503)|net::ERR_")
"""What Chromium writes when a request fails; whether it may is for the test of that to say."""


def executable() -> str | None:
    """Return the path of the system's Chromium."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Start the browser, headless, and end it."""
    # As root there is no sandbox, and it knows only what is on loopback.
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable(),
            args=[
                "--no-sandbox",
                "--disable-dev-shm-usage",
                "--disable-background-networking",
                f"--host-resolver-rules=MAP {FAR} 127.0.0.1",
            ],
        )
        expect.set_options(timeout=WAIT_MS)
        try:
            yield browser
        finally:
            browser.close()


def answer(page: Page, asks: str, action: str) -> None:
    """Say yes to the question on the page, which says what it is about."""
    question = page.get_by_role("dialog")
    expect(question).to_contain_text(asks)
    question.get_by_role("button", name=action).click()


def rerun(page: Page, jid: str, which: str, minions: str) -> None:
    """Run a job again, as `1 failed` on `1 minion`; the page goes to the new one."""
    page.get_by_role("button", name=f"Rerun {which}").click()
    answer(page, f"Run it again on {minions}?", "Run it again")
    expect(page).not_to_have_url(re.compile(jid))


class Tab:
    """
    A page of the console.

    Attributes:
        page: Playwright's page.
        faults: What it did that it must not: errors, requests to elsewhere, violations of the
            policy.
    """

    def __init__(self, context: BrowserContext, server: ApiServer, url: str | None = None) -> None:
        self.server = server
        self.url = url or f"{server.url}/"
        self.faults: list[str] = []
        self.page: Page = context.new_page()
        self.page.set_default_timeout(WAIT_MS)
        self.page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        self.page.on("console", self._said)
        self.page.on("request", self._asked)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not REFUSED.search(message.text):
            self.faults.append(f"{message.type}: {message.text}")

    def _asked(self, request: Request) -> None:
        asked = urlsplit(request.url)
        if asked.scheme not in ("blob", "data") and asked.netloc != urlsplit(self.url).netloc:
            self.faults.append(f"request to elsewhere: {request.url}")

    def open(self, place: str = "") -> Page:
        """Go to a view, as with a bookmark: the page is loaded anew."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.url}#/{place}")
        return self.page

    def go(self, place: str) -> Page:
        """Go to a view, as with a link."""
        self.page.evaluate("place => { location.hash = `#/${place}`; }", place)
        return self.page

    def log_in(self, user: str | None = None) -> Page:
        """Fill in and send the form."""
        known = self.server.master.credentials(user)
        for label, name in (("User", "username"), ("Password", "password"), ("Eauth", "eauth")):
            self.page.get_by_label(label).fill(known[name])
        self.page.get_by_role("button", name="Log in").click()
        expect(self.page.get_by_role("navigation", name="Views")).to_be_visible()
        return self.page


class Visitor:
    """Somebody with a browser: tabs that share cookies and storage."""

    def __init__(self, browser: Browser, server: ApiServer, **options: Any) -> None:
        self.server = server
        self.context = browser.new_context(**{"viewport": DESKTOP, **options})
        self.tabs: list[Tab] = []

    def tab(self, url: str | None = None) -> Tab:
        """Open another tab; it is empty at first."""
        tab = Tab(self.context, self.server, url)
        self.tabs.append(tab)
        return tab

    def enter(self, user: str | None = None, place: str = "") -> Page:
        """Open the console in a new tab and log in."""
        tab = self.tab()
        tab.open(place)
        return tab.log_in(user)

    def close(self) -> None:
        """Close all tabs; fail if one of them did what it must not."""
        self.context.close()
        faults = [fault for tab in self.tabs for fault in tab.faults]
        assert [] == faults
