"""
`saltapi check --against-salt-api`: our modules beside Salt's, with one config on the same master.

Both daemons are started on ports of their own, asked the same requests that change nothing, and
ended. The differential suite of the tests stands on the same pieces: what a request is (`request`),
how two answers are compared (`compare`), and which differences are meant (`expected*.yaml`).
"""

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from saltapi.check.against.compare import HERE, Expected, expected_differences, problems
from saltapi.check.against.request import Request
from saltapi.check.against.safe import corpus
from saltapi.check.against.servers import PEERS, both
from saltapi.check.against.sides import NO_ANSWER, TRIES, Side, exchange_all
from saltapi.check.line import Line
from saltapi.errors import CannotStart
from saltapi.types import Opts

EXPECTED = {
    "rest_cherrypy": [HERE / "expected.yaml"],
    "rest_tornado": [HERE / "expected_tornado.yaml"],
    "rest_asgi": [HERE / "expected_asgi.yaml", HERE / "expected.yaml"],
}
"""Files with the differences that are meant, by our module."""
ENVIRONMENT = "SALTAPI_TOKEN"
SHOWN = 30
"""How many requests with differences are told, for each module."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the comparison to the *parser* of `saltapi check`."""
    add = parser.add_argument
    add(
        "--against-salt-api",
        action="store_true",
        help="start Salt's own salt-api and saltapi on free ports instead, and compare them",
    )
    add(
        "--token-file",
        metavar="FILE",
        help=f"a token of Salt's for that, `-` is standard input (default: ${ENVIRONMENT});"
        " alone: a token of an identity provider's, to say whose it would be, and why not",
    )
    add("--tgt", metavar="GLOB", default="*", help="the minions that are asked once (default: *)")


def lines(opts: Opts, args: argparse.Namespace) -> Iterator[Line]:
    """
    Yield what both answer otherwise, a line for each request, and how much they answer alike.

    Raises:
        CannotStart: There is no token, it is not taken, no minion answers, or a daemon does not.
    """
    token = _token(args.token_file)
    modules = [
        name for name, peer in PEERS.items() if isinstance(opts.get(name), dict) and opts.get(peer)
    ]
    if "rest_wsgi" in opts:
        yield Line("note", "rest_wsgi: not compared, since Salt's own cannot answer on Python 3.")
    if not modules:
        salts = " nor ".join(sorted(set(PEERS.values())))
        yield Line("error", f"{opts['conf_file']} has neither {salts}.")
        return
    with both(opts, modules, token) as sides_of:
        for module, sides in sides_of.items():
            minion = _a_minion(sides[1], args.tgt)
            for side in sides:
                side.values["MINION"] = minion
            requests = _asked(corpus(PEERS[module], args.tgt, minion), opts[module])
            yield from _differences(module, sides, requests)


def _token(path: str | None) -> str:
    if path is None:
        token = os.environ.get(ENVIRONMENT, "")
    else:
        try:
            token = sys.stdin.read() if path == "-" else Path(path).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise CannotStart(f"The token cannot be read: {error}") from error
    if len(token.split()) != 1:
        raise CannotStart(
            "--against-salt-api needs a token of Salt's: name its file with --token-file."
            " `salt -a pam -T '*' test.ping` asks who you are, and writes one to ~/.salt_token."
        )
    return token.strip()


def _a_minion(ours: Side, tgt: str) -> str:
    """Return the first minion of *tgt* that answers."""
    (everybody,) = (r for r in corpus("rest_cherrypy", tgt, "") if r.name == "command everybody")
    answer = ours.answer(everybody)
    if answer.status == 401:
        raise CannotStart(
            "The token is not taken: it is wrong, it has expired, or its user may not run test.ping"
            f" on {tgt!r}."
        )
    value = answer.value() if answer.status == 200 else {"return": [{}]}
    found = value["return"][0]
    results = found.items() if isinstance(found, dict) else ()
    minions = [name for name, result in results if result is True]
    if not minions:
        raise CannotStart(
            f"No minion of {tgt!r} answers a test.ping of this token's user: {answer.body!r:.300}."
            " Name others with --tgt."
        )
    return str(min(minions))


def _asked(requests: list[Request], section: dict[str, object]) -> list[Request]:
    """Return the requests without those whose answers are the config's own affair."""
    left_out = ("preflight", "origin") if section.get("cors_origin") else ()
    return [request for request in requests if not request.name.startswith(left_out)]


def _differences(module: str, sides: list[Side], requests: list[Request]) -> Iterator[Line]:
    expected = [one for path in EXPECTED[module] for one in expected_differences(path)]
    salts, ours = exchange_all(sides, requests)

    def found(request: Request) -> list[str]:
        if salts[request.name].status == NO_ANSWER:
            return []
        all_of_it = problems(module, request, salts[request.name], ours[request.name], expected)
        return [line for line in all_of_it if not line.startswith("order: ")]  # of minions

    for _ in range(TRIES):
        for request in filter(found, requests):
            salts[request.name], ours[request.name] = (side.answer(request) for side in sides)
    differing = {request.name: told for request in requests if (told := found(request))}
    for name, told in list(differing.items())[:SHOWN]:
        yield Line("error", f"{module}: {name}: {'; '.join(told)}")
    if len(differing) > SHOWN:
        yield Line("error", f"{module}: {len(differing) - SHOWN} requests more with differences.")
    silent = sum(answer.status == NO_ANSWER for answer in salts.values())
    if silent:
        yield Line("note", f"{module}: Salt's own has not answered {silent} requests in time.")
    yield _summary(module, len(requests) - silent, len(differing), expected)


def _summary(module: str, asked: int, differing: int, expected: list[Expected]) -> Line:
    meant = sorted({entry.id for entry in expected if entry.used})
    what = f"{differing} have differences that are not on it" if differing else "no others"
    return Line(
        "error" if differing else "ok",
        f"{module}: {asked} requests to Salt's own and to saltapi; differences on the list in"
        f" docs/compatibility.md: {', '.join(meant)}; {what}.",
    )
