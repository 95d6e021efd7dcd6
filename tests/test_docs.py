"""The documentation: complete, agreeing with the code, and its examples run."""

import argparse
import importlib
import os
import re
import subprocess
import tomllib
import uuid
from pathlib import Path
from typing import Any

import pytest
import yaml

import saltapi
from saltapi import cli, config, errors, lowstate
from saltapi.bridge.workers import ssh_options
from saltapi.config import EngineConfig, Section
from saltapi.config.event_log import EventLogSection
from saltapi.config.oidc import IssuerSection, issuers_of
from saltapi.config.shared_store import StoreSection
from saltapi.demo import PrivateMaster
from saltapi.engine.commands.asynchronous import AsyncAPIClient
from saltapi.engine.fleet.codes import Code
from saltapi.engine.monitoring import metrics
from saltapi.interfaces import INTERFACES
from tests.apis import OURS, ApiServer
from tests.waiting import scaled

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")])
PARSER = cli._parser(["check", "demo", "make-cert", "install-unit"])
COMMANDS = next(a for a in PARSER._actions if isinstance(a, argparse._SubParsersAction)).choices
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


YAML_OF_SSO = re.findall(r"^```yaml\n(.*?)^```", (DOCS / "sso.md").read_text(), re.M | re.S)


def text(name: str) -> str:
    """Return a page: of `docs`, or of the project's directory."""
    path = DOCS / name
    return (path if path.exists() else ROOT / name).read_text()


def rows(page: str) -> dict[str, list[str]]:
    """Return the cells of the tables in *page*, by every name in the first cell of their row."""
    found: dict[str, list[str]] = {}
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|"):
            found.update(dict.fromkeys(re.findall(r"`([^`]+)`", cells[0]), cells[1:]))
    return found


def part(page: str, heading: str) -> str:
    """Return what stands below a heading of the second level."""
    return page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


# Completeness


@pytest.mark.parametrize("option", EngineConfig.option_names())
def test_engine_option(option: str) -> None:
    """Every option of the engine is in the documentation, with its default."""
    row = rows(text("configuration.md"))[option]
    default = EngineConfig.model_fields[option].default
    shown = "see below" if option == "fast_functions" else f"`{default}`"

    assert shown == row[0]


@pytest.mark.parametrize("function", config.FAST_FUNCTIONS)
def test_fast_function(function: str) -> None:
    """Every function that goes to the workers by default is named."""
    assert f"`{function}`" in text("configuration.md")


@pytest.mark.parametrize("option", IssuerSection.option_names())
def test_option_of_an_issuer(option: str) -> None:
    """Every option of `saltapi_oidc` is in the documentation."""
    assert option in rows(part(text("sso.md"), "Options"))


@pytest.mark.parametrize("option", StoreSection.option_names())
def test_option_of_the_store(option: str) -> None:
    """Every option of `saltapi_store` is in the documentation."""
    assert option in rows(part(text("high-availability.md"), "Options"))


@pytest.mark.parametrize("option", EventLogSection.option_names())
def test_option_of_the_event_log(option: str) -> None:
    """Every option of `saltapi_event_log` is in the documentation."""
    assert option in rows(part(text("high-availability.md"), "The event log"))


@pytest.mark.parametrize(
    ("name", "option"),
    [(name, option) for name, kind in config.SECTIONS.items() for option in kind.option_names()],
)
def test_section_option(name: str, option: str) -> None:
    """Every option of a module's section is in the documentation, with its default."""
    page = text("configuration.md")
    common = rows(part(page, "In the section of every module"))
    found = rows(part(page, f"`{name}`")) | common

    assert default_of(config.SECTIONS[name], option) in found[option][0]


def default_of(kind: type[Section], option: str) -> str:
    """Return the default of an option as the documentation writes it."""
    for name, field in kind.model_fields.items():
        if option in (name, *getattr(field.validation_alias, "choices", ())):
            if field.is_required():
                return "required"
            return "none" if field.default in (None, "") else f"`{field.default}`"
    raise KeyError(option)


def flags() -> list[tuple[str, str]]:
    """Return every flag of the command line, each with its subcommand."""
    found: list[tuple[str, str]] = []

    def collect(parser: argparse.ArgumentParser, command: str) -> None:
        for action in parser._actions:
            found.extend((command, flag) for flag in action.option_strings if flag != "-h")
            if isinstance(action, argparse._SubParsersAction):
                for name, inner in action.choices.items():
                    collect(inner, name)

    collect(PARSER, "")
    return found


@pytest.mark.parametrize(("command", "flag"), flags())
def test_flag(command: str, flag: str) -> None:
    """Every flag of the command line is in the documentation."""
    page = text("demo.md" if command == "demo" else "daemon.md") + text("daemon.md")

    assert re.search(rf"`{re.escape(flag)}[ `]", page)


