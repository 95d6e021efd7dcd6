"""One session in several tabs, at names without TLS, with TLS, and of people who may do little."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from saltapi.demo import PrivateMaster
from saltapi.demo.master import HOST
from saltapi.process.certificates import make_pair
from tests.apis import OURS, ApiServer
from tests.console.browser import FAR, Visitor
from tests.console.runs import Run

pytestmark = pytest.mark.long

TABS = 8
"""More than a browser has connections to one server."""
HIDE = """hidden => {
    Object.defineProperty(document, "visibilityState", {
        configurable: true, get: () => hidden ? "hidden" : "visible",
    });
    document.dispatchEvent(new Event("visibilitychange"));
}"""


def at(page: Page, place: str) -> Page:
    page.evaluate("place => { location.hash = `#/${place}`; }", place)
    return page


def test_many_tabs_without_tls(visitor: Callable[..., Visitor], api: ApiServer, run: Run) -> None:
    """Where tabs cannot share a connection, more of them live than a browser has connections."""
    somebody = visitor()
    url = f"http://{FAR}:{api.port}/"
    first = somebody.tab(url)
    page = first.open("events?tag=salt/job/*/ret/minion-2")
    assert not page.evaluate("isSecureContext")
    first.log_in()
    others = [somebody.tab(url) for _ in range(TABS - 1)]
    pages = [page, *(tab.open("events?tag=salt/job/*/ret/minion-2") for tab in others)]
    for tab in pages:
        expect(tab.get_by_text("● live")).to_be_visible()
    jid = run("test.ping", tgt="minion-2")
    for tab in pages:
        expect(tab.get_by_text(f"salt/job/{jid}/ret/minion-2")).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("button", name="Log in")).to_be_visible()


def test_unseen_tabs_hold_nothing(
    visitor: Callable[..., Visitor], run: Run, api: ApiServer
) -> None:
    """Tabs that nobody sees let their job go, so that many can be open; seen again they go on."""
    somebody = visitor()
    page = somebody.enter(place="overview")
    jid = run("test.sleep", "600", tgt="minion-1", client="local_async")
    pages = []
    for _ in range(TABS):
        page = somebody.tab().open(f"jobs/{jid}")
        expect(page.get_by_text("0 of 1 minion returned")).to_be_visible()
        page.evaluate(HIDE, True)
        pages.append(page)
    page = somebody.tab().open("about")
    expect(page.get_by_label("Health")).to_contain_text("event bus")
    api.send("DELETE", f"/v1/jobs/{jid}", headers={"X-Auth-Token": api.login()})
    pages[0].evaluate(HIDE, False)
    expect(pages[0].get_by_text("incomplete")).to_be_visible()


def test_tls(visitor: Callable[..., Visitor], master: PrivateMaster) -> None:
    """With TLS it works as without, and the cookie goes by TLS alone."""
    certificate, key = master.directory / "tls.crt", master.directory / "tls.key"
    section = {
        "workers": 1,
        "disable_ssl": False,
        "ssl_crt": str(certificate),
        "ssl_key": str(key),
    }
    pair = make_pair([HOST], days=1)
    certificate.write_bytes(pair.certificate)
    key.write_bytes(pair.key)
    with ApiServer(master, OURS, section, module="rest_asgi") as server:
        somebody = visitor(server, ignore_https_errors=True)
        url = server.url.replace("http:", "https:")
        tab = somebody.tab(f"{url}/")
        page = tab.open("run?fun=test.echo&args=safe&tgt=minion-1")
        tab.log_in()
        expect(page.get_by_text("● live")).to_be_visible()
        page.get_by_role("button", name="Run", exact=True).click()
        expect(page.locator("pre.value")).to_have_text("safe")
        (cookie,) = (c for c in page.context.cookies() if c["name"] == "session_id")
        assert cookie["secure"]
        assert cookie["httpOnly"]


def test_who_may_little(visitor: Callable[..., Visitor], run: Run) -> None:
    """Every view is there for who may do little, or says which permission is missing."""
    run("test.ping", tgt="minion-1")
    page = visitor().enter("low")
    menu = page.get_by_role("navigation", name="Views")
    for name in menu.get_by_role("link").all_inner_texts():
        menu.get_by_role("link", name=name).click()
        expect(page.get_by_role("heading", level=1)).to_have_text(name)
        if name == "Keys":
            expect(page.get_by_role("alert")).to_contain_text("key.list_all")
    at(page, "audit")
    expect(page.get_by_role("alert")).to_contain_text(re.compile("administrator", re.IGNORECASE))


def test_every_view_has_a_url(page_of: dict[str, str], visitor: Callable[..., Visitor]) -> None:
    """A URL leads a colleague to the same view; a reload stays there; back and forward work."""
    page = visitor().enter()
    heading = page.get_by_role("heading", level=1)
    for place, title in page_of.items():
        at(page, place)
        expect(heading).to_contain_text(title)
        page.reload()
        expect(heading).to_contain_text(title)
    titles = list(page_of.values())
    for title in reversed(titles[:-1]):
        page.go_back()
        expect(heading).to_contain_text(title)
    for title in titles[1:]:
        page.go_forward()
        expect(heading).to_contain_text(title)
    colleague = visitor()
    place, title = list(page_of.items())[-1]
    expect(colleague.enter(place=place).get_by_role("heading", level=1)).to_contain_text(title)


@pytest.fixture
def page_of(run: Run) -> dict[str, str]:
    """The place of each view, and what its heading has."""
    jid = run("test.echo", "word", tgt="minion-1")
    return {
        "overview": "Overview",
        "minions?tgt=minion-*": "Minions",
        "minions/minion-1": "minion-1",
        "run?fun=test.ping": "Run",
        "jobs?fun=test.*": "Jobs",
        "events?tag=salt/*": "Events",
        "keys?state=accepted": "Keys",
        "audit": "Audit",
        "about": "About",
        f"jobs/{jid}": "test.echo",
    }


def test_the_form_helps(visitor: Callable[..., Visitor]) -> None:
    """Functions are completed, arguments are fields, and the same is there for other programs."""
    somebody = visitor()
    somebody.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = somebody.enter(place="run?tgt=minion-1")
    function = page.get_by_label("Function")
    offered = page.locator(f"datalist#{function.get_attribute('list')} option")
    expect(offered.first).to_be_attached()
    names: Any = offered.evaluate_all("options => options.map(option => option.value)")
    assert {"state.apply", "test.ping", "cmd.run"} <= set(names)
    function.fill("test.echo")
    expect(page.get_by_label("Documentation of test.echo")).to_contain_text("Return a string")
    page.get_by_label("text (needed)").fill("two words")
    arguments = page.get_by_label("Arguments, as in a shell")
    expect(arguments).to_have_value("'two words'")
    arguments.fill("word")
    expect(page.get_by_label("text (needed)")).to_have_value("word")
    page.get_by_text("The same with curl, saltctl or Python").click()
    for name, expected in (
        ("curl", '"fun":"test.echo","arg":["word"]'),
        ("saltctl", "saltctl minion-1 test.echo word"),
        ("Python", 'salt.run("minion-1", "test.echo", ["word"])'),
    ):
        page.get_by_role("button", name=name, exact=True).click()
        page.get_by_role("button", name="Copy").click()
        expect(page.get_by_text("Copied.")).to_be_visible()
        assert expected in page.evaluate("navigator.clipboard.readText()")


def test_filters_read_targets(visitor: Callable[..., Visitor]) -> None:
    """The filter of minions takes globs, grains and compounds without being told which it is."""
    page = visitor().enter()
    rows = page.get_by_role("table", name="Minions").locator("[data-row]")
    for tgt in ("minion-*", "G@kernel:Linux and minion-*", "L@minion-1,minion-2"):
        at(page, "minions")
        page.get_by_label("Target", exact=True).fill(tgt)
        expect(rows).to_have_text(["minion-1", "minion-2"])
    page.get_by_role("button", name="Minion", exact=False).first.click()
    expect(page).to_have_url(re.compile("sort=-?id"))
    page.get_by_label("Choose all that are loaded").check()
    page.get_by_role("button", name="Run on them").click()
    expect(page.get_by_label("Target", exact=True)).to_have_value(
        re.compile("minion-1,minion-2|minion-2,minion-1")
    )
