"""The files that the master's config is in: what is no YAML in them, and where an option stands."""

import glob
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

DEFAULT_INCLUDE = "master.d/*.conf"
INCLUDES_LIMIT = 1000
"""Files that include each other are read until there are this many."""


class ConfigFile:
    """One file of the config; `problem` says what keeps it from being read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problem: str | None = None
        """A sentence that begins with the file, the line and the column; None if all is well."""
        self._text = ""
        self._loader: yaml.SafeLoader | None = None
        self._root: yaml.Node | None = None
        self.values: dict[Any, Any] = {}
        try:
            self._read()
        except OSError as error:
            self.problem = f"{path} cannot be read: {error.strerror}."
        except UnicodeDecodeError as error:
            self.problem = f"{path}, byte {error.start + 1}: this is not UTF-8."
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self.problem = (
                f"{_place(path, mark)}: this is no valid YAML: {_said(error, self._text)}."
            )
        except (yaml.YAMLError, ValueError) as error:
            said = str(error).partition("\n")[0]
            self.problem = f"{path} is no valid YAML: {said}."

    def _read(self) -> None:
        import salt.utils.yaml

        self._text = text = self.path.read_text(encoding="utf-8")
        values = salt.utils.yaml.safe_load(text)
        if values is not None and not isinstance(values, dict):
            self.problem = f"{self.path}, line 1, column 1: options must be `name: value`."
            return
        self.values = values or {}
        self._loader = yaml.SafeLoader(text)
        self._root = self._loader.get_single_node()

    def line_of(self, path: Sequence[Any]) -> int | None:
        """Return the line of the option at *path*, or of what is nearest above it; else None."""
        node, line = self._root, None
        for key in path:
            found = self._below(node, key)
            if found is None:
                break
            line, node = found
        return line

    def _below(self, node: yaml.Node | None, key: Any) -> tuple[int, yaml.Node] | None:
        if isinstance(node, yaml.MappingNode) and self._loader is not None:
            for name, value in node.value:
                if isinstance(name, yaml.ScalarNode) and self._loader.construct_object(name) == key:
                    return name.start_mark.line + 1, value
        elif isinstance(node, yaml.SequenceNode) and key in range(len(node.value)):
            item = node.value[key]
            return item.start_mark.line + 1, item
        return None


class ConfigFiles:
    """All files of one config, as Salt reads them: the last one that has an option counts."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def exist(self) -> bool:
        """Whether the first of them is there."""
        return self._path.is_file()

    @cached_property
    def files(self) -> list[ConfigFile]:
        """The files, those that cannot be read too."""
        main = ConfigFile(self._path)
        found = [main]
        includes = (main.values.get("default_include", DEFAULT_INCLUDE), main.values.get("include"))
        for include in includes:
            found += _included(include, self._path, INCLUDES_LIMIT - len(found))
        return found

    def problems(self) -> list[str]:
        """Return what keeps files from being read."""
        return [file.problem for file in self.files if file.problem]

    def names(self) -> set[str]:
        """Return the names of all options at the top level."""
        return {name for file in self.files for name in file.values if isinstance(name, str)}

    def place(self, path: Sequence[Any]) -> str | None:
        """Return the file and the line of the option at *path*, as editors take it."""
        for file in reversed(self.files):
            line = file.line_of(path)
            if line is not None:
                return f"{file.path}:{line}"
        return None


def _included(include: Any, origin: Path, limit: int) -> list[ConfigFile]:
    """Return the files that an option `include` of *origin* names, as Salt looks for them."""
    patterns = [include] if isinstance(include, str) else include or []
    found: list[ConfigFile] = []
    for pattern in patterns if isinstance(patterns, list) else ():
        for name in sorted(glob.glob(str(origin.parent / Path(str(pattern)).expanduser()))):
            if len(found) >= limit:
                return found
            file = ConfigFile(Path(name))
            found.append(file)
            found += _included(file.values.get("include"), file.path, limit - len(found))
    return found


def _place(path: Path, mark: yaml.Mark | None) -> str:
    return f"{path}, line {mark.line + 1}, column {mark.column + 1}" if mark else str(path)


def _said(error: yaml.MarkedYAMLError, text: str) -> str:
    """Return what the reader says, or what to do where that is known."""
    problem = str(error.problem or error.context)
    mark = error.problem_mark
    if "cannot start any token" in problem and mark:
        line = text.splitlines()[mark.line]
        shown = "a tab" if line[mark.column] == "\t" else repr(line[mark.column])
        return f"there is {shown}; indent with spaces, and put texts with signs in quotes"
    if "mapping values are not allowed" in problem:
        return "a text with a colon in it must be in quotes, or the line is indented too far"
    if "conflicting ID" in problem:
        return f"{problem.rpartition('ID ')[2]} stands there twice"
    if "unacceptable key" in problem:
        return "a text that begins with a bracket must be in quotes"
    return problem
