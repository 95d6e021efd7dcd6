"""A hostile master whose texts are as large as they can be: they are text, and stay quick."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer
from tests.conftest import MINION_OPTIONS
from tests.console.browser import Visitor
from tests.console.runs import Run
from tests.waiting import scaled

pytestmark = pytest.mark.long

MIB = 2**20
TEXT_BYTES = 10_000_000
LARGE = {"max_event_size": 64 * MIB}
PRINTED = f"python3 -c \"print('<b>ab</b>\\u202e ' * {TEXT_BYTES // 14})\""
LINES = f"python3 -c \"print('<i>line</i>\\n' * {TEXT_BYTES // 12})\""
SHOWN_CHARACTERS = 5_000
"""What is in the page of a text before somebody asks for more."""
MODULE = '''
"""Functions with names and documentation of somebody who means harm."""

__func_alias__ = {"named": "<img src=x onerror=window.hacked=1>"}


def named(value="<script>window.hacked=1</script>"):
    """
    <script>window.hacked=1</script><img src=x onerror=window.hacked=1>\u202eevil\u2066
    </pre></section><a href="javascript:window.hacked=1">here</a>
    """


def long():
    """%s"""
''' % ("<b>documentation</b> " * 100_000)
TASKS = """() => {
    window.longest = 0;
    new PerformanceObserver(list => list.getEntries().forEach(
        entry => { window.longest = Math.max(window.longest, entry.duration); }
    )).observe({ entryTypes: ["longtask"] });
}"""


@pytest.fixture
def hostile(private_master: Callable[..., PrivateMaster], tmp_path: Path) -> PrivateMaster:
    """A master with a module of theirs, that lets long texts pass, and a minion."""
    modules = tmp_path / "dirs" / "modules"
    modules.mkdir(parents=True)
    (modules / "evil.py").write_text(MODULE)
    return private_master(
        minions=1,
        options={**LARGE, "module_dirs": [str(modules.parent)]},
        minion_options={**MINION_OPTIONS, **LARGE},
    )


@pytest.fixture
def server(hostile: PrivateMaster) -> Iterator[ApiServer]:
    section = {"workers": 1, "job_book_bytes": 256 * MIB}
    more = {"api_listener_queue_bytes": 64 * MIB, "api_event_history_bytes": 64 * MIB}
    with ApiServer(hostile, OURS, section, module="rest_asgi", options=more) as server:
        yield server


def at(page: Page, place: str) -> None:
    page.evaluate("place => { location.hash = `#/${place}`; }", place)


@pytest.mark.timeout(600)
def test_large(visitor: Callable[..., Visitor], server: ApiServer) -> None:
    """Ten megabytes of one minion show from their beginning; documentation and names are text."""
    run, most = Run(server), scaled(60) * 1000
    page = visitor(server).enter()
    page.evaluate(TASKS)
    at(page, "events?tag=salt/job/*/ret/*")
    expect(page.get_by_text("● live")).to_be_visible()
    jids = [run("cmd.run", code) for code in (PRINTED, LINES)]
    rows = page.get_by_role("table", name="Events").get_by_role("row")
    expect(rows).to_have_count(2, timeout=most)
    rows.first.get_by_role("button").click()
    event = page.get_by_label("Event", exact=True)
    expect(event).to_contain_text("<i>line</i>")
    assert SHOWN_CHARACTERS > len(event.inner_text())
    for jid, word in zip(jids, ("<b>ab</b>", "<i>line</i>"), strict=True):
        at(page, f"jobs/{jid}")
        value = page.locator("pre.value")
        expect(value).to_contain_text(word, timeout=most)
        expect(page.get_by_text("1 of 1 minion returned")).to_be_visible(timeout=most)
        assert SHOWN_CHARACTERS > len(value.inner_text())
        search = page.get_by_label("Search in the results")
        search.fill("nothing")
        expect(value).to_have_count(0)
        search.fill(word)
        expect(value).to_contain_text(word)
        page.get_by_role("button", name="more characters").click()
        expect(page.get_by_role("button", name="Save all of it")).to_be_visible()
    at(page, "run?fun=evil.<img src=x onerror=window.hacked=1>&tgt=minion-1")
    documentation = page.get_by_label("Documentation of evil.<img")
    expect(documentation).to_contain_text("<script>window.hacked=1</script><img", timeout=most)
    offered = page.locator("datalist option[value^='evil.<img']")
    expect(offered).to_have_count(1)
    at(page, "run?fun=evil.long&tgt=minion-1")
    expect(page.get_by_label("Documentation of evil.long")).to_contain_text("<b>documentation</b>")
    print(f"longest task: {page.evaluate('window.longest'):.0f} ms")  # noqa: T201 - with -s
    assert "undefined" == page.evaluate("typeof window.hacked")
    expect(page.locator("main :is(script, img, style, [href^='javascript:'])")).to_have_count(0)
