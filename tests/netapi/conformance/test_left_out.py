"""Minions that were left out because they did not answer: in every module the answer says so."""

import pytest

from tests.engine.commands.clients import SOON
from tests.netapi.conformance.engines import ONE, Equipped

NAME = "X-Salt-Missing"


@pytest.mark.parametrize("client", ["local_batch", "local_subset"])
def test_named(equipped: Equipped, client: str) -> None:
    """Who does not say in time that they are there is named in a header."""
    chunk = {"client": client, "tgt": [ONE, "ghost"], "tgt_type": "list", "fun": "test.ping"}
    answer = equipped.run({**chunk, **SOON})

    assert 200 == answer.status
    assert {"return": [{ONE: True}]} == answer.value()
    assert "ghost" == answer.header(NAME)


def test_nobody(equipped: Equipped) -> None:
    """Where all have answered there is no such header."""
    answer = equipped.run({"client": "local_batch", "tgt": ONE, "fun": "test.ping"})

    assert {"return": [{ONE: True}]} == answer.value()
    assert None is answer.header(NAME)