@pytest.mark.parametrize("command", COMMANDS)
def test_command(command: str) -> None:
    """Every command is in the documentation and in the manual page."""
    assert f"`saltapi {command}`" in text("daemon.md")
    assert f".B {command}".replace("-", r"\-") in (ROOT / "packaging" / "saltapi.1").read_text()


def family(kind: type[errors.SaltApiError]) -> list[type[errors.SaltApiError]]:
    """Return *kind* and what is derived from it in the same module; others may derive more."""
    own = [child for child in kind.__subclasses__() if child.__module__ == errors.__name__]
    return [kind, *(one for child in own for one in family(child))]


@pytest.mark.parametrize("kind", family(errors.SaltApiError), ids=lambda kind: kind.code)
def test_error(kind: type[errors.SaltApiError]) -> None:
    """Every error is in the documentation with its code, class and status."""
    row = rows(part(text("client.md"), "Errors"))[kind.code]

    assert [f"`{kind.__name__}`", str(kind.status)] == row[:2]


@pytest.mark.parametrize("code", Code)
def test_code_of_silence(code: Code) -> None:
    """Every reason for a minion's silence is in the documentation."""
    assert f"`{code}`" in part(text("why.md"), "Codes")


@pytest.mark.parametrize("name", metrics.NAMES)
def test_metric(name: str) -> None:
    """Every metric is in the documentation."""
    assert name in rows(text("rest_asgi/operations.md"))


@pytest.mark.parametrize("client", INTERFACES)
def test_client_interface(client: str) -> None:
    """Every client interface has a section of its own and a method of its name."""
    assert f"\n### `{client}`\n" in text("client.md")
    assert f"`{client}`" in rows(text("configuration.md"))["netapi_enable_clients"][1]
    assert callable(getattr(AsyncAPIClient, client))
    assert callable(getattr(saltapi.APIClient, client))


@pytest.mark.parametrize(
    "key",
    sorted(
        {
            *lowstate.TARGET_TYPES,
            *lowstate.MASTER_KEYS,
            *lowstate.REFUSED_LOCAL_KEYS,
            *lowstate.RUNNER_KEYS,
            *lowstate.WHEEL_KEYS,
            *ssh_options.REFUSED,
        }
    ),
)
def test_key_of_a_chunk(key: str) -> None:
    """Every target type, and every key that is handed on or refused, is in the documentation."""
    assert f"`{key}`" in text("client.md")


@pytest.mark.parametrize("requirement", PROJECT["dependencies"])
def test_dependency(requirement: str) -> None:
    """Every dependency has its reason."""
    name = re.match(r"[\w-]+", requirement)

    assert name is not None
    assert f"\n| {name[0]} | " in text("dependencies.md")


def test_limits() -> None:
    """The limits in the documentation are those in the code."""
    for name, (value, _meaning) in rows(part(text("architecture.md"), "Limits")).items():
        module, _, constant = name.rpartition(".")

        assert value == str(getattr(importlib.import_module(module), constant)), name


def test_version() -> None:
    """Package, project file and the top of the changelog name one version."""
    top = re.search(r"^## \[(.+)\]", text("CHANGELOG.md"), re.MULTILINE)

    assert top is not None
    assert saltapi.__version__ == PROJECT["version"] == top[1]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links(page: Path) -> None:
    """Links between pages lead somewhere, also those to a heading."""
    targets = re.findall(r"\]\(([^)]+)\)", page.read_text())
    local = [target.partition("#") for target in targets if "://" not in target]

    for name, _, anchor in local:
        path = page.parent / name if name else page
        assert path.exists(), name
        assert not anchor or anchor in anchors(path.read_text()), f"{name}#{anchor}"


def anchors(page: str) -> list[str]:
    """Return the anchors that the headings of a page get, in a forge and in the site."""
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]


def test_table_of_contents() -> None:
    """Every page is in the table of contents of the site, once."""
    blocks = code_blocks(text("index.md"), r"\{toctree\}")
    entries = [line for block in blocks for line in block.splitlines() if re.match(r"\w", line)]
    listed = [page for entry in entries for page in DOCS.glob(f"{entry}.md")]
    pages = [page for page in DOCS.rglob("*.md") if page != DOCS / "index.md"]

    assert sorted(pages) == sorted(listed)


