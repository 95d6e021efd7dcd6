"""The console below a prefix, behind nginx."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from saltapi.demo import PrivateMaster
from saltapi.demo.master import HOST, free_ports
from tests.apis import OURS, ApiServer
from tests.console.browser import Visitor
from tests.console.runs import Run
from tests.waiting import eventually, scaled

pytestmark = pytest.mark.long


NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin:/bin")
SITE = """
server {{
    listen {host}:{port};
    location /salt/ {{
        proxy_pass http://{host}:{server};
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_buffering off;
    }}
}}
"""


@pytest.fixture
def proxied(master: PrivateMaster, tmp_path: Path) -> Iterator[tuple[ApiServer, str]]:
    """A server below `/salt`, and the URL of a proxy in front of it."""
    if NGINX is None:
        pytest.skip("there is no nginx")
    with ApiServer(master, OURS, {"workers": 1, "root_prefix": "/salt"}, module="rest_asgi") as api:
        (port,) = free_ports(1)
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        paths = " ".join(f"{kind}_temp_path {tmp_path}/{kind};" for kind in kinds)
        site = SITE.format(host=HOST, port=port, server=api.port)
        config = tmp_path / "nginx.conf"
        config.write_text(
            f"pid {tmp_path}/pid; error_log stderr; daemon off; events {{}}"
            f" http {{ access_log off; {paths} {site} }}"
        )
        with (tmp_path / "log").open("wb") as log:
            running = subprocess.Popen(
                [NGINX, "-c", str(config), "-p", str(tmp_path), "-e", "stderr"], stderr=log
            )
        try:
            eventually((tmp_path / "pid").exists)
            yield api, f"http://{HOST}:{port}/salt/"
        finally:
            running.terminate()
            running.wait(scaled(10))


def test_behind_nginx(
    visitor: Callable[..., Visitor], proxied: tuple[ApiServer, str], run: Run
) -> None:
    """Login, a command, its job and the events work there as they do at the root."""
    server, url = proxied
    tab = visitor(server).tab(url)
    page = tab.open("run?fun=test.echo&args=through&tgt=minion-1")
    tab.log_in()
    expect(page.get_by_text("● live")).to_be_visible()
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("pre.value")).to_have_text("through")
    page.reload()
    expect(page.locator("pre.value")).to_have_text("through")
    page.get_by_role("link", name="Events").click()
    jid = run("test.ping", tgt="minion-1")
    expect(page.get_by_text(f"salt/job/{jid}/ret/minion-1")).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
