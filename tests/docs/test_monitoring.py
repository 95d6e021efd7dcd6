"""Alerts and dashboard are made of what there is, and the alerts sound when they should."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.commands import ROOT

PROMETHEUS = ROOT / "packaging" / "prometheus"
RULES = PROMETHEUS / "saltapi.rules.yml"
DASHBOARD = ROOT / "packaging" / "grafana" / "saltapi.json"
OPERATIONS = (ROOT / "docs" / "rest_asgi" / "operations.md").read_text()
PAGE = (ROOT / "docs" / "monitoring.md").read_text()
METRIC = re.compile(r"\b(?:saltapi|process)_[a-z_]+\b")
PARTS = ("_bucket", "_sum", "_count")


def rules() -> list[dict[str, Any]]:
    """Return the alerts."""
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def expressions() -> list[str]:
    """Return what alerts and panels ask for."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [
        *(rule["expr"] for rule in rules()),
        *(target["expr"] for panel in panels for target in panel["targets"]),
    ]


@pytest.mark.parametrize("expression", expressions())
def test_metrics(expression: str) -> None:
    """They ask for metrics that the docs have, which another test compares with the real ones."""
    names = METRIC.findall(expression)

    assert names or "up{" in expression
    for name in names:
        for part in PARTS:
            name = name.removesuffix(part)
        assert f"| `{name}` |" in OPERATIONS


def test_page() -> None:
    """The page names every alert, and whether it wakes somebody."""
    for rule in rules():
        wakes = "yes" if "critical" == rule["labels"]["severity"] else "no"
        assert f"| `{rule['alert']}` | {wakes} |" in PAGE


@pytest.mark.parametrize("command", [["check", RULES.name], ["test", "saltapi.tests.yml"]])
def test_promtool(command: list[str]) -> None:
    """promtool takes the rules, and they sound when they should."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed")
    verb, name = command
    done = subprocess.run(
        ["promtool", verb, "rules", name],
        cwd=Path(PROMETHEUS),
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stdout + done.stderr
