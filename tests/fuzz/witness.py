"""What has run, and whether Salt's own check of one function with its own arguments allows it."""

import ast
import contextlib
import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import salt.payload
import salt.utils.jid
import salt.utils.minions

from saltapi.types import Opts


@dataclass(frozen=True, slots=True)
class Call:
    """
    One call of a function.

    Attributes:
        where: The minion; `run` or `wheel` for the master.
        jid: The job.
        user: Whose it is, by what the master has recorded.
        fun, args, kwargs: What was called.
    """

    where: str
    jid: str
    user: str
    fun: str
    args: list[Any]
    kwargs: dict[str, Any]

    @property
    def on_master(self) -> bool:
        """Whether it is a runner or wheel function."""
        return self.where in {"run", "wheel"}


class Witness:
    """Reads the traces that functions have left and judges them."""

    def __init__(self, opts: Opts, groups: Mapping[str, list[str]], trace: Path) -> None:
        """
        Args:
            opts: The master's options.
            groups: User -> the groups that the user is in.
            trace: The file that the functions write.
        """
        self._opts = copy.deepcopy(dict(opts))
        self._groups = groups
        self._trace = trace
        self._check = salt.utils.minions.CkMinions(self._opts)
        self._loads: dict[str, Any] = {}

    def size(self) -> int:
        """Return how much has been traced; it stands still when nothing runs."""
        return self._trace.stat().st_size if self._trace.exists() else 0

    def calls(self) -> Iterator[Call]:
        """Yield every call, in the order of the trace."""
        text = self._trace.read_text() if self._trace.exists() else ""
        for line in text.splitlines():
            where, jid, user, fun, args, kwargs = ast.literal_eval(line)
            yield Call(where, jid, user or self.load(jid).get("user", ""), fun, args, kwargs)

    def load(self, jid: str) -> Any:
        """Return what the master has recorded of a job."""
        if jid not in self._loads:
            jobs = Path(self._opts["cachedir"]) / "jobs"
            folder = salt.utils.jid.jid_dir(jid, str(jobs), self._opts["hash_type"])
            self._loads[jid] = {}
            with contextlib.suppress(OSError):
                self._loads[jid] = salt.payload.loads((Path(folder) / ".load.p").read_bytes())
        return self._loads[jid]

    def allows(self, call: Call) -> bool:
        """Return whether the user may run this, by Salt's check of one function."""
        rules = self._check.fill_auth_list(
            self._opts["external_auth"]["fuzz"], call.user, self._groups.get(call.user, [])
        )
        if call.on_master:
            check = self._check.runner_check if call.where == "run" else self._check.wheel_check
            return check(rules, call.fun, {"arg": call.args, "kwarg": call.kwargs}) is True
        named = [{**call.kwargs, "__kwarg__": True}] if call.kwargs else []
        return bool(
            self._check.auth_check(
                rules, call.fun, [*call.args, *named], [call.where], "list", minions=[call.where]
            )
        )
