"""
What functions the Salt that is installed here has, with arguments and documentation.

All modules are loaded for it, which takes seconds and memory, so that a short-lived process does it
when somebody first asks: `python -m saltapi.bridge.fleet.catalogue CONFIG`. It is asked again when
that is long ago, as modules may have been added.
"""

import asyncio
import inspect
import json
import logging
import sys
import time
from typing import Any, Literal, NamedTuple, TypeAlias

from salt.version import __saltstack_version__ as salt_version

from saltapi.errors import WorkerFailed
from saltapi.types import Opts

log = logging.getLogger(__name__)

LOAD_SECONDS = 120.0
FRESH_SECONDS = 3_600.0
"""How long what was loaded holds; it is used until it has been loaded anew."""
RETRY_SECONDS = 30.0
OUTPUT_LIMIT_BYTES = 64 * 1024 * 1024
DOCUMENTATION_CHARACTERS = 20_000

FunctionKind: TypeAlias = Literal["local", "runner", "wheel"]


class Function(NamedTuple):
    """One function."""

    args: tuple[str, ...]
    """The names of its arguments."""
    defaults: tuple[Any, ...]
    """What those at the end of `args` are if they are left out."""
    varargs: bool
    """Whether it takes any number of positional arguments."""
    kwargs: bool
    """Whether it takes any named ones."""
    doc: str


class Catalogue:
    """Knows the functions; for all sessions of one process."""

    def __init__(self, opts: Opts) -> None:
        """
        Args:
            opts: The master's options; not changed.
        """
        self._conf_file = str(opts["conf_file"])
        self._known: dict[str, dict[str, Function]] = {}
        self._loaded_at = float("-inf")
        self._loading: asyncio.Task[None] | None = None

    @property
    def version(self) -> str:
        """The version of Salt."""
        return str(salt_version.string)

    async def functions(self, kind: FunctionKind) -> dict[str, Function]:
        """
        Return the functions of a kind by their names.

        Raises:
            WorkerFailed: They could not be read.
        """
        age = time.monotonic() - self._loaded_at
        if age > (FRESH_SECONDS if self._known else RETRY_SECONDS) and self._loading is None:
            self._loading = asyncio.create_task(self._load(), name="saltapi-catalogue")
        if not self._known and self._loading is not None:
            await asyncio.shield(self._loading)
        if not self._known:
            raise WorkerFailed("The functions of this Salt could not be read; try again.")
        return self._known.get(kind, {})

    async def close(self) -> None:
        """End what loads; idempotent."""
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.gather(self._loading, return_exceptions=True)

    async def _load(self) -> None:
        try:
            self._known = await self._read() or self._known
        finally:
            self._loaded_at, self._loading = time.monotonic(), None

    async def _read(self) -> dict[str, dict[str, Function]]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", __name__, self._conf_file),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=OUTPUT_LIMIT_BYTES,
        )
        try:
            async with asyncio.timeout(LOAD_SECONDS):
                output, _ = await process.communicate()
            return await asyncio.to_thread(_parsed, output)
        except (TimeoutError, ValueError):
            log.error("The functions of this Salt could not be read.")  # noqa: TRY400
            return {}
        finally:
            if process.returncode is None:
                process.kill()


def _parsed(output: bytes) -> dict[str, dict[str, Function]]:
    found = json.loads(output.rpartition(b"\0")[2])
    return {
        kind: {
            name: Function(tuple(args), tuple(defaults), varargs, kwargs, doc)
            for name, (args, defaults, varargs, kwargs, doc) in functions.items()
        }
        for kind, functions in found.items()
    }


def described(functions: Any) -> dict[str, list[Any]]:
    """Return what is to be known of each of Salt's loaded *functions*."""
    import salt.utils.args

    found: dict[str, list[Any]] = {}
    for name in sorted(functions):
        try:
            function = functions[name]
            spec = salt.utils.args.get_function_argspec(function)
        except Exception:  # noqa: BLE001, S112 - a module that breaks when it is looked at
            continue
        doc = inspect.cleandoc(function.__doc__ or "")[:DOCUMENTATION_CHARACTERS]
        defaults = [_plain(value) for value in spec.defaults or ()]
        args = [str(each) for each in spec.args]
        found[name] = [args, defaults, bool(spec.varargs), bool(spec.keywords), doc]
    return found


def _plain(value: Any) -> Any:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return repr(value)
    return value


def main(conf_file: str) -> None:
    """Print all functions as JSON after a zero byte, whatever the modules print before."""
    import salt.config
    import salt.loader

    opts = dict(salt.config.client_config(conf_file))
    minion = {**opts, "file_client": "local", "grains": salt.loader.grains(dict(opts))}
    found = {
        "runner": described(salt.loader.runner(opts)),
        "wheel": described(salt.loader.wheels(opts)),
        "local": described(salt.loader.minion_mods(minion)),
    }
    sys.stdout.write("\0" + json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
