"""Salt's server and ours, and requests sent to both."""

import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import groupby
from operator import attrgetter

from saltapi.check.against.request import Request
from saltapi.check.against.wire import Answer, encode_request, exchange

CONCURRENCY = 6
TRIES = 3
"""How often what differs is asked again, alone: Salt loses answers when it is asked for many."""
ANSWER_SECONDS = 60.0
NO_ANSWER = 0
"""The status that stands for none."""
PLACEHOLDER = re.compile(r"%([A-Z_]{3,})%")


class Side:
    """One of the two servers, with the sessions and values that requests refer to."""

    def __init__(
        self,
        port: int,
        values: Mapping[str, str],
        *,
        prefix: str = "",
        seconds: float = ANSWER_SECONDS,
    ) -> None:
        """
        Args:
            port: Where it listens, on loopback.
            values: What the placeholders of requests stand for.
            prefix: Stands before every path; without a slash at its end.
            seconds: How long an answer may take.
        """
        self.port = port
        self.values = dict(values)
        self.prefix = prefix
        self.seconds = seconds

    def answer(self, request: Request) -> Answer:
        """
        Send *request* and return the answer.

        A connection that ends without one gives an answer with the status `NO_ANSWER`.
        """
        try:
            data = self.encode(request, self.values_for(request))
            return exchange(self.port, data, timeout=self.seconds)
        except Exception as error:  # noqa: BLE001 - whatever it was is the difference to report
            return Answer(NO_ANSWER, (), type(error).__name__.encode())

    def values_for(self, request: Request) -> Mapping[str, str]:  # noqa: ARG002 - for who derives
        """Return what the placeholders of *request* stand for."""
        return self.values

    def encode(self, request: Request, values: Mapping[str, str]) -> bytes:
        """Return the bytes of *request* with its placeholders filled."""
        if request.raw is not None:
            return request.raw
        body = request.body
        if body is not None:
            text = fill(body.decode("utf-8", "surrogateescape"), values)
            body = text.encode("utf-8", "surrogateescape")
        values = {**values, "LENGTH": str(len(body or b""))}
        headers = [(name, fill(value, values)) for name, value in request.headers]
        path = self.prefix + fill(request.path, values)
        return encode_request(request.method, path, headers, body)


def fill(text: str, values: Mapping[str, str]) -> str:
    """Return *text* with its placeholders filled."""
    return PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), text)


def exchange_all(sides: Sequence[Side], requests: Iterable[Request]) -> list[dict[str, Answer]]:
    """
    Send *requests* to all *sides*, several at a time, and return the answers of each by name.

    No side gets a request of a higher order before all have answered the lower ones.
    """
    by_order = attrgetter("order")
    groups = [list(group) for _, group in groupby(sorted(requests, key=by_order), key=by_order)]
    found: list[dict[str, Answer]] = [{} for _ in sides]
    with ExitStack() as stack:
        pools = [stack.enter_context(ThreadPoolExecutor(CONCURRENCY)) for _ in sides]
        for group in groups:
            pending = [
                {request.name: pool.submit(side.answer, request) for request in group}
                for side, pool in zip(sides, pools, strict=True)
            ]
            try:
                for answers, futures in zip(found, pending, strict=True):
                    answers.update({name: future.result() for name, future in futures.items()})
            except BaseException:
                for pool in pools:
                    pool.shutdown(wait=False, cancel_futures=True)
                raise
    return found
