"""
Finds netapi modules: those of users and of Salt extensions, then ours.

Looked at, in this order: `<module_dirs>/netapi`, `<extension_modules>/netapi`, what packages
name by the entry point `salt.loader` and `netapi_dirs` (0.8.4, "Writing netapi modules";
`salt.loader.netapi`), `saltapi.netapi`. The first module of a name wins, so a user can replace
one of ours. Salt's own netapi modules are never looked at: `salt-api` runs those.
"""

import importlib
import inspect
import itertools
import logging
import pkgutil
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saltapi.errors import CannotStart
from saltapi.types import Opts

log = logging.getLogger(__name__)
OURS = Path(__file__).parents[1] / "netapi"
FOR_SALT_API = OURS / "_salt_api"
"""What the entry point of this package shows to Salt's daemon."""

PRIVATE_PACKAGE = "saltapi_loaded"
"""Modules from directories are imported below this name, so they cannot hide any package."""

_serial = itertools.count()


@dataclass(frozen=True, slots=True)
class Module:
    """
    A netapi module that is to run.

    `reports` tells that it says by itself when it answers (`saltapi.process.lifecycle`); `source`
    is the file it comes from.
    """

    name: str
    start: Callable[[], object]
    source: str
    reports: bool = False


@dataclass(frozen=True, slots=True)
class Skipped:
    """A netapi module that does not run; `configured` tells that somebody wants it to."""

    name: str
    reason: str
    source: str
    configured: bool


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was found: the modules that run, and those that do not."""

    modules: tuple[Module, ...]
    skipped: tuple[Skipped, ...]

    def log(self) -> None:
        """Log why each skipped module does not run: an error if it is configured."""
        for skipped in self.skipped:
            level = logging.ERROR if skipped.configured else logging.INFO
            log.log(level, "%s does not run: %s", skipped.name, skipped.reason)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A module that was found and not imported yet."""

    package: str
    name: str
    source: str
    ours: bool


class _NotAdmittedError(Exception):
    """Why a candidate does not run; *name* is what it would have been called."""

    def __init__(self, reason: str, name: str | None = None) -> None:
        super().__init__(reason)
        self.name = name


def load(opts: Opts) -> Loaded:
    """
    Import all netapi modules and ask each one whether it runs (`__virtual__`).

    Raises:
        CannotStart: `netapi_dirs` or `module_dirs` is no list of directories.
    """
    importlib.invalidate_caches()
    modules: dict[str, Module] = {}
    skipped: list[Skipped] = []
    seen: set[str] = set()
    for found in _candidates(opts):
        if found.name in seen:
            reason = "a module of this name was found before it."
            skipped.append(Skipped(found.name, reason, found.source, configured=False))
            continue
        seen.add(found.name)
        try:
            module = _admit(found, opts)
        except _NotAdmittedError as error:
            name = error.name or found.name
            configured = name in opts or found.name in opts
            skipped.append(Skipped(name, str(error), found.source, configured))
            continue
        first = modules.setdefault(module.name, module)
        if first is not module:
            reason = f"{first.source} runs under this name."
            skipped.append(Skipped(module.name, reason, found.source, configured=False))
    return Loaded(tuple(modules.values()), tuple(skipped))


def _admit(found: _Candidate, opts: Opts) -> Module:
    """
    Return the module, imported and willing to run.

    Raises:
        _NotAdmittedError: It does not run.
    """
    if found.ours and found.name not in opts:
        raise _NotAdmittedError(f"not configured, there is no section {found.name}.")
    module = _import(f"{found.package}.{found.name}", opts)
    name = _virtual_name(module, found.name)
    start = getattr(module, "start", None)
    if not callable(start):
        raise _NotAdmittedError("it has no function start().", name)
    return Module(name, start, found.source, reports=found.ours)


def _candidates(opts: Opts) -> Iterator[_Candidate]:
    """Yield what may be a netapi module, in the order of the search."""
    import salt
    import salt.loader

    for option in ("netapi_dirs", "module_dirs"):
        value = opts.get(option, [])
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise CannotStart(f"{option} must be a list of directories, not {value!r}.")
    directories = [Path(path) for path in salt.loader._module_dirs(opts, "netapi")]
    of_salt = Path(salt.__file__).parent / "netapi"
    for directory in directories:
        if directory in (of_salt, FOR_SALT_API) or not directory.is_dir():
            continue
        package = _package_for(directory)
        for found in pkgutil.iter_modules([str(directory)]):
            if not found.name.startswith("_"):
                yield _Candidate(package, found.name, str(directory / found.name), ours=False)
    for found in pkgutil.iter_modules([str(OURS)]):
        if not found.name.startswith("_"):
            package = "saltapi.netapi"
            yield _Candidate(package, found.name, f"{package}.{found.name}", ours=True)


def _package_for(directory: Path) -> str:
    """Return the name of a new package that imports from *directory* and nowhere else."""
    if PRIVATE_PACKAGE not in sys.modules:
        root = types.ModuleType(PRIVATE_PACKAGE)
        root.__path__ = []
        sys.modules[PRIVATE_PACKAGE] = root
    name = f"{PRIVATE_PACKAGE}.d{next(_serial)}"
    package = types.ModuleType(name)
    package.__path__ = [str(directory)]
    sys.modules[name] = package
    return name


def _import(full_name: str, opts: Opts) -> types.ModuleType:
    """Return the imported module, with `__opts__` in it and in its sub-modules."""
    try:
        module = importlib.import_module(full_name)
    except ImportError as error:
        raise _NotAdmittedError(f"it needs something that is not installed: {error}.") from error
    except (Exception, SystemExit) as error:
        raise _NotAdmittedError(f"importing it failed: {_describe(error)}.") from error
    for name, loaded in list(sys.modules.items()):
        if name == full_name or name.startswith(f"{full_name}."):
            loaded.__dict__["__opts__"] = opts
    return module


def _virtual_name(module: types.ModuleType, name: str) -> str:
    """
    Return the name that *module* runs under, by the rules of Salt's loader.

    Raises:
        _NotAdmittedError: The module does not want to run.
    """
    virtual = module.__dict__.get("__virtual__")
    if not inspect.isfunction(virtual):
        return name
    own = getattr(module, "__virtualname__", None)
    own = own if isinstance(own, str) and own else None
    try:
        answer: Any = virtual()
    except (Exception, SystemExit) as error:
        raise _NotAdmittedError(f"its __virtual__() failed: {_describe(error)}.", own) from error
    reason = None
    if isinstance(answer, tuple):
        answer, reason = (*answer, None, None)[:2]
    if answer is True:
        return own or name
    if isinstance(answer, str) and answer:
        return own or answer
    if reason:
        raise _NotAdmittedError(str(reason), own)
    if answer is None:
        raise _NotAdmittedError(
            "its __virtual__() returns None; it must return True, a name or False.", own
        )
    raise _NotAdmittedError("its __virtual__() says no and gives no reason.", own)


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
