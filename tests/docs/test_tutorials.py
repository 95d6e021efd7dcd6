"""The tutorials work as they stand on their pages."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer
from tests.docs.commands import ROOT
from tests.waiting import eventually, scaled

TUTORIALS = ROOT / "docs" / "tutorials"
CHROMIUM = Path("/usr/bin/chromium")
SECONDS = 60.0


def blocks(page: str, language: str) -> list[str]:
    """Return the blocks of *language* on a page."""
    text = (TUTORIALS / page).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)


def environment(server: ApiServer, home: Path) -> dict[str, str]:
    """Return what `saltctl` needs, with it on the path."""
    programs = home / "bin"
    programs.mkdir()
    saltctl = programs / "saltctl"
    saltctl.write_text(f'#!/bin/sh\nexec {sys.executable} -m saltapi_client "$@"\n')
    saltctl.chmod(0o755)
    credentials = server.master.credentials()
    return {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "client" / "src"),
        "HOME": str(home),
        "SALTAPI_URL": server.url,
        "SALTAPI_USER": credentials["username"],
        "SALTAPI_PASS": credentials["password"],
        "SALTAPI_EAUTH": credentials["eauth"],
    }


def script(text: str, arguments: list[str], env: dict[str, str], cwd: Path) -> tuple[int, str]:
    """Run a script of a page; return its status and all that it printed."""
    done = subprocess.run(
        ["bash", "-s", "--", *arguments],
        input=text,
        env=env,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=scaled(SECONDS),
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.long
def test_deploy_from_ci(master: PrivateMaster, tmp_path: Path) -> None:
    """The script applies a state once for each key, and fails where a state fails."""
    (deploy,) = blocks("deploy-from-ci.md", "bash")
    states, done = master.directory / "states", tmp_path / "done"
    states.mkdir(exist_ok=True)
    app = states / "app.sls"
    app.write_text(f"deployed:\n  cmd.run:\n    - name: echo once >> {done}\n")
    try:
        with ApiServer(master, OURS, module="rest_asgi") as server:
            env = environment(server, tmp_path) | {"CI_PIPELINE_ID": "1"}
            for _ in range(2):
                status, output = script(deploy, ["minion-1"], env, tmp_path)
                assert 0 == status, output
            assert ["once"] == done.read_text().split()
            records = (tmp_path / "deploy.ndjson").read_text().splitlines()
            assert "minion-1" in [json.loads(line).get("minion") for line in records]

            app.write_text("broken:\n  test.fail_without_changes: []\n")
            status, output = script(deploy, ["minion-1"], env | {"CI_PIPELINE_ID": "2"}, tmp_path)
            assert 1 == status, output
            status, output = script(deploy, ["nobody"], env | {"CI_PIPELINE_ID": "3"}, tmp_path)
            assert status not in {0, 1}, output
    finally:
        app.unlink()


@pytest.mark.long
def test_live_dashboard(master: PrivateMaster, tmp_path: Path) -> None:
    """The page is short, and shows a return that comes while it is open."""
    if not CHROMIUM.exists():
        pytest.skip("Chromium is not installed")
    files = {name: blocks("live-dashboard.md", name)[0] for name in ("html", "javascript", "css")}
    assert 30 >= sum(len(text.splitlines()) for text in files.values())
    for text, ending in zip(files.values(), ("html", "js", "css"), strict=True):
        (tmp_path / f"dashboard.{ending}").write_text(text)
    section = {"static": str(tmp_path)}
    with ApiServer(master, OURS, section, module="rest_asgi") as server:
        text = asyncio.run(seen_on_dashboard(server))
    assert "minion-1" in text
    assert "test.ping" in text


async def seen_on_dashboard(server: ApiServer) -> str:
    """Open the dashboard, run a command, and return what the table shows then."""
    from playwright.async_api import async_playwright

    token = server.login()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"], timeout=scaled(30_000)
        )
        context = await browser.new_context()
        await context.add_cookies([{"name": "session_id", "value": token, "url": server.url}])
        page = await context.new_page()
        await page.goto(f"{server.url}/static/dashboard.html")
        await page.wait_for_function(
            "document.querySelector('#state').textContent === 'connected'", timeout=scaled(30_000)
        )
        ping = {"client": "local", "tgt": "minion-1", "fun": "test.ping"}
        await asyncio.to_thread(
            server.send, "POST", "/", json_body=[ping], headers={"X-Auth-Token": token}
        )
        row = await page.wait_for_selector("tr.fine", timeout=scaled(30_000))
        assert row
        found = await row.inner_text()
        await browser.close()
    return found


@pytest.mark.long
def test_webhook_to_reactor(private_master: Callable[..., PrivateMaster], tmp_path: Path) -> None:
    """A signed push starts the state, once; what is not signed starts nothing."""
    (reaction,) = blocks("webhook-to-reactor.md", "jinja")
    (push,) = blocks("webhook-to-reactor.md", "bash")
    sls, secret, done = tmp_path / "deploy.sls", tmp_path / "secret", tmp_path / "done"
    sls.write_text(reaction.replace("web*", "minion-1"))
    secret.write_text("0123456789abcdef\n")
    master = private_master(
        minions=["minion-1"], options={"reactor": [{"salt/netapi/hook/deploy/app": [str(sls)]}]}
    )
    states = master.directory / "states"
    states.mkdir(exist_ok=True)
    (states / "app.sls").write_text(f"deployed:\n  cmd.run:\n    - name: echo once >> {done}\n")
    hook = {"type": "github", "secret_file": str(secret)}
    section = {"webhook_secrets": {"deploy/app": hook}}
    env = {"PATH": os.environ["PATH"]}
    with ApiServer(master, OURS, section, module="rest_asgi") as server:
        wrong = tmp_path / "wrong"
        wrong.write_text("something else\n")
        status, output = script(push, [server.url, str(wrong)], env, tmp_path)
        assert 22 == status, output
        status, output = script(push, [server.url, str(secret)], env, tmp_path)
        assert 0 == status, output
        assert {"success": True} == json.loads(output)
        eventually(done.exists, scaled(SECONDS))
        status, output = script(push, [server.url, str(secret)], env, tmp_path)
        assert 22 == status, output
    assert ["once"] == done.read_text().split()
