"""What minions say is text: markup, scripts, bidi controls and very long texts do nothing."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from saltapi.demo import PrivateMaster
from tests.console.browser import Visitor
from tests.console.runs import Run
from tests.waiting import scaled

MARKUP = (
    "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script>"
    "</pre><style>*{display:none}</style><a href='javascript:window.hacked=1'>x</a>"
)

pytestmark = pytest.mark.long

BIDI = "\u202eevil\u2066\u200f"
BYTES = 900_000
"""What is much longer is trimmed by Salt (`max_event_size`), before we have it."""


@pytest.fixture
def page(visitor: Callable[..., Visitor]) -> Iterator[Page]:
    """The console; afterwards nothing has run in it that is not its own."""
    page = visitor().enter()
    yield page
    assert "undefined" == page.evaluate("typeof window.hacked")
    foreign = page.locator("main :is(script, img, style, [href^='javascript:'])")
    expect(foreign).to_have_count(0)
    expect(page.get_by_role("navigation", name="Views")).to_be_visible()


def go(page: Page, place: str) -> None:
    page.evaluate("place => { location.hash = `#/${place}`; }", place)


def test_returns(page: Page, run: Run) -> None:
    """A return, as a value and as a key, shows as it is."""
    jid = run("test.arg", MARKUP, BIDI, tgt="minion-1")
    go(page, f"jobs/{jid}")
    value = page.locator("pre.value")
    expect(value).to_contain_text("<img src=x onerror=")
    expect(value).to_contain_text("<script>window.hacked=1</script>")
    assert "plaintext" == value.evaluate("element => getComputedStyle(element).unicodeBidi")
    go(page, "jobs?fun=test.arg")
    expect(page.get_by_role("table", name="Jobs").get_by_role("link").first).to_be_visible()


def test_tags_and_events(page: Page, run: Run) -> None:
    """So do a tag and what an event has."""
    go(page, "events?tag=evil*")
    expect(page.get_by_text("● live")).to_be_visible()
    run("event.send", f"evil/{MARKUP}{BIDI}", '{"text": "<b>bold</b>"}', client="runner")
    row = page.get_by_role("table", name="Events").get_by_role("row").first
    expect(row).to_contain_text("<img src=x")
    row.get_by_role("button").click()
    expect(page.get_by_label("Event", exact=True)).to_contain_text("<b>bold</b>")


def test_ids(page: Page, master: PrivateMaster) -> None:
    """So do the ids of minions that ask to be accepted."""
    pki = master.directory / "master" / "pki"
    name = f"<b>bold<img src=x onerror=window.hacked=1>{BIDI}"
    pending = pki / "minions_pre" / name
    pending.parent.mkdir(exist_ok=True)
    pending.write_text((pki / "minions" / "minion-1").read_text())
    try:
        go(page, "keys?state=pending")
        keys = page.get_by_label("Keys")
        expect(keys.get_by_role("row")).to_have_count(2)
        expect(keys).to_contain_text("<b>bold<img")
        keys.get_by_label("Choose <b>bold").check()
        page.get_by_role("button", name="Reject").click()
        expect(page.get_by_role("dialog")).to_contain_text("<b>bold<img")
        page.get_by_role("button", name="Cancel").click()
    finally:
        pending.unlink()


def test_grains(page: Page, run: Run) -> None:
    """So do grains, in the list and on the minion's page."""
    run("grains.setval", "evil", MARKUP, tgt="minion-1")
    try:
        run("saltutil.refresh_pillar", tgt="minion-1")
        go(page, "minions/minion-1")
        page.get_by_role("button", name="more characters").click()
        expect(page.locator("details pre.value").first).to_contain_text("evil: <img src=x")
        go(page, "minions?columns=evil")
        expect(page.get_by_role("table", name="Minions")).to_contain_text("<img src=x onerror=")
    finally:
        run("grains.delkey", "evil", tgt="minion-1")


def test_documentation(page: Page) -> None:
    """Documentation stays as it is written, markup and all."""
    go(page, "run?client=local&fun=test.arg")
    expect(page.get_by_label("Documentation of test.arg")).to_contain_text("Print out the data")


def test_what_is_asked(page: Page) -> None:
    """What stands in the URL is text too."""
    go(page, f"run?fun={MARKUP}&tgt={MARKUP}")
    expect(page.get_by_label("Function")).to_have_value(MARKUP)
    go(page, f"jobs/{MARKUP.replace('/', '')}")
    expect(page.get_by_role("alert")).to_be_visible()


def test_long_texts(page: Page, run: Run) -> None:
    """A text of almost a million characters is shown from its beginning, and stays quick."""
    code = f"python3 -c \"print('<b>ab</b> ' * {BYTES // 10})\""
    jid = run("cmd.run", code, tgt="minion-1")
    page.evaluate(
        """() => {
            window.longest = 0;
            new PerformanceObserver(list => list.getEntries().forEach(
                entry => { window.longest = Math.max(window.longest, entry.duration); }
            )).observe({ entryTypes: ["longtask"] });
        }"""
    )
    go(page, f"jobs/{jid}")
    expect(page.get_by_text("1 of 1 minion returned")).to_be_visible(timeout=scaled(60) * 1000)
    expect(page.locator("pre.value")).to_contain_text("<b>ab</b>")
    assert 100_000 > len(page.locator("pre.value").inner_text())
    page.get_by_label("Search in the results").fill("nothing")
    expect(page.locator("pre.value")).to_have_count(0)
    print(f"longest task: {page.evaluate('window.longest'):.0f} ms")  # noqa: T201 - with -s
