"""
The tour: somebody who has only an address, a user and a password finds out what is wrong.

`make screenshots` lets it take the pictures of docs/console.md on the way.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from saltapi.demo import PrivateMaster
from tests.console.browser import Visitor
from tests.console.runs import Run
from tests.swarm import Swarm

PICTURES = Path(__file__).parents[2] / "docs" / "console"
TAKE = bool(os.environ.get("SALTAPI_SCREENSHOTS"))
LARGEST_BYTES = 100_000
SIZE = {"width": 1000, "height": 640}


@pytest.fixture(scope="module")
def web(master: PrivateMaster) -> Iterator[Swarm]:
    """More minions, some of which fail or say nothing."""
    behaviours = {"web-7": "fail", "web-9": "slow:8"}
    with Swarm(master, 12, prefix="web-", behaviours=behaviours) as swarm:
        yield swarm


@pytest.fixture
def newcomer(master: PrivateMaster) -> Iterator[None]:
    """A minion that waits for somebody to accept its key."""
    pki = master.directory / "master" / "pki"
    pending = pki / "minions_pre" / "db-1"
    pending.parent.mkdir(exist_ok=True)
    pending.write_text((pki / "minions" / "minion-1").read_text())
    yield
    pending.unlink(missing_ok=True)


def picture(page: Page, name: str, tmp_path: Path) -> None:
    """Take a picture; it is small enough to be looked at by everybody."""
    path = (PICTURES if TAKE else tmp_path) / f"{name}.png"
    page.mouse.move(0, 0)
    page.screenshot(path=path, animations="disabled", caret="hide")
    assert not TAKE or LARGEST_BYTES > path.stat().st_size, name


@pytest.mark.long
def test_tour(
    visitor: Callable[..., Visitor], run: Run, web: Swarm, newcomer: None, tmp_path: Path
) -> None:
    """Who is down, what failed and why, a dry run, the same for real, a failure seen live."""
    run("test.ping", tgt="*")
    run("state.apply", "mixed", tgt="minion-*")
    tab = visitor(viewport=SIZE).tab()
    page = tab.open()
    tab.log_in()
    menu = page.get_by_role("navigation", name="Views")
    expect(page.get_by_role("link", name="keys pending").locator("strong")).to_have_text("1")
    expect(page.get_by_text("state.apply").first).to_be_visible()
    expect(page.get_by_text("No job runs.")).to_be_visible()
    picture(page, "overview", tmp_path)
    menu.get_by_role("link", name="Minions").click()
    expect(page.get_by_role("table", name="Minions")).to_contain_text("web-1")
    picture(page, "minions", tmp_path)
    page.get_by_role("link", name="minion-1").click()
    expect(page.get_by_label("Last jobs")).to_contain_text("state.apply")
    page.get_by_role("button", name="Run on it").click()
    page.get_by_label("Function").fill("state.apply")
    page.get_by_label("Arguments, as in a shell").fill("mixed")
    page.get_by_label("Target type").select_option("glob")
    page.get_by_label("Target", exact=True).fill("minion-*")
    expect(page.get_by_text("2 minions: minion-1, minion-2")).to_be_visible()
    expect(page.get_by_label("Documentation of state.apply")).to_contain_text("state")
    picture(page, "run", tmp_path)
    page.get_by_role("button", name="Dry run").click()
    expect(page.get_by_label("States").get_by_text("would change").first).to_be_visible()
    page.get_by_role("link", name="Run it for real").click()
    expect(page.get_by_text("2 minions: minion-1, minion-2")).to_be_visible()
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Run").click()
    expect(page.get_by_label("States")).to_contain_text("Failure!")
    expect(page.get_by_text("2 of 2 minions returned")).to_be_visible()
    picture(page, "states", tmp_path)
    page.evaluate("location.hash = '#/run?fun=test.ping&tgt=*'")
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Run").click()
    expect(page.locator(".badge", has_text="1 failed")).to_be_visible()
    expect(page.get_by_role("button", name="web-9: ")).to_be_visible()
    picture(page, "job", tmp_path)
    page.evaluate("location.hash = '#/keys?state=pending'")
    page.get_by_label("Choose db-1").check()
    page.get_by_role("button", name="Accept").click()
    expect(page.get_by_role("dialog")).to_contain_text("db-1")
    picture(page, "keys", tmp_path)
    page.get_by_role("button", name="Cancel").click()
    page.emulate_media(color_scheme="dark")
    page.evaluate("location.hash = '#/events?tag=salt/job/*/ret/web-1*'")
    expect(page.get_by_text("● live")).to_be_visible()
    run("test.ping", tgt="web-*")
    expect(page.get_by_role("table", name="Events").get_by_role("row").nth(2)).to_be_visible()
    page.get_by_role("table", name="Events").get_by_role("button").first.click()
    expect(page.get_by_label("Event", exact=True)).to_contain_text("fun: test.ping")
    picture(page, "events", tmp_path)
