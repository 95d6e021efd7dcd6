"""Everybody can use it: by keyboard, with a screen reader, on a phone, in light and dark."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.console.browser import Visitor
from tests.console.runs import Run

pytestmark = pytest.mark.long


NODE = Path(__file__).with_name("node")
AXE = NODE / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
LOOK = """async rules => {
    const found = await axe.run({ runOnly: { type: "tag", values: rules } });
    return found.violations.flatMap(({ id, nodes }) =>
        nodes.map(node => `${id}: ${node.html.slice(0, 200)} ${node.any[0]?.message ?? ""}`));
}"""
RUN = "run?fun=state.apply&args=mixed&tgt=minion-*"
SMALL, LARGE = {"width": 320, "height": 640}, {"width": 3840, "height": 2160}


@pytest.fixture(scope="module")
def axe() -> str:
    """The source of axe-core; the test is skipped where npm cannot fetch it."""
    done = subprocess.run([NODE / "install"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"there is no axe-core: {done.stderr.strip()}")
    return AXE.read_text()


@pytest.fixture
def places(run: Run) -> dict[str, Callable[[Page], Any]]:
    """Every view: its place, and what is there when it is whole."""
    states = run("state.apply", "mixed", tgt="minion-*")
    folded = run("test.echo", "same", tgt="minion-*")

    def text(words: str) -> Callable[[Page], Any]:
        return lambda page: expect(page.get_by_text(words).first).to_be_visible()

    return {
        "": text("state.apply"),
        "minions": text("minion-2"),
        "minions/minion-1": text("cwd:"),
        RUN: text("2 minions: minion-1, minion-2"),
        f"jobs?fun={'state.*'}": text("state.apply"),
        f"jobs/{states}?minion=minion-1": text("Failure!"),
        f"jobs/{folded}": text("same"),
        "events": lambda page: (run("test.ping"), text("salt/job/")(page)),
        "keys": text("minion-2"),
        "audit": text("state.apply"),
        "about": text("event bus"),
    }


def show(page: Page, places: dict[str, Callable[[Page], Any]], place: str) -> None:
    """Go to a view, and wait until it is whole."""
    page.evaluate("place => { location.hash = `#/${place}`; }", place)
    places[place](page)


def test_rules(
    visitor: Callable[..., Visitor], places: dict[str, Callable[[Page], Any]], axe: str
) -> None:
    """No view breaks a rule of WCAG 2.2 AA that a program can check, in the light or the dark."""
    tab = visitor().tab()
    page = tab.open()
    page.evaluate(axe)
    broken: list[str] = []

    def look(name: str) -> None:
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            found = page.evaluate(LOOK, RULES)
            broken.extend(f"{name or 'overview'}, {scheme}: {fault}" for fault in found)

    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    look("login")
    tab.log_in()
    for place in places:
        show(page, places, place)
        look(place)
    page.keyboard.press("?")
    look("help")
    assert [] == broken


def test_keys(visitor: Callable[..., Visitor], run: Run) -> None:
    """`/` goes to the search, `j` and `k` through the rows, Enter opens, `?` explains."""
    jids = [run("test.echo", word, tgt="minion-1") for word in ("old", "new")]
    page = visitor().enter(place="jobs?fun=test.echo")
    table = page.get_by_role("table", name="Jobs")
    expect(table.get_by_role("link").first).to_be_visible()
    page.keyboard.press("/")
    expect(page.get_by_label("Function")).to_be_focused()
    page.keyboard.press("j")  # is typed
    expect(page.get_by_label("Function")).to_have_value("j")
    page.get_by_label("Function").fill("test.echo")
    page.keyboard.press("Escape")
    expect(table.locator(f"a[href='#/jobs/{jids[1]}']")).to_be_visible()
    page.keyboard.press("j")
    expect(table.locator(f"a[href='#/jobs/{jids[1]}']")).to_be_focused()
    page.keyboard.press("j")
    expect(table.locator(f"a[href='#/jobs/{jids[0]}']")).to_be_focused()
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    expect(page.locator("pre.value")).to_have_text("new")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("next and previous row")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_focus(visitor: Callable[..., Visitor], api: Any) -> None:
    """Everything is reached by the tabulator, and one sees where one is."""
    tab = visitor().tab()
    page = tab.open()
    known = api.master.credentials()
    expect(page.get_by_label("User")).to_be_focused()
    for value in (known["username"], known["password"]):
        page.keyboard.type(value)
        page.keyboard.press("Tab")
    page.keyboard.press("Control+A")
    page.keyboard.type(known["eauth"])
    page.keyboard.press("Enter")
    expect(page.get_by_role("navigation", name="Views")).to_be_visible()
    page.evaluate(f"location.hash = '#/{RUN}'")
    expect(page.get_by_text("2 minions: minion-1, minion-2")).to_be_visible()
    seen: list[str] = []
    page.locator("body").press("Tab")
    for _ in range(60):
        name, width = page.evaluate(
            """() => {
                const at = document.activeElement;
                const name = at.labels?.[0]?.textContent ?? at.textContent;
                return [name.trim(), parseFloat(getComputedStyle(at).outlineWidth)];
            }"""
        )
        if name == "Run" and seen[-1:] == ["Dry run"]:
            break
        assert width >= 2, name
        seen.append(name)
        page.keyboard.press("Tab")
    else:
        pytest.fail(f"the button is not reached: {seen}")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_focused()


def test_motion(visitor: Callable[..., Visitor]) -> None:
    """Who asks for less motion has none."""
    page = visitor().enter()
    moving = """() => {
        const cells = document.createElement("div");
        cells.className = "cells";
        cells.append(Object.assign(document.createElement("button"), { className: "busy" }));
        document.body.append(cells);
        return getComputedStyle(cells.firstChild).animationName;
    }"""
    page.emulate_media(reduced_motion="no-preference")
    assert "breathe" == page.evaluate(moving)
    page.emulate_media(reduced_motion="reduce")
    assert "none" == page.evaluate(moving)


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["320", "4K"])
def test_sizes(
    visitor: Callable[..., Visitor], places: dict[str, Callable[[Page], Any]], size: dict[str, int]
) -> None:
    """No view is wider than the screen, from 320 pixels to 4K."""
    page = visitor(viewport=size).enter()
    for place in places:
        show(page, places, place)
        assert size["width"] >= page.evaluate("document.scrollingElement.scrollWidth"), place
