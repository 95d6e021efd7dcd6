"""Help, completion and the manual page: all made of the same declarations, and quick."""

import resource
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from saltapi_client.cli import completion, manual
from saltapi_client.cli.declarations import COMMANDS
from saltapi_client.cli.options import COMMON, SALT
from saltapi_client.cli.parser import parse
from tests.apis import ApiServer
from tests.client.conftest import environment, saltctl
from tests.waiting import scaled

EVERY = [SALT, *COMMANDS]
DOCS = Path(__file__).parents[2] / "docs" / "saltctl.md"
START_SECONDS = 0.15
COMPLETION_SECONDS = 0.1


@pytest.mark.parametrize("command", EVERY, ids=lambda command: command.name)
def test_examples(command: object) -> None:
    """Every command has three examples that its parser takes, and help that shows them."""
    assert hasattr(command, "examples")
    assert len(command.examples) >= 3
    for example in command.examples:
        words = shlex.split(example.partition(" | ")[0].partition(" < ")[0].partition(" > ")[0])
        assert "saltctl" == words[0]
        assert command is parse(words[1:])[0]


@pytest.mark.parametrize("command", EVERY, ids=lambda command: command.name)
def test_documented(command: object) -> None:
    """Every command and every option is in the documentation."""
    page = DOCS.read_text()
    assert isinstance(command, type(SALT))
    assert command is SALT or f"`{command.name}" in page
    for option in (*command.options, *COMMON):
        for name in option.names:
            assert not name.startswith("--") or f"`{name}" in page, name


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["wh"], ["whoami", "wheel", "why"]),
        (["jobs", "--st"], ["--state"]),
        (["jobs", "--state", "run"], ["running"]),
        (["keys", "acc"], ["accept"]),
        (["--out", "nd"], ["ndjson"]),
        (["--out", "json", "run", ""], []),
        (["completion", ""], ["bash", "zsh", "fish"]),
    ],
)
def test_candidates(words: list[str], expected: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What the last word can become is what the command takes there."""
    monkeypatch.setattr(completion, "cached", lambda _words: {})

    assert sorted(expected) == sorted(completion.candidates(words))


def test_names_of_the_server(api: ApiServer, tmp_path: Path) -> None:
    """Minions, functions and jids come from a cache that is made beside."""
    env = environment(tmp_path, api)
    saltctl(env, "__complete", "--refresh", api.url)

    def found(*words: str) -> list[str]:
        return saltctl(env, "__complete", *words).stdout.split()

    assert {"minion-1", "minion-2"} <= set(found("minion"))
    assert ["test.ping"] == found("minion-1", "test.pin")
    assert found("follow", "2")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_takes_it(shell: str, tmp_path: Path) -> None:
    """The completion of a shell is in its language; what is not installed is left out."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not here")
    script = saltctl(environment(tmp_path), "completion", shell).stdout
    subprocess.run([shell, "-n", "-c", script], check=True, timeout=scaled(10))


def test_manual() -> None:
    """The manual page has every command and every option."""
    text = manual.text().replace("\\-", "-")

    for command in COMMANDS:
        assert f".SS {command.name}" in text
        for option in command.options:
            assert all(name in text for name in option.names if name.startswith("-"))


def seconds_of(env: dict[str, str], *args: str) -> float:
    """Return the processor seconds that a command takes, the least of some."""
    found = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        saltctl(env, *args)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(found)


def test_start_is_quick(tmp_path: Path) -> None:
    """Starting takes less than 150 ms, and completion less than 100."""
    env = environment(tmp_path)

    assert seconds_of(env, "--version") < scaled(START_SECONDS)
    assert seconds_of(env, "jobs", "--help") < scaled(START_SECONDS)
    tmp_path.joinpath("saltctl", "cache").mkdir(parents=True)
    tmp_path.joinpath("saltctl", "cache", "completion.asked").touch()
    assert seconds_of(env, "__complete", "minion-") < scaled(COMPLETION_SECONDS)


def test_nothing_needless_is_loaded(tmp_path: Path) -> None:
    """Parsing loads neither HTTP nor YAML, and completion no parser."""
    heavy = {"http.client", "yaml", "asyncio", "ssl", "argparse", "urllib.request"}
    program = (
        "import sys; from saltapi_client.cli.main import main\n"
        "main(sys.argv[1:]); print(*sys.modules)"
    )
    for args, allowed in ((["--version"], {"argparse"}), (["__complete", "jo"], set[str]())):
        found = subprocess.run(
            [sys.executable, "-c", program, *args],
            env=environment(tmp_path), capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert not heavy & set(found.stdout.split()) - allowed
