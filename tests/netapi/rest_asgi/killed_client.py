"""
A scripted client that may be killed at any moment: `killed_client.py SETTINGS STATE`.

It runs jobs and notes every record in the file STATE, one line each, before it goes on. Started
again with the same file it goes on where it was. It uses nothing but the standard library.
"""

import http.client
import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

THREADS = 4
TRIES = 200


class Client:
    """Sees the jobs of *settings* through; *state* is what was noted before."""

    def __init__(self, settings: dict[str, Any], state: Path) -> None:
        self.settings = settings
        self.file = os.open(state, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        lines = state.read_text().splitlines()
        self.notes = [json.loads(line) for line in lines]
        self.todo = sorted(set(range(settings["jobs"])) - {n["job"] for n in self.notes if _end(n)})
        self.lock = threading.Lock()

    def note(self, value: dict[str, Any]) -> None:
        """Write a line; a single write is done or not, whenever we are killed."""
        os.write(self.file, json.dumps(value).encode() + b"\n")

    def work(self) -> None:
        """Take jobs until there is none left."""
        while True:
            with self.lock:
                if not self.todo:
                    return
                number = self.todo.pop(0)
            noted = [note for note in self.notes if note["job"] == number]
            for _ in range(TRIES):
                if self.see_through(number, noted):
                    break

    def see_through(self, number: int, noted: list[dict[str, Any]]) -> bool:
        """Run a job, or go on with it; return whether it has come to its summary."""
        jid = next((note["jid"] for note in noted if "jid" in note), None)
        last = next((note["id"] for note in reversed(noted) if "id" in note), None)
        if jid is None:
            chunk = {"tgt": "sim-*", "fun": "sim.together", "arg": [f"job {number}"], "timeout": 60}
            headers = {"Idempotency-Key": f"{self.settings['key']}-{number}"}
            return self.read("POST", "/v1/run", number, noted, headers, json.dumps(chunk))
        headers = {"Last-Event-ID": last} if last else {}
        return self.read("GET", f"/v1/jobs/{jid}/events", number, noted, headers)

    def read(
        self,
        method: str,
        path: str,
        number: int,
        noted: list[dict[str, Any]],
        headers: dict[str, str],
        body: str | None = None,
    ) -> bool:
        """Note what a stream says; return whether it has come to its summary."""
        connection = http.client.HTTPConnection("127.0.0.1", self.settings["port"], timeout=60)
        common = {
            "X-Auth-Token": self.settings["token"],
            "Accept": "application/x-ndjson",
            "Content-Type": "application/json",
        }
        try:
            connection.request(method, path, body, {**common, **headers})
            answer = connection.getresponse()
            if answer.status != 200:
                self.note({"job": number, "refused": answer.status, "text": answer.read().decode()})
                return False
            for line in answer:
                record = json.loads(line)
                note = {"job": number, "type": record["type"]}
                note |= {
                    key: record[key] for key in ("id", "jid", "minion", "return") if key in record
                }
                self.note(note)
                noted.append(note)
                if record["type"] == "summary":
                    return True
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.note({"job": number, "broken": repr(error)})
        finally:
            connection.close()
        return False


def _end(note: dict[str, Any]) -> bool:
    return note.get("type") == "summary"


def main(settings: str, state: str) -> None:
    """See all jobs through."""
    client = Client(json.loads(Path(settings).read_text()), Path(state))
    work: Callable[[], None] = client.work
    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.exit(bool(client.todo))


if __name__ == "__main__":
    main(*sys.argv[1:])
