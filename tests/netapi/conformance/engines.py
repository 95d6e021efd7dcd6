"""What every module has of the engine: one server of each, with all of it switched on."""

import json
from pathlib import Path
from typing import Any, Self

from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer
from tests.netapi.conformance.client import MODULES
from tests.waiting import eventually
from tests.wire import Answer

ALL_MODULES = [*MODULES, "rest_wsgi"]
ONE = "minion-1"
WRONG_PASSWORD = "hunter2-is-wrong"


class Equipped:
    """A module with an audit log that is required, idempotency keys, and URLs to watch it."""

    def __init__(self, master: PrivateMaster, module: str, directory: Path) -> None:
        self.module = module
        self.master = master
        self.audit_log = directory / "audit" / "audit.log"
        self.audit_log.parent.mkdir()
        section = {
            "audit_log": str(self.audit_log),
            "audit_required": True,
            "monitoring_urls": True,
        }
        self.server = ApiServer(master, OURS, section, module=module)
        self.run_url = "/" if module == "rest_wsgi" else "/run"
        """Where chunks with credentials of their own are run."""

    def __enter__(self) -> Self:
        self.server.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self.server.__exit__(*exc)

    def run(
        self, chunk: dict[str, Any], user: str | None = None, *, key: str | None = None
    ) -> Answer:
        """Run one chunk as a user."""
        headers = {} if key is None else {"Idempotency-Key": key}
        body = [{**self.master.credentials(user), **chunk}]
        return self.server.send("POST", self.run_url, json_body=body, headers=headers)

    def refused(self, answer: Answer, status: int = 401) -> bool:
        """Return whether *answer* says that a command was refused, in the module's own way."""
        if self.module == "rest_tornado" and answer.status == 200:
            return bool(answer.value() == {"return": ["Failed to authenticate"]})
        return answer.status == status

    def lines(self) -> list[dict[str, Any]]:
        """Return all lines of the audit log that say how something ended."""
        lines = map(json.loads, self.audit_log.read_text().splitlines())
        return [line for line in lines if line.get("outcome") != "started"]

    def lines_of(self, answer: Answer, count: int = 1) -> list[dict[str, Any]]:
        """Return the lines of the request that got *answer*, at least *count*."""
        request_id = answer.header("X-Request-Id")

        def found() -> list[dict[str, Any]]:
            return [line for line in self.lines() if line.get("request_id") == request_id]

        eventually(lambda: len(found()) >= count)
        return found()


class Counted:
    """A command that leaves a line in a file each time it runs."""

    def __init__(self, path: Path) -> None:
        self._path = path
        arg = [f"echo ran >> {path}; echo done"]
        self.chunk = {"client": "local", "tgt": ONE, "fun": "cmd.run", "arg": arg}

    @property
    def runs(self) -> int:
        """How often it has run."""
        return len(self._path.read_text().splitlines()) if self._path.exists() else 0
