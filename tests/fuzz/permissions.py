"""Random `external_auth`."""

import random
from dataclasses import dataclass
from typing import Any

MINIONS = ["minion-1", "minion-2"]
NODEGROUPS = {"first": "L@minion-1", "second": "L@minion-2", "both": "N@first or N@second"}
MODULES = ["mark", "jobs"]
"""The second one takes the place of a runner module of Salt's that has rules of its own."""
FUNCTIONS = [f"{module}.{name}" for module in MODULES for name in "abc"]
GROUPS = ["red", "green", "blue"]
TARGETS = [
    *["*", "*", *MINIONS, *MINIONS, "minion-*", "minion-[1]", "minion-?", "nobody"],
    *["G@id:minion-1", "G@id:minion-*", "P@id:minion-[2]", "L@minion-2,nobody", "E@minion-[1]"],
    *["N@first", "N@both", "minion-1 or N@second", "not minion-1", "* and not G@id:minion-2"],
    *["S@127.0.0.1", "( minion-1 or minion-2 ) and not N@second", "L@minion-1,minion-2"],
]
PATTERNS = [
    *[*FUNCTIONS, "mark", "mark.*", "mark.*", "jobs", "jobs.*", r"(mark|jobs)\.(a|b)", ".*b"],
    *["mark.a$", "test.ping", ".*"],
]
BARE = ["a", "b", "c", "[ab]"]
VALUES = ["a", "b", "^a$", "1", ".*", None]


@dataclass(frozen=True, slots=True)
class World:
    """
    Who may run what.

    Attributes:
        users: Name -> the groups that the user is in.
        external_auth: The section of one eauth system.
    """

    users: dict[str, list[str]]
    external_auth: dict[str, list[Any]]


def world(rng: random.Random, users: int) -> World:
    """Return *users* users, with entries of their own, for patterns of names, groups and all."""
    names = [f"u{number}" for number in range(users)]
    entries = {name: _rules(rng) for name in names if rng.random() < 0.9}
    entries |= {f"{group}%": _rules(rng) for group in GROUPS}
    entries |= {f"u{digit}*": [_rule(rng)] for digit in rng.sample(range(1, 10), 2)}
    if rng.random() < 0.5:
        entries["*"] = [_rule(rng)]
    groups = {name: rng.sample(GROUPS, rng.choice([0, 0, 1, 2])) for name in names}
    return World(groups, entries)


def _rules(rng: random.Random) -> list[Any]:
    # What local_batch and local_subset ask the minions first.
    asked = ["test.ping", "sys.list_functions"] if rng.random() < 0.5 else []
    return asked + [_rule(rng) for _ in range(rng.randint(0, 6))]


def _rule(rng: random.Random) -> Any:
    kind = rng.random()
    if kind < 0.12:
        return rng.choice(PATTERNS)
    if kind < 0.7:
        return {rng.choice(TARGETS): _conditions(rng, PATTERNS)}
    if kind < 0.78:
        return rng.choice(["@runner", "@wheel", "@mark", "@jobs", "@runners", "@wheels"])
    if kind < 0.86:
        return {f"@{rng.choice(MODULES)}": _conditions(rng, BARE)}
    if kind < 0.97:
        return {rng.choice(["@runner", "@wheel", "@runners"]): _conditions(rng, PATTERNS)}
    return {}


def _conditions(rng: random.Random, functions: list[str]) -> Any:
    found = [_condition(rng, functions) for _ in range(rng.randint(1, 3))]
    return found[0] if rng.random() < 0.1 else found


def _condition(rng: random.Random, functions: list[str]) -> Any:
    function = rng.choice(functions)
    if rng.random() < 0.7:
        return function
    found = [_arguments(rng) for _ in range(rng.choice([1, 1, 2]))]
    return {function: found[0] if len(found) == 1 else found}


def _arguments(rng: random.Random) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if rng.random() < 0.7:
        found["args"] = [rng.choice(VALUES) for _ in range(rng.randint(1, 2))]
    if rng.random() < 0.5:
        found["kwargs"] = {rng.choice(["x", "name"]): rng.choice(VALUES)}
    return found
