"""Clients that generators make of the OpenAPI document work, with the running server."""

import json
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer
from tests.waiting import scaled

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
GENERATORS = ROOT / ".venv-generators" / "bin"
"""What `make generators` makes."""
TYPESCRIPT = Path(__file__).parent / "typescript"
BOTH = ["minion-1", "minion-2"]
PYTHON_PROGRAM = """
import json, sys
from saltapi_client import AuthenticatedClient, Client
from saltapi_client.api.permissions import check
from saltapi_client.api.run import run
from saltapi_client.api.session import login
from saltapi_client.models import Chunk, Login, ReturnRecord, RunDocument

url, username, password, eauth = sys.argv[1:]
answer = login.sync(client=Client(base_url=url), body=Login(username, password, eauth))
token = answer.return_[0].token
client = AuthenticatedClient(base_url=url, token=token, timeout=100)
chunk = Chunk(fun="test.ping", tgt="*")
checks = check.sync(client=client, body=[chunk])
done = run.sync(client=client, body=chunk)
assert isinstance(done, RunDocument)
wrong = run.sync(client=client, body=Chunk(fun="test.ping"))
with client.get_httpx_client().stream(
    "POST", "/v1/run", json=chunk.to_dict(), headers={"Accept": "application/x-ndjson"}
) as stream:
    records = [json.loads(line) for line in stream.iter_lines()]
streamed = [ReturnRecord.from_dict(r).minion for r in records if r["type"] == "return"]
print(json.dumps({
    "allowed": checks.allowed,
    "returned": sorted(done.results[0].returns.to_dict()),
    "streamed": sorted(streamed),
    "wrong": wrong.code,
}))
"""


@pytest.fixture(scope="module")
def server(master: PrivateMaster) -> Iterator[ApiServer]:
    with ApiServer(master, OURS, module="rest_asgi") as server:
        yield server


@pytest.fixture(scope="module")
def document(server: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The document, as the server gives it."""
    path = tmp_path_factory.mktemp("document") / "openapi.json"
    with urllib.request.urlopen(f"{server.url}/openapi.json") as answer:  # noqa: S310 - loopback
        path.write_bytes(answer.read())
    return path


def run(*command: str | Path, cwd: Path, path: Path | None = None) -> str:
    """Return what a command prints, its errors too; fail if it does."""
    before = f"{path}{os.pathsep}" if path else ""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | {"PATH": before + os.environ["PATH"]},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=scaled(60),
        check=False,
    )
    assert 0 == done.returncode, done.stdout
    return done.stdout


def user(server: ApiServer) -> list[str]:
    """Return the arguments of the programs: where to log in, and as whom."""
    credentials = server.master.credentials()
    return [server.url, *(credentials[name] for name in ("username", "password", "eauth"))]


def test_python(server: ApiServer, document: Path, tmp_path: Path) -> None:
    """openapi-python-client has no warning, and its client logs in, asks, runs and streams."""
    if not (GENERATORS / "openapi-python-client").exists():
        pytest.skip("there is no openapi-python-client: `make generators`")
    target = tmp_path / "client"
    options = ["--path", str(document), "--output-path", str(target)]
    said = run("openapi-python-client", "generate", *options, cwd=tmp_path, path=GENERATORS)
    assert "warning" not in said.lower()
    assert "unable" not in said.lower()

    printed = run(GENERATORS / "python", "-c", PYTHON_PROGRAM, *user(server), cwd=target)

    assert {
        "allowed": True,
        "returned": BOTH,
        "streamed": BOTH,
        "wrong": "invalid_chunk",
    } == json.loads(printed)


def test_typescript(server: ApiServer, document: Path, tmp_path: Path) -> None:
    """openapi-typescript's types pass `tsc --strict`, and a program that uses them works."""
    if shutil.which("node") is None or not (TYPESCRIPT / "node_modules").exists():
        pytest.skip("there is no openapi-typescript: `make generators`, which takes Node.js")
    for name in ("program.ts", "tsconfig.json", "package.json"):
        shutil.copy(TYPESCRIPT / name, tmp_path)
    (tmp_path / "node_modules").symlink_to(TYPESCRIPT / "node_modules")
    tools = TYPESCRIPT / "node_modules" / ".bin"
    run(tools / "openapi-typescript", document, "-o", "api.d.ts", cwd=tmp_path)
    run(tools / "tsc", "--strict", "-p", ".", cwd=tmp_path)

    printed = json.loads(run("node", "build/program.js", *user(server), cwd=tmp_path))

    assert "invalid_chunk" == printed["wrong"]
    assert [BOTH, BOTH] == [sorted(printed["returned"]), sorted(printed["streamed"])]
