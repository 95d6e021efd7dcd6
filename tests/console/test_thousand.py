"""A thousand minions: a job that fills while somebody looks, and what it costs the browser."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from saltapi.demo import PrivateMaster
from tests.console.browser import Visitor
from tests.console.runs import Run
from tests.swarm import Swarm
from tests.waiting import scaled

COUNT = 1000
CROWD = 10_000
PAGES = 4
JOBS = 10
FILLED_MS = scaled(120) * 1000
GROWTH = 1.5
"""What the page may hold after many jobs, as many times as after the first."""
MEASURE = """() => {
    const seen = { frame: 0, task: 0, filled: new Set() };
    let last = performance.now();
    const frame = now => {
        seen.frame = Math.max(seen.frame, now - last);
        last = now;
        const bar = document.querySelector("progress");
        if (bar) seen.filled.add(bar.value);
        requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
    new PerformanceObserver(list => list.getEntries().forEach(entry => {
        seen.task = Math.max(seen.task, entry.duration);
    })).observe({ entryTypes: ["longtask"] });
    window.seen = () => ({ ...seen, filled: seen.filled.size });
}"""


@pytest.fixture(scope="module")
def thousand(master: PrivateMaster) -> Iterator[Swarm]:
    """Simulated minions."""
    with Swarm(master, COUNT, prefix="many-") as swarm:
        yield swarm


def held_bytes(page: Page) -> int:
    """Return how much the page holds after its garbage is gone."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    usage: dict[str, Any] = session.send("Runtime.getHeapUsage")
    return int(usage["usedSize"])


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_thousand(visitor: Callable[..., Visitor], run: Run, thousand: Swarm) -> None:
    """The cells fill one by one, the page stays quick, and holds no more after ten jobs."""
    page = visitor().enter(place="run?fun=test.ping&tgt=many-*")
    expect(page.get_by_text(f"{COUNT:,} minions: many-0")).to_be_visible()
    page.evaluate(MEASURE)
    page.get_by_role("button", name="Run", exact=True).click()
    question = page.get_by_role("dialog")
    expect(question).to_contain_text(f"on {COUNT:,} minions?")
    question.get_by_role("button", name="Run").click()
    done = page.get_by_text(f"{COUNT:,} of {COUNT:,} minions returned")
    expect(done).to_be_visible(timeout=FILLED_MS)
    seen = page.evaluate("window.seen()")
    assert COUNT == page.locator(".cells button.good").count()
    assert seen["filled"] > 3, "it did not fill while one looked"
    print(  # noqa: T201 - shown with -s, and when the test fails
        f"a job on {COUNT} minions: longest frame {seen['frame']:.0f} ms, longest task"
        f" {seen['task']:.0f} ms"
    )
    page.reload()
    expect(done).to_be_visible(timeout=FILLED_MS)
    held = []
    for number in range(JOBS):
        jid = run("sim.together", f"value {number}", tgt="many-*")
        page.evaluate("jid => { location.hash = `#/jobs/${jid}`; }", jid)
        value = page.locator("pre.value")
        expect(value).to_have_text(f"value {number}", timeout=FILLED_MS)
        expect(done).to_be_visible(timeout=FILLED_MS)
        held.append(held_bytes(page))
    print(  # noqa: T201 - the same
        f"{held[0] >> 10} KiB after one more job, {held[-1] >> 10} after {JOBS}"
    )
    assert held[0] * GROWTH > held[-1], held


@pytest.fixture
def crowd(master: PrivateMaster) -> Iterator[int]:
    """Ten thousand minions whose keys wait, for nobody."""
    pki = master.directory / "master" / "pki"
    key = (pki / "minions" / "minion-1").read_text()
    pending = [pki / "minions_pre" / f"crowd-{number:04}" for number in range(CROWD)]
    pending[0].parent.mkdir(exist_ok=True)
    for path in pending:
        path.write_text(key)
    yield CROWD
    for path in pending:
        path.unlink(missing_ok=True)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_ten_thousand(visitor: Callable[..., Visitor], crowd: int) -> None:
    """Of ten thousand minions a page at a time is loaded, and the rows in sight are in the page."""
    page = visitor().enter(place="minions?id=crowd-*&sort=id")
    expect(page.get_by_text(f"{crowd:,} minions")).to_be_visible()
    table = page.get_by_role("table", name="Minions")
    expect(table.get_by_role("link").first).to_have_text("crowd-0000")
    for _ in range(PAGES):
        loaded = int(table.get_attribute("aria-rowcount") or 0)
        table.evaluate("list => { list.scrollTop = list.scrollHeight; }")
        expect(table).not_to_have_attribute("aria-rowcount", str(loaded))
        expect(table.get_by_role("link", name=f"crowd-{loaded - 1:04}")).to_be_visible()
        assert 100 > table.get_by_role("row").count()


@pytest.mark.long
@pytest.mark.timeout(600)
def test_list(visitor: Callable[..., Visitor], thousand: Swarm) -> None:
    """The list has only the rows in sight, and all of them when one goes through it."""
    page = visitor().enter(place="minions?tgt=many-*")
    table = page.get_by_role("table", name="Minions")
    expect(table.get_by_role("link").first).to_be_visible()
    page.keyboard.press("j")
    for _ in range(300):
        page.keyboard.press("j")
    expect(page.locator("[data-row]:focus")).to_be_visible()
    assert 100 > table.get_by_role("row").count()
    assert page.locator("[data-row]:focus").inner_text() > "many-2"
