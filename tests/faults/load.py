"""A steady load while faults are made: what its clients see counts as well."""

import http.client
import threading
import time
import uuid
from collections import Counter
from types import TracebackType
from typing import Self

from tests.apis import ApiServer
from tests.wire import Answer

PAUSE_SECONDS = 0.1
PING = {"tgt": "minion-2", "fun": "test.ping"}
RIGHT = {200, 409, 503, 504}
"""What a request may get: an answer, or that it cannot be had now; never that it was wrong."""


class Load:
    """
    Clients that send one request after the other: reads, commands, commands with keys.

    Attributes:
        slowest: The longest that one of them waited, in seconds.
        wrong: The answers that nobody should have got.
    """

    def __init__(self, api: ApiServer, token: str, clients: int) -> None:
        """
        Args:
            api: Where they send them.
            token: Their session.
            clients: How many there are.
        """
        self._api = api
        self._token = token
        self._ends = threading.Event()
        self._counts: Counter[int | str] = Counter()
        self.slowest = 0.0
        self.wrong: list[Answer] = []
        self._threads = [
            threading.Thread(target=self._run, args=(number,)) for number in range(clients)
        ]

    @property
    def seen(self) -> str:
        """What they got, and how often."""
        return ", ".join(f"{what}: {count}" for what, count in self._counts.most_common())

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ends.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        while not self._ends.wait(PAUSE_SECONDS):
            began = time.monotonic()
            try:
                what: int | str = self._ask(number)
            except (OSError, http.client.HTTPException) as error:
                what = type(error).__name__
            self._counts[what] += 1
            self.slowest = max(self.slowest, time.monotonic() - began)
            number += 1

    def _ask(self, number: int) -> int:
        headers = {"X-Auth-Token": self._token}
        send = self._api.send
        match number % 4:
            case 0:
                answer = send("GET", "/v1/whoami", headers=headers)
            case 1:
                answer = send("GET", "/v1/jobs?limit=5", headers=headers)
            case 2:
                answer = send("POST", "/v1/run", json_body=PING, headers=headers)
            case _:
                headers["Idempotency-Key"] = uuid.uuid4().hex
                answer = send("POST", "/v1/run", json_body=PING, headers=headers)
        if answer.status not in RIGHT:
            self.wrong.append(answer)
        return answer.status
