"""
What arguments runner and wheel functions take.

Salt's own clients load every runner and wheel module into the API process to drop the keyword
arguments that a function does not take. We ask a short-lived process once, when it first
matters, and again when a function turns up that was not there before.
"""

import asyncio
import json
import logging
import sys
import time
from dataclasses import dataclass
from typing import Any

from saltapi.types import Opts

log = logging.getLogger(__name__)

LOAD_TIMEOUT_SECONDS = 60.0
RELOAD_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Signature:
    """The names of a function's arguments, and whether it takes any other keyword too."""

    names: tuple[str, ...]
    any_keyword: bool

    def accepted(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return those of *kwargs* that the function takes (`RunnerClient._reformat_low`)."""
        if self.any_keyword:
            return kwargs
        return {name: value for name, value in kwargs.items() if name in self.names}


class Signatures:
    """Knows the signatures of all runner and wheel functions of this master."""

    def __init__(self, opts: Opts) -> None:
        self._conf_file = str(opts["conf_file"])
        self._known: dict[str, Signature] = {}
        self._loaded_at = float("-inf")
        self._loading = asyncio.Lock()

    async def find(self, kind: str, fun: str) -> Signature | None:
        """
        Return the signature of function *fun* of *kind* `runner` or `wheel`.

        None if there is no such function, or (`loaded` is False) nothing is known.
        """
        name = f"{kind}.{fun}"
        if name not in self._known:
            async with self._loading:
                stale = time.monotonic() - self._loaded_at > RELOAD_SECONDS
                if name not in self._known and stale:
                    await self._load()
        return self._known.get(name)

    @property
    def loaded(self) -> bool:
        """Whether the functions of this master are known."""
        return bool(self._known)

    async def _load(self) -> None:
        self._loaded_at = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            __name__,
            self._conf_file,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(LOAD_TIMEOUT_SECONDS):
                output, _ = await process.communicate()
            found = json.loads(output.rpartition(b"\0")[2])
        except (TimeoutError, ValueError):
            log.error("The signatures of runner and wheel functions could not be read.")  # noqa: TRY400
            return
        finally:
            if process.returncode is None:
                process.kill()
        self._known = {name: Signature(tuple(names), any_) for name, (names, any_) in found.items()}


def main(conf_file: str) -> None:
    """Print the signatures as JSON after a zero byte, whatever the modules print before."""
    import salt.config
    import salt.loader
    import salt.utils.args

    opts = dict(salt.config.client_config(conf_file))
    found = {}
    for kind, functions in (
        ("runner", salt.loader.runner(opts)),
        ("wheel", salt.loader.wheels(opts)),
    ):
        for name in functions:
            try:
                spec = salt.utils.args.get_function_argspec(functions[name])
            except TypeError:
                continue  # something callable whose arguments cannot be told
            found[f"{kind}.{name}"] = (list(spec.args), bool(spec.keywords))
    sys.stdout.write("\0" + json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
