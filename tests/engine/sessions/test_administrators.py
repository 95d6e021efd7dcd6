"""Who is an administrator: one table."""

from typing import Any

import pytest

from saltapi.engine.sessions.administrators import Administrators
from saltapi.errors import CannotStart
from saltapi.types import Session

ONE = {"external_auth": {"pam": {"ops": [".*"]}}}
TWO = {"external_auth": {"pam": {"ops": [".*"]}, "auto": {"*": ["test.*"]}}}


class Everything:
    """Says who may run everything, and counts how often it was asked."""

    def __init__(self, *users: tuple[str, str]) -> None:
        self.users = users
        self.asked = 0

    async def is_administrator(self, session: Session) -> bool:
        self.asked += 1
        return (session.eauth, session.name) in self.users


def session_of(eauth: str, name: str, token: str = "7" * 64) -> Session:
    return Session(token=token, name=name, eauth=eauth, start=0, expire=2e9)


@pytest.mark.parametrize(
    ("opts", "names", "eauth", "name", "expected"),
    [
        (ONE, ["ops"], "pam", "ops", True),
        (ONE, ["pam:ops"], "pam", "ops", True),
        (ONE, ["ops"], "pam", "Ops", False),
        (ONE, ["ops"], "auto", "ops", False),  # a token from before auto was taken away
        (ONE, ["auto:ops"], "auto", "ops", False),
        (ONE, ["auto:ops"], "pam", "ops", False),
        (ONE, [], "pam", "ops", False),
        (TWO, ["pam:ops"], "pam", "ops", True),
        (TWO, ["pam:ops"], "auto", "ops", False),
        (TWO, ["pam:ops"], "auto", "pam:ops", False),
        (TWO, ["pam:ops"], "pam", "pam:ops", False),
        (TWO, ["pam:a:b"], "pam", "a:b", True),
        (TWO, ["pam:*"], "pam", "ops", False),
        (TWO, [], "pam", "root", True),  # may run everything
        (TWO, [], "auto", "root", False),
        ({}, ["ops"], "pam", "ops", False),
        ({}, ["ops"], "", "ops", False),
    ],
)
async def test_administrators(
    opts: dict[str, Any], names: list[str], eauth: str, name: str, expected: bool
) -> None:
    """A name is that of one user of one eauth system; who may run everything needs none."""
    administrators = Administrators(opts, Everything(("pam", "root")), names)

    assert expected == await administrators.includes(session_of(eauth, name))


@pytest.mark.parametrize("name", ["ops", "ldap:ops", "pam:", ":ops", "ops:pam"])
def test_unclear_names(name: str) -> None:
    """Where there are several eauth systems, a name without one is refused."""
    with pytest.raises(CannotStart, match=r"^administrators: .*; write auto:.* or pam:"):
        Administrators(TWO, Everything(), [name])


async def test_memory() -> None:
    """The rules are read once in a while for each session."""
    rules = Everything(("pam", "root"))
    administrators = Administrators(TWO, rules)
    for _ in range(3):
        assert await administrators.includes(session_of("pam", "root"))
        assert not await administrators.includes(session_of("auto", "root", "8" * 64))

    assert 2 == rules.asked
