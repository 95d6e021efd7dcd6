"""Both servers, and everything of the corpus sent to them."""

import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import groupby
from operator import attrgetter
from typing import Any

from tests.apis import ApiServer
from tests.differential.corpus import Request
from tests.wire import Answer, encode_request, exchange

CONCURRENCY = 6
TRIES = 3
"""How often what differs is asked again, alone: Salt loses answers when it is asked for many."""
PLACEHOLDER = re.compile(r"%([A-Z_]{3,})%")


class Side:
    """One of the two servers, with the sessions and values that requests refer to."""

    def __init__(self, name: str, server: ApiServer, jid: str) -> None:
        """
        Log in as everybody whom the corpus needs.

        Args:
            name: `salt` or `ours`.
            server: The running server.
            jid: A job that has run at its master.
        """
        self.name = name
        self.server = server
        master = server.master
        minted = server.send("POST", "/token", json_body=master.credentials()).value()
        self.values = {
            "SIDE": name,
            "JID": jid,
            "USER": master.username,
            "PASSWORD": master.password,
            "LOW_PASSWORD": master.credentials("low")["password"],
            "SCOPED_PASSWORD": master.credentials("scoped")["password"],
            "TOKEN": server.login(),
            "LOW_TOKEN": server.login("low"),
            "SALT_TOKEN": minted[0]["token"],
        }

    def answer(self, request: Request) -> Answer:
        """
        Send *request* and return the answer.

        A connection that ends without one gives an answer with the status 0.
        """
        values = dict(self.values)
        if request.needs_fresh:
            values["FRESH"] = self.server.login()
        try:
            return exchange(self.server.port, self._bytes(request, values))
        except Exception as error:  # noqa: BLE001 - whatever it was is the difference to report
            return Answer(0, (), type(error).__name__.encode())

    def _bytes(self, request: Request, values: Mapping[str, str]) -> bytes:
        if request.raw is not None:
            return request.raw
        body = request.body
        if body is not None:
            text = fill(body.decode("utf-8", "surrogateescape"), values)
            body = text.encode("utf-8", "surrogateescape")
        values = {**values, "LENGTH": str(len(body or b""))}
        headers = [(name, fill(value, values)) for name, value in request.headers]
        return encode_request(request.method, fill(request.path, values), headers, body)


def fill(text: str, values: Mapping[str, str]) -> str:
    """Return *text* with its placeholders filled."""
    return PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), text)


def exchange_all(sides: Iterable[Side], requests: Iterable[Request]) -> list[dict[str, Answer]]:
    """
    Send *requests* to all *sides*, several at a time, and return the answers of each by name.

    No side gets a request of a higher order before all have answered the lower ones.
    """
    by_order = attrgetter("order")
    sides, requests = list(sides), sorted(requests, key=by_order)
    groups = [list(group) for _, group in groupby(requests, key=by_order)]
    found: list[dict[str, Answer]] = [{} for _ in sides]
    with ExitStack() as stack:
        pools = [stack.enter_context(ThreadPoolExecutor(CONCURRENCY)) for _ in sides]
        for group in groups:
            pending = [
                {request.name: pool.submit(side.answer, request) for request in group}
                for side, pool in zip(sides, pools, strict=True)
            ]
            for answers, futures in zip(found, pending, strict=True):
                answers.update({name: future.result() for name, future in futures.items()})
    return found


def command(server: ApiServer, token: str, **chunk: Any) -> Any:
    """Run one chunk and return its result."""
    answer = server.send("POST", "/", headers={"X-Auth-Token": token}, json_body=[chunk])
    assert 200 == answer.status, answer
    return answer.value()["return"][0]
