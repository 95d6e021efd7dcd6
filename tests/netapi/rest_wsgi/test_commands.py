"""Commands through rest_wsgi, and what its documentation promises."""

import json
import shutil
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from wsgiref.types import WSGIEnvironment

import pytest

from saltapi.demo import PrivateMaster
from saltapi.netapi.rest_wsgi import RestWsgi
from tests.netapi.rest_wsgi.serving import ANSWER_SECONDS, ONE, PING, TWO, Door, token_of
from tests.waiting import eventually, scaled

# The documentation of 0.8.4


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
class TestManual:
    """
    The requests printed in 0.8.4, "rest_wsgi", "Usage examples".

    User, password and eauth are those of the test's master; what the page's margin has cut off
    the lines (the function, the address) is put back.
    """

    def curl(self, door: Door, login: dict[str, str], chunk: str) -> tuple[str, Any]:
        who = json.dumps(login)[1:-1]
        done = subprocess.run(
            [
                *("curl", "-sS", "-i", "-H", "Content-Type: application/json"),
                *("-d", f"[{{{who}, {chunk}}}]", f"localhost:{door.port}"),
            ],
            capture_output=True,
            text=True,
            timeout=scaled(ANSWER_SECONDS),
            check=True,
        )
        head, _, body = done.stdout.partition("\n\n")
        return head.splitlines()[0], json.loads(body)

    def test_ping(self, door: Door, login: dict[str, str]) -> None:
        """The basic `test.ping` gives the minions in one mapping."""
        status, body = self.curl(door, login, '"client": "local", "tgt": "*", "fun": "test.ping"')

        assert "HTTP/1.1 200 OK" == status
        assert {"return": [{ONE: True, TWO: True}]} == body

    def test_asynchronous_and_lookup(self, door: Door, login: dict[str, str]) -> None:
        """The asynchronous `test.ping` gives a jid, and the job can be looked up with it."""
        status, body = self.curl(
            door, login, '"client": "local_async", "tgt": "*", "fun": "test.ping"'
        )
        assert "HTTP/1.1 200 OK" == status
        (job,) = body["return"]
        assert {"jid", "minions"} == job.keys()
        assert [ONE, TWO] == sorted(job["minions"])

        look_up = f'"client": "runner", "fun": "jobs.lookup_jid", "jid": "{job["jid"]}"'
        both = {"return": [{ONE: True, TWO: True}]}
        eventually(lambda: self.curl(door, login, look_up) == ("HTTP/1.1 200 OK", both))


# Commands


def test_token(door: Door, master: PrivateMaster) -> None:
    """A Salt token in the chunk does as well as a password."""
    assert [{ONE: True, TWO: True}] == door.returns({**PING, "token": token_of(master)})


def test_one_chunk_without_a_list(door: Door, login: dict[str, str]) -> None:
    """A bare mapping counts as a list of one."""
    assert {"return": [{ONE: True, TWO: True}]} == door.ask(PING | login).body


def test_empty_lowstate(door: Door) -> None:
    """No command gives no result."""
    assert {"return": []} == door.ask([]).body


def test_results_in_order(door: Door, login: dict[str, str]) -> None:
    """Results stand in order, those of `local_batch` one by one among the others."""
    chunks: list[dict[str, Any]] = [
        {"client": "local_async", "tgt": ONE, "fun": "test.ping"},
        {"client": "local_batch", "tgt": "*", "fun": "test.ping", "batch": 1},
        {"client": "runner", "fun": "manage.up"},
        {"client": "wheel", "fun": "key.list_all"},
        {"client": "local_subset", "tgt": "*", "fun": "test.ping", "subset": 1},
        {"client": "local", "tgt": TWO, "fun": "test.echo", "arg": ["last"]},
    ]
    job, *batch, up, keys, subset, last = door.returns(*(chunk | login for chunk in chunks))

    assert [ONE] == job["minions"]
    assert [{ONE: True}, {TWO: True}] == sorted(batch, key=str)
    assert [ONE, TWO] == sorted(up)
    assert [ONE, TWO] == sorted(keys["data"]["return"]["minions"])
    assert [True] == list(subset.values())
    assert {TWO: "last"} == last


def test_no_match(door: Door, login: dict[str, str]) -> None:
    """A target that matches nothing is an empty mapping and no error, as in Salt."""
    assert [{}] == door.returns({**PING, "tgt": "nobody", **login})


def test_unknown_function(door: Door, login: dict[str, str]) -> None:
    """A function that the minion does not have is the minion's answer."""
    found = door.returns({"client": "local", "tgt": ONE, "fun": "no.such", **login})

    assert [{ONE: "'no.such' is not available."}] == found


def test_any_language(door: Door, login: dict[str, str]) -> None:
    """Text of any language goes in and comes out as UTF-8, not escaped."""
    chunk = {"client": "local", "tgt": ONE, "fun": "test.echo", "arg": ["größer ≥ 😀"], **login}

    assert [{ONE: "größer ≥ 😀"}] == door.returns(chunk)


@pytest.mark.long
def test_many_at_once(here: Callable[..., Any], login: dict[str, str]) -> None:
    """Thirty requests are answered at the same time, not one after the other."""
    count = 30

    class Meeting(RestWsgi):
        """Lets nobody on before all are there."""

        barrier = threading.Barrier(count)

        def _answer(self, environ: WSGIEnvironment) -> Any:
            self.barrier.wait(scaled(ANSWER_SECONDS))
            return super()._answer(environ)

    with here(Meeting) as door, ThreadPoolExecutor(count) as clients:
        # Thirty at once are slow: the master's own patience is for one.
        own = {"timeout": scaled(ANSWER_SECONDS)}
        chunk = {"client": "local", "tgt": ONE, "fun": "test.ping", **own, **login}
        found = list(clients.map(lambda _: door.returns(chunk), range(count)))

    assert [[{ONE: True}]] * count == found
