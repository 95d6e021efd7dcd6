"""The recipes for proxies work as they stand on their page."""

import json
import re
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import websocket

from saltapi.demo import PrivateMaster
from saltapi.demo.master import HOST, free_ports
from tests.apis import OURS, ApiServer
from tests.docs.commands import ROOT
from tests.netapi.certificates import Certificates
from tests.waiting import eventually, scaled

PAGE = ROOT / "docs" / "proxies.md"
APACHE_MODULES = Path("/usr/lib/apache2/modules")
SECONDS = 30.0
LIAR = {"X-Forwarded-For": "192.0.2.7", "Forwarded": "for=192.0.2.7"}
"""What a client says of itself, to be taken for somebody else."""


def recipe(language: str) -> str:
    """Return the block of *language* on the page."""
    found = re.search(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
    assert found
    return found[1]


def nginx(text: str, directory: Path) -> tuple[str, list[str]]:
    """Wrap what stands in `conf.d`; everything that is written goes to *directory*."""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = " ".join(f"{kind}_temp_path {directory}/{kind};" for kind in kinds)
    config = f"pid {directory}/pid; error_log stderr; daemon off; events {{}}"
    config += f" http {{ access_log off; {paths}\n{text}\n}}"
    return config, ["nginx", "-c", "{config}", "-p", str(directory), "-e", "stderr"]


def haproxy(text: str, _directory: Path) -> tuple[str, list[str]]:
    """It is whole."""
    return text, ["haproxy", "-db", "-f", "{config}"]


def apache(text: str, directory: Path) -> tuple[str, list[str]]:
    """Load the modules that the page names, and what every Apache has."""
    modules = ("mpm_event", "authz_core", "headers", "proxy", "proxy_http", "ssl")
    lines = [f"LoadModule {name}_module {APACHE_MODULES}/mod_{name}.so" for name in modules]
    port = re.search(r"\*:(\d+)", text)
    assert port
    lines += [f"Listen {HOST}:{port[1]}", f"PidFile {directory}/pid", "ErrorLog /dev/stderr"]
    lines += [f"Mutex file:{directory} default", f"DefaultRuntimeDir {directory}"]
    lines += [f"ServerRoot {directory}", "ServerName localhost"]
    return "\n".join([*lines, text]), ["apache2", "-DFOREGROUND", "-f", "{config}"]


def caddy(text: str, directory: Path) -> tuple[str, list[str]]:
    """Give it the tests' certificate, in place of one from the network."""
    options = "{\n admin off\n auto_https disable_redirects\n skip_install_trust\n}\n"
    tls = f"{{\n tls {directory}/server.crt {directory}/server.key\n"
    config = options + text.replace("{\n", tls, 1)
    return config, ["caddy", "run", "--adapter", "caddyfile", "--config", "{config}"]


Wrap = Callable[[str, Path], tuple[str, list[str]]]
PROXIES: list[tuple[str, str, Wrap]] = [
    ("nginx", "nginx", nginx),
    ("haproxy", "haproxy", haproxy),
    ("apache", "apache2", apache),
    ("caddy", "caddy", caddy),
]


@pytest.fixture(scope="module")
def server(master: PrivateMaster) -> Iterator[ApiServer]:
    """rest_asgi as the page has it, in the section beside its port and host."""
    section = {"trusted_proxies": HOST, "audit_log": str(master.directory / "proxies.log")}
    with ApiServer(master, OURS, section, module="rest_asgi") as started:
        yield started


@pytest.fixture(params=PROXIES, ids=[name for name, *_ in PROXIES])
def proxy(
    request: pytest.FixtureRequest, server: ApiServer, tmp_path: Path
) -> Iterator[tuple[int, ssl.SSLContext]]:
    """The port of a proxy that runs as on the page, and what trusts its certificate."""
    language, program, wrap = request.param
    found = next(
        (path for place in ("/usr/sbin", "/usr/bin") if (path := Path(place, program)).exists()),
        None,
    )
    if found is None:
        pytest.skip(f"{program} is not installed")
    certificates = Certificates(tmp_path)
    (port,) = free_ports(1)
    text = recipe(language).replace(f"{HOST}:8000", f"{HOST}:{server.port}")
    for there, here in (
        ("listen 443", f"listen {HOST}:{port}"),
        ("bind :443", f"bind {HOST}:{port}"),
        ("*:443", f"*:{port}"),
        ("salt.example.com {", f"https://{HOST}:{port} {{"),
        ("/etc/ssl/private/salt.example.com.key", certificates.key),
        ("/etc/ssl/salt.example.com.crt", certificates.crt),
        ("/etc/haproxy/salt.example.com.pem", certificates.both),
    ):
        text = text.replace(there, here)
    config, command = wrap(text, tmp_path)
    path = tmp_path / "config"
    path.write_text(config)
    command = [str(found), *(part.format(config=path) for part in command[1:])]
    environment = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path), "PATH": "/usr/bin"}
    with (tmp_path / "log").open("wb") as log:
        running = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        context = certificates.client()
        eventually(lambda: answers(running, port, context, tmp_path / "log"), scaled(SECONDS))
        yield port, context
    finally:
        running.terminate()
        running.wait(scaled(SECONDS))


