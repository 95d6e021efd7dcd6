"""The listings of the 0.8.4 documentation, run as printed, with another address and token."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer
from tests.netapi.certificates import Certificates
from tests.waiting import scaled

SECONDS = 60.0
PRINTED = "localhost:8000"
TOKEN = "d0ce6c1a37e99dcc0374392f272fe19c0090cca7"
EVENTS = 3

JAVASCRIPT = {
    "all_events": f"""
        // Note, you must be authenticated!

        // Get the Websocket connection to Salt
        var source = new Websocket('wss://{PRINTED}/all_events/{TOKEN}');

        // Get Salt's "real time" event stream.
        source.onopen = function() {{ source.send('websocket client ready'); }};

        // Other handlers
        source.onerror = function(e) {{ console.debug('error!', e); }};

        // e.data represents Salt's "real time" event data as serialized JSON.
        source.onmessage = function(e) {{ console.debug(e.data); }};
        """,
    "formatted_events": f"""
        // Note, you must be authenticated!

        // Get the Websocket connection to Salt
        var source = new WebSocket('wss://{PRINTED}/formatted_events/{TOKEN}');

        // Get Salt's "real time" event stream.
        source.onopen = function() {{ source.send('websocket client ready'); }};

        // Other handlers
        source.onerror = function(e) {{ console.debug('error!', e); }};

        // e.data represents Salt's "real time" event data as serialized JSON.
        source.onmessage = function(e) {{ console.debug(e.data); }};
        """,
}
JAVASCRIPT_END = """
    // Terminates websocket connection and Salt's "real time" event stream on the server.
    source.close();
    """
PYTHON = f"""
    # Note, you must be authenticated!

    from websocket import create_connection

    # Get the Websocket connection to Salt
    ws = create_connection('wss://{PRINTED}/URL/{TOKEN}')

    # Get Salt's "real time" event stream.
    ws.send('websocket client ready')

    # Simple listener to print results of Salt's "real time" event stream.
    # Look at the page of websocket-client for more examples.
    while listening_to_events:
        print ws.recv()          # Salt's "real time" event data as serialized JSON.

    # Terminates websocket connection and Salt's "real time" event stream on the server.
    ws.close()
    """
LISTENING = f"""
class Listening:
    rounds = {EVENTS + 1}

    def __bool__(self):
        self.rounds -= 1
        return self.rounds > 0

listening_to_events = Listening()
"""
"""What the listing leaves to the reader: when to stop."""


@pytest.fixture(scope="module")
def secure(
    master: PrivateMaster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ApiServer, Certificates]]:
    """The module with TLS, as the listings have it."""
    certificates = Certificates(tmp_path_factory.mktemp("tls"))
    section = {
        "websockets": True,
        "disable_ssl": False,
        "ssl_crt": certificates.crt,
        "ssl_key": certificates.key,
    }
    with ApiServer(master, OURS, section, module="rest_tornado") as server:
        yield server, certificates


@pytest.fixture
def jobs(api: ApiServer) -> Iterator[None]:
    """Start a job again and again while the test runs."""
    ended = threading.Event()
    headers = {"X-Auth-Token": api.login()}

    def work() -> None:
        while not ended.wait(scaled(0.1)):
            api.send(
                "POST", "/minions", headers=headers, json_body={"tgt": "*", "fun": "test.ping"}
            )

    working = threading.Thread(target=work)
    working.start()
    yield
    ended.set()
    working.join()


def run(command: list[str], certificates: Certificates) -> str:
    """Return what a program prints that trusts our certificates."""
    trust = {
        "WEBSOCKET_CLIENT_CA_BUNDLE": certificates.ca,
        "NODE_EXTRA_CA_CERTS": certificates.ca,
        "NODE_NO_WARNINGS": "1",
    }
    finished = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=scaled(SECONDS),
        env={**os.environ, **trust},
        check=False,
    )
    assert (0, "") == (finished.returncode, finished.stderr)
    return finished.stdout


def filled(listing: str, server: ApiServer, token: str) -> str:
    """Return a listing with our address and token."""
    return (
        textwrap.dedent(listing).replace(PRINTED, f"localhost:{server.port}").replace(TOKEN, token)
    )


def check(printed: str, url: str) -> None:
    """Fail if what a listing has printed is not what its URL is for."""
    wanted = r'^\{"data": \{.*"tag": ".*"\}$' if url == "all_events" else r'^\{"(jobs|minions)": \{'
    lines = [line for line in printed.splitlines() if line]
    assert len(lines) >= EVENTS
    assert [] == [line for line in lines if not re.match(wanted, line)]


@pytest.mark.usefixtures("jobs")
@pytest.mark.parametrize("url", ["all_events", "formatted_events"])
def test_python(
    secure: tuple[ApiServer, Certificates], api: ApiServer, url: str, tmp_path: Path
) -> None:
    """The Python listings, with the print of Python 3."""
    server, certificates = secure
    listing = filled(PYTHON, server, api.login()).replace("URL", url)
    listing = re.sub(r"print (ws\.recv\(\))", r"print(\1)", listing)
    script = tmp_path / "listing.py"
    script.write_text(LISTENING + listing)
    check(run([sys.executable, str(script)], certificates), url)


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
@pytest.mark.usefixtures("jobs")
@pytest.mark.parametrize("url", JAVASCRIPT)
def test_javascript(
    secure: tuple[ApiServer, Certificates], api: ApiServer, url: str, tmp_path: Path
) -> None:
    """The JavaScript listings; the first one spells WebSocket otherwise than browsers do."""
    server, certificates = secure
    script = tmp_path / "listing.js"
    script.write_text(
        "globalThis.Websocket = WebSocket;\n"
        + filled(JAVASCRIPT[url], server, api.login())
        + f"let left = {EVENTS};\n"
        + "source.addEventListener('message', () => { if (--left > 0) return;\n"
        + JAVASCRIPT_END
        + "});\n"
    )
    node = ["node"] if node_has_websocket() else ["node", "--experimental-websocket"]
    check(run([*node, str(script)], certificates), url)


def node_has_websocket() -> bool:
    """Tell whether node has WebSocket without being asked for it (from version 22)."""
    found = subprocess.run(
        ["node", "--print", "typeof WebSocket"], capture_output=True, text=True, check=True
    )
    return "function" == found.stdout.strip()