def test_where_to_look() -> None:
    """What docs/architecture.md says is in a file is defined there."""
    found = re.findall(r"^\| Where .* \| `(.+)` \| (.+) \|$", text("architecture.md"), re.MULTILINE)

    assert found
    for path, names in found:
        source = (Path(saltapi.__file__).parent / path).read_text()
        for name in re.findall(r"`(?:\w+\.)?(\w+)`", names):
            assert re.search(rf"\b(?:class|def) {name}\b", source), (path, name)


def test_decisions() -> None:
    """Every decision is in the list, and has its four parts on one page."""
    pages = {page.name: page.read_text() for page in (DOCS / "decisions").glob("*.md")}
    listed = re.findall(r"^- \[.+\]\((.+)\)$", pages.pop("README.md"), re.MULTILINE)
    parts = ["Decided.", "Why.", "What it costs.", "What would change it."]

    assert sorted(pages) == sorted(listed)
    for name, page in pages.items():
        assert parts == re.findall(r"^\*\*(.+?)\*\*", page, re.MULTILINE), name
        assert len(page.splitlines()) <= 20, name


# Examples


@pytest.mark.parametrize("block", YAML_OF_SSO, ids=range(len(YAML_OF_SSO)))
def test_examples_of_sso(block: str) -> None:
    """The configs of docs/sso.md are good ones."""
    assert issuers_of(yaml.safe_load(block))


def code_blocks(page: str, language: str) -> list[str]:
    """Return the code in the blocks of *language*."""
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def test_examples_of_the_client(master: PrivateMaster) -> None:
    """The Python examples of docs/client.md run as they stand there, with another password."""
    names: dict[str, Any] = {}
    for block in code_blocks(text("client.md"), "python"):
        source = block.replace("/etc/salt", str(master.config_dir))
        exec(source.replace("PASSWORD", master.password), names)  # noqa: S102 - our own page

    assert {"minion-1": True, "minion-2": True} == names["found"]


SHELL_COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.*)$", re.MULTILINE)
STREAM_SECONDS = scaled(2)
ELSEWHERE = ("tail ", "SALT_MASTER_CONFIG=", "curl -sS --http2", "openapi-", "npx ")
"""Beginnings of commands that need other servers, or files that are made elsewhere."""


REST_ASGI = (
    *("rest_asgi", "rest_asgi/run", "rest_asgi/jobs", "rest_asgi/events", "rest_asgi/errors"),
    *("rest_asgi/retry-safe", "rest_asgi/check", "rest_asgi/limits", "rest_asgi/audit-log"),
    *("rest_asgi/hooks", "rest_asgi/operations", "rest_asgi/openapi", "rest_asgi/deploy"),
)
"""The pages of rest_asgi, as they are read: a later one uses what an earlier one has set."""


def rest_asgi_commands() -> list[str]:
    """Return the commands of the pages of rest_asgi, in order."""
    pages = "".join(text(f"{page}.md") for page in REST_ASGI)
    blocks = code_blocks(pages, "console")
    found = [command for block in blocks for command in SHELL_COMMAND.findall(block)]
    return [command for command in found if not command.startswith(ELSEWHERE)]


def test_commands_of_rest_asgi(master: PrivateMaster, tmp_path: Path) -> None:
    """The commands of the pages of rest_asgi work, pasted one after the other into one shell."""
    section = {"webhook_secrets": {"github/*": {"type": "github", "secret": "for the page"}}}
    with ApiServer(master, OURS, section, module="rest_asgi") as server:
        ping = {"tgt": "minion-1", "fun": "test.ping"}
        headers = {"X-Auth-Token": server.login()}
        start = server.send("POST", "/v1/run", json_body=ping, headers=headers)
        jid = start.value()["results"][0]["jid"]
        end = '\necho "exit status $?"\n'
        script = end.join(rest_asgi_commands()) + end
        script = script.replace("http://127.0.0.1:8000", server.url)
        script = script.replace("20261123180812345678", jid)
        script = script.replace("8e03978e-40d5-43dd-bc93-6894a57f9324", str(uuid.uuid4()))
        script = script.replace("curl -sSN", f"curl -sSN --max-time {STREAM_SECONDS}")
        facts = {"USERNAME": master.username, "PASSWORD": master.password}
        done = subprocess.run(
            ["bash", "-c", script],
            env={**os.environ, **facts, "SECRET": "for the page"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=scaled(100),
            check=False,
        )
    statuses = re.findall(r"exit status (\d+)$", done.stdout, re.MULTILINE)
    problems = re.findall(r"urn:saltapi:error:(\w+)", done.stdout)

    assert 20 < len(statuses)
    assert {"0", "28"} >= set(statuses), done.stdout + done.stderr  # 28: a stream that goes on
    assert ["invalid_chunk"] == problems, done.stdout
    assert '"success": true' in done.stdout
    assert (tmp_path / "saltapi.json").exists()