def answers(
    running: "subprocess.Popen[bytes]", port: int, context: ssl.SSLContext, log: Path
) -> bool:
    """Tell whether saltapi answers through the proxy, which must not have ended."""
    assert running.poll() is None, log.read_text()
    try:
        return 200 == httpx2.get(f"https://{HOST}:{port}/livez", verify=context).status_code
    except httpx2.TransportError:
        return False


@pytest.mark.long
def test_proxy(proxy: tuple[int, ssl.SSLContext], server: ApiServer, master: PrivateMaster) -> None:
    """Logins, long commands, streams and WebSockets go through; clients cannot lie."""
    port, context = proxy
    url = f"https://{HOST}:{port}"
    with httpx2.Client(base_url=url, verify=context, timeout=scaled(SECONDS)) as client:
        login = client.post("/login", json=master.credentials(), headers=LIAR)
        assert 200 == login.status_code, login.text
        assert "secure" in login.headers["set-cookie"].lower()
        token = {"X-Auth-Token": login.json()["return"][0]["token"]}
        client.cookies.clear()
        client.headers.update(token)
        assert 413 == client.post("/", content=b"[" * 2**21).status_code

        ping = {"client": "local", "tgt": "minion-1", "fun": "test.sleep", "arg": [3]}
        assert [{"minion-1": True}] == client.post("/", json=[ping]).json()["return"]

        assert "arrived" in first_event(client, server, token)

    socket = websocket.create_connection(
        f"wss://{HOST}:{port}/v1/events",
        header=[f"{name}: {value}" for name, value in token.items()],
        sslopt={"context": context},
        timeout=scaled(SECONDS),
    )
    try:
        fire(server, token)
        seen = ""
        while "salt/netapi/hook/arrived" not in seen:
            seen = str(socket.recv())
    finally:
        socket.close()

    lines = (master.directory / "proxies.log").read_text().splitlines()
    addresses = {json.loads(line).get("address") for line in lines}
    assert HOST in addresses
    assert "192.0.2.7" not in addresses


def first_event(client: httpx2.Client, server: ApiServer, token: dict[str, str]) -> str:
    """Return the first event that comes through a stream, fired once the stream is there."""
    options: dict[str, Any] = {"params": {"tag": "salt/netapi/hook/*"}}
    with client.stream("GET", "/v1/events", **options) as stream:
        assert 200 == stream.status_code
        lines = stream.iter_lines()
        next(lines)  # the stream has begun, and nothing waits in a buffer
        fire(server, token)
        return next(line for line in lines if "salt/netapi/hook" in line)


def fire(server: ApiServer, token: dict[str, str]) -> None:
    """Fire an event past the proxy."""
    answer = server.send("POST", "/hook/arrived", json_body={}, headers=token)
    assert 200 == answer.status, answer
