"""The steps of the Containerfile and of the compose file, done in folders, without an engine."""

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.packages.folder import PLAIN, ROOT, Folder, missing
from tests.waiting import eventually

HOME = ROOT / "packaging" / "container"
STEP = re.compile(r"^([A-Z]+) (.*(?:\\\n.*)*)$", re.MULTILINE)
PING = {"client": "local", "tgt": "*", "fun": "test.ping"}

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(900),
    pytest.mark.skipif(missing() is not None, reason=missing() or ""),
]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What the Containerfile makes, as the base of folders; it takes the network."""
    top = tmp_path_factory.mktemp("image")
    with Folder(top, base=str(PLAIN), network=True, keep=True) as folder:
        for step, rest in STEP.findall((HOME / "Containerfile").read_text()):
            match step:
                case "RUN":
                    folder.run(rest)
                case "COPY" if not rest.startswith("--from"):  # both stages are one folder here
                    *sources, target = rest.split()
                    for source in sources:
                        copy(folder, ROOT / source, target.rstrip("/"), merge=target.endswith("/"))
    yield f"{top / 'upper'}:{PLAIN}"
    shutil.rmtree(top)


def copy(folder: Folder, source: Path, target: str, *, merge: bool) -> None:
    """Copy a file or a folder as COPY does."""
    for path in [source] if source.is_file() else source.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            inside = path.name if source.is_file() else str(path.relative_to(source))
            assert merge or source.is_dir()
            folder.put(path, f"{target}/{inside}")


@pytest.fixture
def services(image: str, tmp_path: Path) -> Iterator[dict[str, Folder]]:
    """The services of the compose file, each in a folder; they share volumes and a network."""
    (tmp_path / "users").write_text("saltdev:secret\n")
    described: dict[str, Any] = yaml.safe_load((HOME / "compose.yaml").read_text())["services"]
    made: dict[str, Folder] = {}
    with ExitStack() as stack:
        for name, service in described.items():
            volumes = {}
            for volume in service["volumes"]:
                here, there = volume.split(":")[:2]
                path = tmp_path / here if here == "./users" or "/" not in here else HOME / here
                if "/" not in here:
                    path.mkdir(exist_ok=True)
                volumes[path] = there
            top = tmp_path / f"folder-{name}"
            top.mkdir()
            folder = Folder(
                top,
                base=image,
                volumes=volumes,
                host_name=service.get("hostname", name),
                network=made.get("master", False),
            )
            made[name] = stack.enter_context(folder)
            folder.run("echo 127.0.0.1 master $(hostname) >> /etc/hosts")
            words = shlex.join(service["command"])
            folder.run(f"PATH=/opt/saltapi/bin:$PATH; {words} >/var/log/service 2>&1 &")
        yield made


def test_compose(services: dict[str, Folder]) -> None:
    """A command over HTTP reaches both minions."""
    master = services["master"]
    login = "-d eauth=file -d username=saltdev -d password=secret"
    ping = " ".join(f"-d {name}='{value}'" for name, value in PING.items())

    def answer() -> bool:
        found = master.run(f"curl -sS http://127.0.0.1:8000/run {login} {ping}", check=False)
        try:
            return bool(json.loads(found) == {"return": [{"minion-1": True, "minion-2": True}]})
        except ValueError:
            return False

    eventually(answer, 90)


def test_files_agree() -> None:
    """What the Containerfile copies is what its ignore file lets through."""
    ignored = (HOME / "Containerfile.dockerignore").read_text()
    copied = {
        word
        for step, rest in STEP.findall((HOME / "Containerfile").read_text())
        if step == "COPY" and not rest.startswith("--from")
        for word in rest.split()[:-1]
    }
    assert copied == set(re.findall(r"^!(.*)$", ignored, re.MULTILINE))
