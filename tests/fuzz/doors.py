"""The doors that a request comes in by: four modules in one daemon, and the client in process."""

import asyncio
import contextlib
import copy
import json
import threading
from collections.abc import AsyncIterator, Mapping
from typing import Any, Self
from urllib.parse import urlencode

import salt.auth
import yaml

from saltapi import config
from saltapi.demo import PrivateMaster
from saltapi.demo.master import HOST, free_ports, merge, write_yaml
from saltapi.engine.commands.asynchronous import AsyncAPIClient
from saltapi.errors import SaltApiError
from tests.fuzz.lowstates import DOORS, Case
from tests.waiting import eventually
from tests.wire import Answer, send

START_SECONDS = 60.0
MODULES = [name for name in DOORS if name != "client"]
FAST = ["mark.*"]
"""What workers run; `jobs.*` goes through the master."""


class Doors:
    """Sends cases; any number at once, from any thread."""

    def __init__(self, master: PrivateMaster, passwords: Mapping[str, str]) -> None:
        """
        Args:
            master: The master; it must have been started.
            passwords: Those of all users, who are known to the eauth system `fuzz`.
        """
        self._jids: dict[str, str] = {}
        self._passwords = passwords
        self._ports = dict(zip(MODULES, free_ports(len(MODULES)), strict=True))
        self._directory = master.directory / "doors"
        sections: dict[str, Any] = {
            name: {"port": port, "host": HOST, "disable_ssl": True}
            for name, port in self._ports.items()
        }
        sections["rest_tornado"]["processes"] = sections["rest_asgi"]["workers"] = 1
        own = {**sections, "fast_functions": FAST, "api_pidfile": str(self._directory / "pid")}
        write_yaml(self._directory / "master", merge(master.options, own))
        command = [*master.master.command[:2], "-m", "saltapi", "-c", str(self._directory)]
        self._program = master.program("doors", command)
        self._opts = config.load(master.config_dir)
        self._auth = salt.auth.LoadAuth(copy.deepcopy(dict(self._opts)))
        self._tokens: dict[str, str] = {}
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fuzz-client")

    def __enter__(self) -> Self:
        self._program.start()
        self._thread.start()
        self._client = AsyncAPIClient(self._opts)
        asyncio.run_coroutine_threadsafe(self._client.start(), self._loop).result()
        try:
            eventually(lambda: all(map(_answers, self._ports.values())), START_SECONDS)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the daemon and the client."""
        self._program.stop()
        asyncio.run_coroutine_threadsafe(self._client.close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def send(self, case: Case) -> str:
        """Send *case* and return what came of it: a status, or the name of an error."""
        if case.door == "client":
            chunk = {**case.lowstate[0], **self._credentials(case)}
            return asyncio.run_coroutine_threadsafe(self._run(chunk), self._loop).result()
        answer = self._post(case)
        if case.path in {"/v1/run", "/minions"}:
            self._note_jid(case.user, answer)
        return str(answer.status)

    def _post(self, case: Case) -> Answer:
        port, headers = self._ports[case.door], {"Accept": "application/json"}
        lowstate, path = case.lowstate, case.path
        if path == "/run" or case.door == "rest_wsgi":
            lowstate = [{**chunk, **self._credentials(case)} for chunk in lowstate]
        else:
            headers["X-Auth-Token"] = self.token(case.user)
        if path == "rerun":
            return self._rerun(case, port, headers)
        headers["Content-Type"], body = _encoded(case.body, lowstate)
        return send(port, "POST", path, headers=headers, body=body)

    def _rerun(self, case: Case, port: int, headers: dict[str, str]) -> Answer:
        """Run the user's last job again, or somebody else's, and say yes when asked."""
        jid = self._jids.get(case.user) or next(reversed(self._jids.values()), "0" * 20)
        path, body = f"/v1/jobs/{jid}/rerun", {"minions": "all"}
        answer = send(port, "POST", path, headers=headers, json_body=body)
        if 409 == answer.status:
            confirm = json.loads(answer.body).get("confirm")
            body |= {"confirm": confirm} if confirm else {}
            answer = send(port, "POST", path, headers=headers, json_body=body)
        return answer

    def _note_jid(self, user: str, answer: Answer) -> None:
        with contextlib.suppress(ValueError, KeyError, IndexError, TypeError, AttributeError):
            value = answer.value()
            value = value["results"][0] if "results" in value else value["return"][0]
            self._jids[user] = value["jid"]

    def token(self, user: str) -> str:
        """Return the session of a user."""
        with self._lock:
            if user not in self._tokens:
                made = self._auth.mk_token(self._password(user))
                self._tokens[user] = made["token"]
            return self._tokens[user]

    def _credentials(self, case: Case) -> dict[str, str]:
        if case.by_password:
            return self._password(case.user)
        return {"token": self.token(case.user)}

    def _password(self, user: str) -> dict[str, str]:
        return {"eauth": "fuzz", "username": user, "password": self._passwords[user]}

    async def _run(self, chunk: dict[str, Any]) -> str:
        try:
            found = await self._client.run(chunk)
            if isinstance(found, AsyncIterator):
                found = [part async for part in found]
        except SaltApiError as error:
            return type(error).__name__
        return "ran"


def _answers(port: int) -> bool:
    try:
        return bool(send(port, "GET", "/").status)
    except OSError:
        return False


def _encoded(body: str, lowstate: list[dict[str, Any]]) -> tuple[str, bytes]:
    """Return the media type and the bytes of a lowstate; a form has its first chunk."""
    if body == "json":
        return "application/json", json.dumps(lowstate).encode()
    if body == "yaml":
        return "application/x-yaml", yaml.safe_dump(lowstate).encode()
    pairs: list[tuple[str, str]] = []
    for key, value in lowstate[0].items():
        parts = value if isinstance(value, list) and key in {"fun", "arg"} else [value]
        pairs += [(key, part if isinstance(part, str) else json.dumps(part)) for part in parts]
    return "application/x-www-form-urlencoded", urlencode(pairs).encode()
