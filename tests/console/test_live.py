"""What happens while somebody looks: the fleet, a job state by state, an orchestration."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer
from tests.console.browser import Visitor, answer, rerun
from tests.console.runs import Run
from tests.swarm import Swarm

pytestmark = pytest.mark.long

SILENT = "silent-[01]"
WAITING = """\
first:
  test.succeed_without_changes
second:
  cmd.run:
    - name: until [ -e {file} ]; do sleep 0.1; done
third:
  test.fail_without_changes
"""
ORCHESTRATION = """\
first:
  salt.function:
    - name: test.arg
    - tgt: minion-1
second:
  salt.state:
    - tgt: minion-*
    - sls: mixed
    - require: [{salt: first}]
third:
  salt.function:
    - name: test.ping
    - tgt: minion-1
    - require: [{salt: second}]
"""


@pytest.fixture
def page(visitor: Callable[..., Visitor]) -> Page:
    """The console of somebody who may do everything."""
    return visitor().enter()


@pytest.fixture(scope="module")
def silent(master: PrivateMaster) -> Iterator[Swarm]:
    """Minions of which two never return."""
    with Swarm(master, 3, prefix="silent-", behaviours={"*-[01]": "never"}) as swarm:
        yield swarm


def at(page: Page, place: str) -> Page:
    page.evaluate("place => { location.hash = `#/${place}`; }", place)
    return page


def change_key(api: ApiServer, method: str, path: str) -> None:
    answer = api.send(method, f"/v1/keys/{path}", headers={"X-Auth-Token": api.login()})
    assert answer.status < 300, answer


def test_fleet(page: Page, api: ApiServer, master: PrivateMaster, run: Run) -> None:
    """A list of minions follows what happens to them: they come, change, and are gone."""
    pki = master.directory / "master" / "pki"
    pending = pki / "minions_pre" / "comer"
    pending.parent.mkdir(exist_ok=True)
    pending.write_text((pki / "minions" / "minion-1").read_text())
    at(page, "minions?id=comer")
    row = page.get_by_role("table", name="Minions").get_by_role("row").nth(1)
    expect(row).to_contain_text("pending")
    change_key(api, "POST", "comer/accept")
    expect(row).to_contain_text("accepted")
    change_key(api, "DELETE", "comer")
    expect(page.get_by_text("No minion is like that.")).to_be_visible()
    at(page, "minions?id=minion-1&highstate=failed")
    run("state.highstate", tgt="minion-1")
    expect(page.get_by_role("link", name="minion-1", exact=True)).to_be_visible()


def test_what_needs_somebody(page: Page, master: PrivateMaster, run: Run, silent: Swarm) -> None:
    """The overview has the minions by their last highstate, what runs, and who needs somebody."""
    run("state.highstate", tgt="minion-1")
    pki = master.directory / "master" / "pki"
    pending = pki / "minions_pre" / "comer"
    pending.parent.mkdir(exist_ok=True)
    pending.write_text((pki / "minions" / "minion-1").read_text())
    try:
        at(page, "overview")
        highstates = page.get_by_label("Last highstates")
        expect(highstates).to_contain_text(re.compile(r"\d+ minions? in all"))
        expect(highstates.get_by_role("link", name="failed")).to_be_visible()
        to_do = page.get_by_label("Needs somebody")
        expect(to_do).to_contain_text("1 key waits to be accepted")
        expect(to_do).to_contain_text("failed its last highstate")
        expect(page.get_by_role("link", name="keys pending").locator("strong")).to_have_text("1")
        run("test.ping", tgt=SILENT, client="local_async")
        running = page.get_by_label("Running now")
        expect(running).to_contain_text("0 of 2")
        expect(page.get_by_label("Events a minute")).to_contain_text(
            re.compile(r"[1-9]\d* in this")
        )
        to_do.get_by_role("link", name="1 key waits").click()
        expect(page.get_by_label("Choose comer")).to_be_visible()
    finally:
        pending.unlink()


def test_state_by_state(page: Page, master: PrivateMaster, run: Run, tmp_path: Path) -> None:
    """A cell says at which state its minion is; the one that fails is seen when it does."""
    go_on = tmp_path / "go on"
    states = master.directory / "states" / "waiting.sls"
    states.write_text(WAITING.format(file=f'"{go_on}"'.replace('"', "'")))
    at(page, "run?fun=state.apply&args=waiting&tgt=minion-1")
    page.get_by_role("button", name="Run", exact=True).click()
    cell = page.get_by_role("button", name="minion-1: ")
    expect(cell).to_have_attribute("data-sign", "1 of 3")
    cell.click()
    expect(page.get_by_label("minion-1", exact=True)).to_contain_text("at state 1 of 3: first")
    page.reload()
    expect(cell).to_have_attribute("data-sign", "1 of 3")
    go_on.touch()
    expect(page.get_by_label("States", exact=True)).to_contain_text("Failure!")
    expect(page.get_by_role("button", name="minion-1: failed")).to_be_visible()


def test_orchestration(page: Page, master: PrivateMaster) -> None:
    """An orchestration is a tree: its steps, each with its jobs, and what each came to."""
    (master.directory / "states" / "deploy.sls").write_text(ORCHESTRATION)
    at(page, "run?client=runner&fun=state.orchestrate&args=deploy")
    page.get_by_role("button", name="Run", exact=True).click()
    steps = page.get_by_label("Steps").locator("ol > li")
    for _ in range(2):
        expect(steps).to_have_count(3)
        expect(steps.nth(0)).to_contain_text("succeeded")
        expect(steps.nth(1)).to_contain_text("Run failed on minions: minion-1")
        expect(steps.nth(2)).to_contain_text("not run")
        page.reload()
    steps.nth(1).get_by_role("link").click()
    expect(page.get_by_label("States", exact=True)).to_contain_text("Failure!")
    expect(page.get_by_text("part of")).to_be_visible()


def test_who_is_missing(page: Page, api: ApiServer, run: Run, silent: Swarm) -> None:
    """Who has not returned is named with the reason, and can be asked again; the question says how
    many that is."""
    chunk: dict[str, Any] = {"tgt": SILENT, "fun": "test.ping"}
    jid = run.chunk({**chunk, "timeout": 1, "gather_job_timeout": 1})
    at(page, f"jobs/{jid}")
    missing = page.get_by_label("Minions that did not return")
    expect(missing).to_contain_text("silent-0, silent-1")
    expect(missing.locator(".badge")).to_contain_text(re.compile("2 (no response|not connected)"))
    page.get_by_role("button", name="silent-0: ").click()
    expect(page.get_by_label("silent-0", exact=True)).to_contain_text("silent-0")
    rerun(page, jid, "2 missing", "2 minions")
    expect(page.get_by_text("0 of 2 minions returned")).to_be_visible()
    page.get_by_role("button", name="Stop", exact=True).click()
    answer(page, "Stop it on 2 minions?", "Stop it")


def test_differences(page: Page, run: Run) -> None:
    """What differs from another job of the same function is a table, one line each."""
    before, after = (run("test.arg", word, tgt="minion-*") for word in ("old", "new"))
    at(page, f"jobs/{after}")
    page.get_by_text("Compare with another job").click()
    page.get_by_label("The same function").select_option(before)
    found = page.get_by_label("Differences of 2 minions")
    row = found.get_by_role("row").filter(has_text="old")
    expect(row.first).to_contain_text("new")
    expect(page).to_have_url(re.compile(f"diff={before}"))


def test_another_worker(visitor: Callable[..., Visitor], master: PrivateMaster, run: Run) -> None:
    """Another process shows the same of a job that it has not started."""
    jid = run("state.apply", "mixed", tgt="minion-*")
    with ApiServer(master, OURS, {"workers": 1}, module="rest_asgi") as other:
        page = visitor(other).enter(place=f"jobs/{jid}")
        expect(page.locator(".badge", has_text="1 failed")).to_be_visible()
        expect(page.get_by_text("2 of 2 minions returned")).to_be_visible()
        expect(page.get_by_label("States").get_by_role("row")).to_have_count(4)
        at(page, "overview")
        failures = page.get_by_label("Failed in the last day")
        expect(failures.locator(f"a[href='#/jobs/{jid}']")).to_be_visible()
