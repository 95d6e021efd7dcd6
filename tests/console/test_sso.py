"""Logging in to the console by an identity provider, and to SaltGUI, and out again."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.apis import OURS, ApiServer
from tests.console.browser import Visitor
from tests.oidc_master import OidcMaster

SALTGUI = {
    "Router.js": 'import "./panels/Other.js";',
    "panels/Panel.js": 'import "../Router.js"; export class Panel {}',
    "panels/Other.js": 'import { Panel } from "./Panel.js"; class Other extends Panel {}',
    "panels/Login.js": """\
import { Panel } from "./Panel.js";
export class LoginPanel extends Panel {
  static _handleLoginWheelConfigValues(found) {
    sessionStorage.setItem("nodegroups", JSON.stringify(found.return[0].data.return.nodegroups));
  }
  static _handleRunnerStateOrchestrateShowSls(found) {
    sessionStorage.setItem("orchestrations", String(found.return.length));
  }
}
""",
}
"""What of SaltGUI's login is called; as there, it is loaded only by who begins with the router."""

Enter = Callable[..., Page]


@pytest.fixture(scope="module")
def home(oidc_master: OidcMaster) -> Path:
    """A page where SaltGUI would be, and its files."""
    home = oidc_master.directory / "console-saltgui"
    scripts = home / "static" / "scripts"
    (scripts / "panels").mkdir(parents=True)
    for name, text in SALTGUI.items():
        (scripts / name).write_text(text)
    (home / "index.html").write_text("<!doctype html><title>SaltGUI</title><p>SaltGUI</p>")
    return home


@pytest.fixture
def enter(browser: Browser, oidc_master: OidcMaster) -> Iterator[Enter]:
    """Open a page of a server whose users the issuer lets in at once."""
    issuer = oidc_master.issuer
    with ExitStack() as closing:

        def enter(server: ApiServer, path: str, **claims: Any) -> Page:
            issuer.lands_at, issuer.lands_as = server.url, claims
            visitor = Visitor(browser, server)
            tab = visitor.tab()

            def close() -> None:
                issuer.lands_at = ""
                tab.faults[:] = [one for one in tab.faults if f"elsewhere: {issuer.url}" not in one]
                visitor.close()

            closing.callback(close)
            tab.page.goto(f"{server.url}{path}")
            return tab.page

        yield enter


def test_console(enter: Enter, oidc_master: OidcMaster) -> None:
    """Who logs in by the provider runs what the group allows, nothing else, and logs out there."""
    with ApiServer(oidc_master, OURS, {"workers": 1}, module="rest_asgi") as server:
        page = enter(server, "/", sub="carol", groups=["ops"])
        page.get_by_role("link", name="Log in at Example").click()
        expect(page.get_by_text("carol (oidc)")).to_be_visible()
        page.goto(f"{server.url}/#/run?fun=test.echo&args=through&tgt=minion-1")
        page.get_by_role("button", name="Run", exact=True).click()
        expect(page.locator("pre.value")).to_have_text("through")
        page.goto(f"{server.url}/#/run?fun=cmd.run&args=id&tgt=minion-1")
        expect(page.get_by_text("No rule of the user allows this function")).to_be_visible()
        expect(page.get_by_role("button", name="Run", exact=True)).to_be_disabled()
        page.get_by_role("button", name="Log out there too").click()
        expect(page.get_by_role("button", name="Log in", exact=True)).to_be_visible()
        expect(page).to_have_url(f"{server.url}/")


def test_login_proxy(browser: Browser, oidc_master: OidcMaster) -> None:
    """Whom a login proxy has logged in is not asked for anything."""
    section = {"trusted_proxies": "127.0.0.1", "workers": 1}
    headers = {"X-Forwarded-User": "erin", "X-Forwarded-Groups": "admins"}
    with ApiServer(oidc_master, OURS, section, module="rest_asgi") as server:
        visitor = Visitor(browser, server, extra_http_headers=headers)
        page = visitor.tab().open()
        expect(page.get_by_text("proxy:erin (oidc)")).to_be_visible()
        expect(page.get_by_text("● live")).to_be_visible()
        visitor.close()


@pytest.mark.long
def test_saltgui(enter: Enter, oidc_master: OidcMaster, home: Path) -> None:
    """SaltGUI finds what its own login would have stored, and no code in the history."""
    section = {"app": str(home / "index.html"), "static": str(home / "static"), "workers": 1}
    with ApiServer(oidc_master, OURS, section, module="rest_asgi") as server:
        page = enter(server, "/v1/login/oidc?app=saltgui", groups=["admins"])
        page.wait_for_url(f"{server.url}/")
        expect(page.get_by_text("SaltGUI", exact=True)).to_be_visible()
        kept = page.evaluate("({...sessionStorage})")

        assert f"{server.url}/" == page.url
        assert f'"token": "{kept["token"]}"' in kept["login_response"]
        assert '"eauth": "oidc"' in kept["login_response"]
        assert {"minions", "nodegroups", "orchestrations"} <= kept.keys()
        assert '["minion-1"]' == kept["minions"]
        assert "" == page.evaluate("document.cookie")
        page.go_back()
        assert "code=" not in page.url


@pytest.mark.long
def test_saltgui_without_permissions(enter: Enter, oidc_master: OidcMaster, home: Path) -> None:
    """Who may do nothing is told so, and nothing is stored."""
    section = {"app": str(home / "index.html"), "static": str(home / "static"), "workers": 1}
    with ApiServer(oidc_master, OURS, section, module="rest_asgi") as server:
        page = enter(server, "/v1/login/oidc?app=saltgui", sub="nobody")
        expect(page.get_by_text("nobody is logged in, and has no permissions")).to_be_visible()

        assert {} == page.evaluate("({...sessionStorage})")
