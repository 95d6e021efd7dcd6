"""What each view promises, and the session around them all."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from saltapi.demo import PrivateMaster
from tests.apis import ApiServer
from tests.console.browser import Visitor, answer, rerun
from tests.console.runs import Run

PAINTED = """() => new Promise(resolve => new PerformanceObserver(
    list => resolve(list.getEntries().at(-1).startTime)
).observe({ type: "largest-contentful-paint", buffered: true }))"""
"""When the largest part of the page was there, in milliseconds."""
JOB_URL = re.compile(r"#/jobs/\d{20}")


@pytest.fixture(scope="module")
def failed(run: Run) -> str:
    """The jid of states that failed on `minion-1`."""
    return run("state.apply", "mixed", tgt="minion-*")


@pytest.fixture
def page(visitor: Callable[..., Visitor]) -> Page:
    """The console of somebody who may do everything."""
    return visitor().enter()


def at(page: Page, place: str) -> Page:
    """Go to a view, as with a link."""
    page.evaluate("place => { location.hash = `#/${place}`; }", place)
    return page


def badge(page: Page, words: str) -> Locator:
    """Return what says how many are in a state."""
    return page.locator(".badge", has_text=words)


def returned(api: ApiServer, jid: str) -> Any:
    """Return what `minion-1` returned."""
    answer = api.send("GET", f"/v1/jobs/{jid}", headers={"X-Auth-Token": api.login()})
    return answer.value()["returns"]["minion-1"]["return"]


def test_from_login_to_logout(visitor: Callable[..., Visitor], api: ApiServer) -> None:
    """A wrong password is said; with the right one all views are there; a logout ends it all."""
    tab = visitor().tab()
    page = tab.open()
    page.get_by_label("User").fill(api.master.username)
    page.get_by_label("Password").fill("wrong")
    page.get_by_label("Eauth").fill(api.master.eauth)
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_visible()
    tab.log_in()
    menu = page.get_by_role("navigation", name="Views")
    names = ["Overview", "Minions", "Run", "Jobs", "Events", "Keys", "Audit", "About"]
    expect(menu.get_by_role("link")).to_have_text(names)
    expect(page.get_by_text("● live")).to_be_visible()
    cookies = {cookie["name"]: cookie for cookie in page.context.cookies()}
    token = cookies["session_id"]["value"]
    assert cookies["session_id"]["httpOnly"]
    kept = page.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie])")
    assert token not in kept
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    assert 401 == api.send("GET", "/v1/whoami", headers={"X-Auth-Token": token}).status
    page.reload()
    expect(page.get_by_role("button", name="Log in")).to_be_visible()


@pytest.mark.long
def test_overview(page: Page, failed: str) -> None:
    """Who is up, and what failed, each with a way to it."""
    up = page.get_by_role("link", name="minions up")
    expect(up.locator("strong")).to_have_text(re.compile(r"[2-9]|\d\d"))
    row = page.get_by_label("Failed in the last day").get_by_role("row").first
    expect(row).to_contain_text("state.apply")
    row.get_by_role("link").click()
    expect(page).to_have_url(JOB_URL)
    page.go_back()
    up.click()
    expect(page.get_by_role("table", name="Minions")).to_contain_text("minion-1")


@pytest.mark.long
def test_minions(page: Page) -> None:
    """Filters and grains stand in the URL; who is chosen becomes a target."""
    at(page, "minions?tgt=G@os:* and minion-1&tgt_type=compound&columns=kernel")
    table = page.get_by_role("table", name="Minions")
    expect(table.locator("[data-row]")).to_have_text(["minion-1"])
    expect(table).to_contain_text("Linux")
    page.reload()
    expect(table.locator("[data-row]")).to_have_text(["minion-1"])
    page.get_by_label("Choose minion-1").check()
    page.get_by_role("button", name="Run on them").click()
    expect(page.get_by_label("Target", exact=True)).to_have_value("minion-1")


@pytest.mark.long
def test_minion(page: Page, failed: str) -> None:
    """What is known of a minion: its grains, its jobs, its key, and whether it answers."""
    at(page, "minions/minion-1")
    expect(page.get_by_role("heading", level=1)).to_have_text("minion-1")
    expect(page.get_by_label("Last jobs")).to_contain_text("state.apply")
    expect(page.locator("details pre.value").first).to_contain_text("cwd:")
    expect(page.get_by_label("Its keys").get_by_role("row")).to_contain_text("accepted")
    expect(page.get_by_label("Why")).to_contain_text("minion-1 is connected.")
    page.get_by_role("link", name="Its key").click()
    expect(page.get_by_label("Keys")).to_contain_text("minion-1")


@pytest.mark.long
def test_run_states(page: Page) -> None:
    """A dry run, from there the same for real, and the state that fails is on top."""
    at(page, "run")
    page.get_by_label("Function").fill("state.apply")
    page.get_by_label("Arguments, as in a shell").fill("mixed")
    page.get_by_label("Target", exact=True).fill("minion-*")
    expect(page.get_by_text("2 minions: minion-1, minion-2")).to_be_visible()
    page.get_by_role("button", name="Dry run").click()
    expect(page).to_have_url(JOB_URL)
    states = page.get_by_label("States")
    expect(states.get_by_text("would change").first).to_be_visible()
    expect(badge(page, "dry run")).to_be_visible()
    page.get_by_role("link", name="Run it for real").click()
    expect(page.get_by_text("2 minions: minion-1, minion-2")).to_be_visible()
    page.get_by_role("button", name="Run", exact=True).click()
    answer(page, "Run state.apply on 2 minions?", "Run")
    expect(badge(page, "1 failed")).to_be_visible()
    expect(badge(page, "dry run")).to_have_count(0)
    first = states.get_by_role("row").nth(1)
    expect(first).to_contain_text("failing")
    expect(first).to_contain_text("minion-1")


@pytest.mark.long
def test_once_more(page: Page, run: Run, api: ApiServer) -> None:
    """The form can be filled in with what a job has run: the same comes back."""
    named = {"number": 5, "text": "5", "none": None, "more": {"a": ["b c", True]}, "word": "it's"}
    jid = run.chunk(
        {"fun": "test.arg", "tgt": ["minion-1"], "tgt_type": "list", "kwarg": named}
        | {"arg": ["two words", "it's", "5", 5, 1.5, True, None, [1, "a"], {"key": "value"}]}
    )
    at(page, f"jobs/{jid}")
    page.get_by_role("link", name="Change and rerun").click()
    expect(page.get_by_label("Target type")).to_have_value("list")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page).to_have_url(JOB_URL)
    expect(page.get_by_text("1 of 1 minion returned")).to_be_visible()
    again = page.url.rpartition("/")[2]
    first, second = (returned(api, job) for job in (jid, again))
    assert first["args"] == second["args"]
    for found in (first, second):
        assert named == {name: found["kwargs"][name] for name in named}


@pytest.mark.long
def test_stages(page: Page) -> None:
    """A change in stages shows each of them, and stops where one fails."""
    at(page, "run?fun=state.apply&args=mixed&tgt=minion-*")
    page.get_by_label("So many at once, or in stages").fill("1,100%")
    expect(page).to_have_url(re.compile("batch="))
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Run").click()
    stages = page.get_by_label("Stages", exact=True)
    expect(stages).to_contain_text("halted")
    expect(stages.get_by_role("row").nth(0)).to_contain_text("1 failure")
    expect(stages.get_by_role("row").nth(1)).to_contain_text("not run")
    expect(page.get_by_label("Minions that did not return")).to_contain_text("minion-2")
    stages.get_by_role("link").click()
    expect(page.get_by_text("1 of 1 minion returned")).to_be_visible()


@pytest.mark.long
def test_may_it(visitor: Callable[..., Visitor]) -> None:
    """What a user may not run is refused before it runs, with a reason; what they may not see is
    not offered."""
    page = visitor().enter("low", "run?fun=cmd.run&args=id&tgt=minion-1")
    expect(page.get_by_text("refused").first).to_be_visible()
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_disabled()
    menu = page.get_by_role("navigation", name="Views")
    expect(menu.get_by_role("link", name="Audit")).to_have_count(0)
    at(page, "run?fun=test.ping&tgt=minion-1")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(badge(page, "1 succeeded")).to_be_visible()
    at(page, "overview")
    expect(page.get_by_role("heading", name="Running now")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_job(page: Page, failed: str) -> None:
    """A job shows the same after a reload; a search finds lines; a rerun asks whom it is for."""
    at(page, f"jobs/{failed}")
    for _ in range(2):
        expect(badge(page, "1 failed")).to_be_visible()
        expect(page.get_by_text("2 of 2 minions returned")).to_be_visible()
        expect(page.get_by_label("States").get_by_role("row")).to_have_count(4)
        page.reload()
    page.get_by_label("Search in the results").fill("Failure!")
    expect(page.get_by_label("States").get_by_role("row")).to_have_count(2)
    page.get_by_role("button", name="minion-1: failed").click()
    expect(page.get_by_label("minion-1", exact=True)).to_contain_text("Failure!")
    rerun(page, failed, "1 failed", "1 minion")
    expect(page.get_by_text("1 of 1 minion returned")).to_be_visible()


@pytest.mark.long
def test_folded(page: Page, run: Run) -> None:
    """Equal results are there once, with their minions."""
    at(page, f"jobs/{run('test.echo', 'same', tgt='minion-*')}")
    group = page.locator(".group")
    expect(group).to_have_count(1)
    expect(group).to_contain_text("2 minions")
    expect(group.locator("pre")).to_have_text("same")


@pytest.mark.long
def test_job_is_stopped(page: Page, api: ApiServer) -> None:
    """Who has a running job on the screen can stop it, and is asked on how many minions."""
    at(page, "run?fun=test.sleep&args=300&tgt=minion-1")
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("button", name="Stop", exact=True).click()
    answer(page, "Stop it on 1 minion?", "Stop it")
    expect(page.get_by_text("incomplete")).to_be_visible()


@pytest.mark.long
def test_runner(page: Page) -> None:
    """A runner function has its result."""
    at(page, "run?client=runner&fun=test.arg&args=hello")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_label("Result")).to_contain_text("hello")


@pytest.mark.long
def test_jobs(page: Page, failed: str) -> None:
    """Jobs are filtered by what stands in the URL; back goes back."""
    at(page, "jobs")
    page.get_by_label("Function").fill("state.*")
    table = page.get_by_role("table", name="Jobs")
    expect(table.get_by_role("link", name="test.ping")).to_have_count(0)
    expect(page).to_have_url(re.compile(r"fun=state"))
    table.locator(f"a[href='#/jobs/{failed}']").click()
    expect(badge(page, "1 failed")).to_be_visible()
    page.go_back()
    expect(page.get_by_label("Function")).to_have_value("state.*")


@pytest.mark.long
def test_empty_pages(page: Page, failed: str) -> None:
    """Pages without a job, as a busy server sends them, are no end: it is looked further."""
    asked: list[str] = []

    def answer_late(route: Route) -> None:
        asked.append(route.request.url)
        if len(asked) < 3:
            route.fulfill(json={"jobs": [], "cursor": str(len(asked)), "partial": None})
        else:
            route.continue_(url=re.sub("&cursor=[^&]*", "", route.request.url))

    page.route(re.compile(r"/v1/jobs\?.*fun="), answer_late)
    at(page, "jobs?fun=state.*")
    table = page.get_by_role("table", name="Jobs")
    expect(table.locator(f"a[href='#/jobs/{failed}']")).to_be_visible()
    assert ["cursor=1" in asked[1], "cursor=2" in asked[2]] == [True, True]


@pytest.mark.long
def test_events(page: Page, run: Run) -> None:
    """Events come by themselves; a pause counts what comes and loses nothing."""
    at(page, "events?tag=salt/job/*/ret/minion-1")
    expect(page.get_by_text("● live")).to_be_visible()
    table = page.get_by_role("table", name="Events")
    first = run("test.ping", tgt="minion-*")
    expect(table.get_by_role("row")).to_have_count(1)
    page.get_by_role("button", name="Pause").click()
    second = run("test.ping", tgt="minion-*")
    expect(page.get_by_text(re.compile(r"\d events more"))).to_be_visible()
    expect(table.get_by_role("row")).to_have_count(1)
    page.get_by_role("button", name="Go on").click()
    tags = [f"salt/job/{jid}/ret/minion-1" for jid in (second, first)]
    expect(table.get_by_role("row").get_by_role("button")).to_have_text(tags)
    table.get_by_role("button").first.click()
    expect(page.get_by_label("Event", exact=True)).to_contain_text(f"jid: {second}")


@pytest.mark.long
def test_keys(page: Page, master: PrivateMaster) -> None:
    """Keys are accepted after a look at their fingerprints, and deleted."""
    pki = master.directory / "master" / "pki"
    pending = pki / "minions_pre"
    pending.mkdir(exist_ok=True)
    (pending / "newcomer").write_text((pki / "minions" / "minion-1").read_text())
    at(page, "keys?id=newcomer")
    page.get_by_label("Choose newcomer").check()
    page.get_by_role("button", name="Accept").click()
    question = page.get_by_role("dialog")
    accept = question.get_by_role("button", name="Accept")
    expect(accept).to_be_disabled()
    question.get_by_role("checkbox").check()
    accept.click()
    row = page.get_by_label("Keys").get_by_role("row").nth(1)
    expect(row).to_contain_text("accepted")
    page.get_by_label("Choose newcomer").check()
    page.get_by_role("button", name="Delete").click()
    question.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("No key is like that.")).to_be_visible()
    assert not (pki / "minions" / "newcomer").exists()


@pytest.mark.long
def test_audit(page: Page, api: ApiServer, failed: str) -> None:
    """Administrators see what was done, and find it."""
    at(page, "audit?search=state.apply")
    log = page.get_by_label("Audit log")
    expect(log.get_by_role("row").nth(1)).to_contain_text("state.apply")
    expect(log.get_by_role("row").nth(1)).to_contain_text(api.master.username)


@pytest.mark.long
def test_about(page: Page) -> None:
    """Health, versions, and who one is."""
    at(page, "about")
    expect(page.get_by_label("You", exact=True)).to_contain_text("Administrator")
    expect(page.get_by_label("Health")).to_contain_text("event bus")


@pytest.mark.long
def test_no_such_view(page: Page) -> None:
    """A URL that leads nowhere says so, and the menu is there."""
    at(page, "nothing/here")
    expect(page.get_by_text("There is no view “nothing”.")).to_be_visible()
    at(page, "jobs/20200101000000000000")
    expect(page.get_by_role("alert")).to_be_visible()


@pytest.mark.long
def test_two_tabs(visitor: Callable[..., Visitor], run: Run) -> None:
    """Two tabs share one stream of events, and both have all; a logout is one of both."""
    somebody = visitor()
    asked: list[str] = []
    somebody.context.on(
        "request",
        lambda request: asked.append(request.url) if "/v1/events" in request.url else None,
    )
    pages = [somebody.enter(place="events?tag=salt/job/*/ret/minion-2")]
    other = somebody.tab()
    pages.append(other.open("events?tag=salt/job/*/ret/minion-2"))
    for page in pages:
        expect(page.get_by_text("● live")).to_be_visible()
    jid = run("test.ping", tgt="minion-2")
    for page in pages:
        expect(page.get_by_text(f"salt/job/{jid}/ret/minion-2")).to_be_visible()
    assert 1 == sum(url.endswith("/v1/events") for url in asked)
    pages[0].close()
    jid = run("test.ping", tgt="minion-2")
    expect(pages[1].get_by_text(f"salt/job/{jid}/ret/minion-2")).to_be_visible()


@pytest.mark.long
def test_expired(visitor: Callable[..., Visitor], api: ApiServer) -> None:
    """The password is asked for in place; what was typed stays, and what waited goes on."""
    somebody = visitor()
    page = somebody.enter(place="run?fun=test.echo&tgt=minion-1")
    expect(page.get_by_text("1 minion: minion-1")).to_be_visible()
    (token,) = (c["value"] for c in somebody.context.cookies() if c["name"] == "session_id")
    api.send("POST", "/logout", headers={"X-Auth-Token": token})
    page.get_by_label("Arguments, as in a shell").fill("typed")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Your session has expired")
    expect(dialog.get_by_label("User")).to_have_value(api.master.username)
    page.keyboard.press("Escape")
    dialog.get_by_label("Password").fill(api.master.password)
    dialog.get_by_role("button", name="Log in").click()
    expect(dialog).to_have_count(0)
    expect(page.get_by_label("Arguments, as in a shell")).to_have_value("typed")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("pre.value")).to_have_text("typed")
    expect(page.get_by_text("● live")).to_be_visible()


@pytest.mark.long
def test_survives_a_kill(
    visitor: Callable[..., Visitor], api: ApiServer, master: PrivateMaster
) -> None:
    """A lost connection is said at once and made again; what may be missing is said, and loaded."""
    page = visitor().enter(place="keys?id=newcomer")
    expect(page.get_by_text("● live")).to_be_visible()
    api.program.kill()
    expect(page.get_by_text("○ not live")).to_be_visible()
    expect(page.get_by_text("is tried again by itself")).to_be_visible()
    api.__enter__()
    expect(page.get_by_text("● live")).to_be_visible()
    expect(page.get_by_text("is tried again by itself")).to_have_count(0)
    gap = page.get_by_text("Events are missing:")
    expect(gap).to_be_visible()
    expect(page.get_by_text("No key is like that.")).to_be_visible()
    pki = master.directory / "master" / "pki"
    pending = pki / "minions_pre" / "newcomer"
    pending.parent.mkdir(exist_ok=True)
    pending.write_text((pki / "minions" / "minion-1").read_text())
    try:
        page.get_by_role("button", name="Load it again").click()
        expect(gap).to_have_count(0)
        expect(page.get_by_label("Choose newcomer")).to_be_visible()
    finally:
        pending.unlink()


def test_policy_is_kept(visitor: Callable[..., Visitor]) -> None:
    """The browser refuses what the policy forbids, and these tests notice when something tries."""
    somebody = visitor()
    page = somebody.enter()
    blocked: Any = page.evaluate(
        """async () => {
            const seen = new Promise(resolve => addEventListener(
                "securitypolicyviolation", event => resolve(event.violatedDirective)));
            const script = document.createElement("script");
            script.textContent = "window.ran = true";
            document.body.append(script);
            return [await seen, String(window.ran)];
        }"""
    )
    assert ["script-src-elem", "undefined"] == blocked
    (tab,) = somebody.tabs
    (fault,) = tab.faults
    assert "Content Security Policy" in fault
    tab.faults.clear()


@pytest.mark.long
def test_first_view(visitor: Callable[..., Visitor]) -> None:
    """The form, with nothing cached, and the overview are there soon; how soon is shown."""
    tab = visitor().tab()
    page = tab.open()
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    cold = page.evaluate(PAINTED)
    tab.log_in()
    page.reload()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    warm = page.evaluate(PAINTED)
    print(f"first view: {cold:.0f} ms; with a session: {warm:.0f} ms")  # noqa: T201 - with -s


@pytest.mark.long
def test_form_at_once(visitor: Callable[..., Visitor], api: ApiServer) -> None:
    """The form comes with the page, as the scripts draw it; what is typed meanwhile stays."""
    shapes = []
    for has_scripts in (False, True):
        tab = visitor().tab()
        if not has_scripts:
            tab.page.route("**/main.js", lambda route: route.abort())
        page = tab.open()
        expect(page.get_by_role("button", name="Log in")).to_be_enabled(enabled=has_scripts)
        parts = page.locator("form, h1, label, input, button").all()
        shapes.append([(part.inner_text(), part.bounding_box()) for part in parts])
    assert shapes[0] == shapes[1]
    held: list[Any] = []
    tab = visitor().tab()
    tab.page.route("**/main.js", lambda route: held.append(route))
    page = tab.page
    page.goto(tab.url, wait_until="commit")
    page.get_by_label("User").fill(api.master.username)
    page.get_by_label("Password").press_sequentially("typ")
    expect(page.get_by_role("button", name="Log in")).to_be_disabled()
    for route in held:
        route.continue_()
    expect(page.get_by_role("button", name="Log in")).to_be_enabled()
    page.keyboard.type("ed")
    expect(page.get_by_label("Password")).to_have_value("typed")
    tab.log_in()
