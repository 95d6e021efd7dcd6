"""The site: `make docs` builds it from the pages here and those at the root of the project."""

import tomllib
from pathlib import Path
from typing import Any

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]

project = "saltapi"
author = "the authors of saltapi"
release = PROJECT["version"]
extensions = ["myst_parser"]

# The pages at the root belong to the site, so that links are the same here and in a source tree.
root_doc = "docs/index"
include_patterns = ["docs/**", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"]

nitpicky = True
myst_heading_anchors = 3
suppress_warnings = ["misc.highlighting_failure"]  # answers are shown shortened: no valid JSON

html_theme = "furo"
html_title = "saltapi"
html_extra_path = ["site"]
html_copy_source = False


def leave_out(app: Any, docname: str, source: list[str]) -> None:
    """Take the pages out of the table of contents that are still to come."""
    if docname == root_doc:
        pages = {"states", "fleet", "sso", "saltctl", "console", "reliability"}
        absent = {f"docs/{page}" for page in pages} - app.env.found_docs
        lines = source[0].splitlines()
        source[0] = "\n".join(line for line in lines if f"docs/{line}" not in absent)


def setup(app: Any) -> None:
    """Be asked for each page."""
    app.connect("source-read", leave_out)
