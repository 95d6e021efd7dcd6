"""
The master's own checks, made in this process: who asks, and what may they run.

Salt is imported only when an authorizer is made: worker processes must not let it print before
their pipes are out of its reach.
"""

import re
from typing import Any, Literal

from saltapi.bridge.external_auth import is_rule, readable
from saltapi.types import Opts

TOKEN = re.compile(r"[0-9a-f]{32,128}")


class Refused(Exception):
    """A request that is not run; `kind` says which of our errors it becomes."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Authorizer:
    """`LoadAuth` and `CkMinions` with the options of one master; for one thread at a time."""

    def __init__(self, opts: Opts) -> None:
        import salt.auth
        import salt.utils.minions

        opts = {**opts, "external_auth": readable(opts.get("external_auth"))}
        self.auth = salt.auth.LoadAuth(opts)
        self.minions = salt.utils.minions.CkMinions(opts)

    def identify(self, load: dict[str, Any]) -> tuple[str, list[Any], str]:
        """
        Return the name, the permissions and the kind of credentials behind *load*.

        Raises:
            Refused: The credentials are wrong.
        """
        kind = "token" if "token" in load else "eauth"
        if kind == "token" and not TOKEN.fullmatch(load["token"]):
            # Salt's store makes a file name of it, and on 3007 breaks on some.
            raise Refused("authentication", 'Authentication failure of type "token" occurred.')
        checked = self.auth.check_authentication(load, kind)
        if checked.get("error"):
            raise Refused("authentication", checked["error"]["message"])
        return checked["username"], checked["auth_list"] or [], kind

    def expand(
        self, tgt: str | list[str], tgt_type: str, delimiter: str, fun: str | list[str]
    ) -> dict[str, list[str]]:
        """Return the `minions` of a target, and the names in it that are `missing`."""
        from salt.version import __saltstack_version__ as salt_version

        more = {"fun": fun} if salt_version.major >= 3008 else {}
        found = self.minions.check_minions(tgt, tgt_type, delimiter, **more)
        return {key: list(found.get(key) or ()) for key in ("minions", "missing")}

    def permits_function(
        self,
        client: Literal["runner", "wheel"],
        permissions: list[Any],
        fun: str,
        args: list[Any],
        kwargs: dict[str, Any],
    ) -> bool:
        """
        Return whether *permissions* allow a runner or wheel function (`ClearFuncs.runner`).

        Raises:
            Refused: The name of the function is none.
        """
        permissions = [rule for rule in permissions if is_rule(rule)]
        check = {"runner": self.minions.runner_check, "wheel": self.minions.wheel_check}[client]
        verdict = check(permissions, fun, {"arg": args, "kwarg": kwargs})
        if isinstance(verdict, dict):
            raise Refused("chunk", verdict["error"]["message"])
        return bool(verdict)
