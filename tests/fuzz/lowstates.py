"""Random requests: who sends what, to which URL, in which form."""

import random
from dataclasses import dataclass, field
from typing import Any

from tests.fuzz.permissions import FUNCTIONS

TARGETS: list[tuple[Any, str]] = [
    *[("*", "glob"), ("minion-1", "glob"), ("minion-2", "glob"), ("minion-?", "glob")],
    *[("minion-[!1]", "glob"), ("minion-1,minion-2", "glob"), ("minion-1 ", "glob")],
    *[("nobody", "glob"), ("MINION-1", "glob"), (["minion-1"], "list")],
    *[(["minion-1", "minion-2"], "list"), ("minion-1,minion-2", "list")],
    *[("minion-1,nobody", "list"), ("minion-1,,minion-2", "list"), (" minion-1", "list")],
    *[(["minion-1", "minion-2,x"], "list"), ("id:minion-1", "grain"), ("id:minion-*", "grain")],
    *[("id|minion-2", "grain"), ("127.0.0.1", "ipcidr"), ("127.0.0.0/8", "ipcidr")],
    *[("first", "nodegroup"), ("both", "nodegroup"), ("unknown", "nodegroup")],
    *[("N@first", "compound"), ("N@first or minion-2", "compound"), ("N@both", "compound")],
    *[(["minion-1 or N@second"], "compound"), (["minion-1", "or", "minion-2"], "compound")],
    *[("G@id:minion-2 or minion-1", "compound"), ("minion-1 and not G@id:minion-2", "compound")],
    *[("not minion-1", "compound"), ("L@minion-1,minion-2", "compound")],
    *[("( minion-1 or minion-2 ) and G@id:*", "compound"), ("S@127.0.0.1", "compound")],
    *[("minion-1 minion-2", "compound"), ("minion-1\tor\tminion-2", "compound")],
    *[("minion-1\u00a0or\u00a0minion-2", "compound"), ("L@a,,minion-2", "compound")],
    *[("G|@id|minion-2", "compound"), ("minion-1 or not L@minion-1", "compound")],
    *[("*", "compound"), ("minion-1 or minion-2", "glob"), ("x:y", "pillar_exact")],
]
REGEX_TARGETS: list[tuple[Any, str]] = [
    *[("minion-1|minion-2", "pcre"), (".*2", "pcre"), ("id:.*[12]", "grain_pcre")],
    *[("E@minion-[1-2]", "compound"), ("E@a,minion-2", "compound")],
]
"""Looking these up takes a process of its own, so they come seldom."""
ARGUMENTS: list[Any] = [
    *["a", "a", "b", "1", 1, "x=1", "x=a", "name=a", "a=1", "x==1", "x= 1", "a b", "", None, True],
    *[["a"], {"x": 1}, "a\nx=1", "[a]", "{x: a}", "é=1", "x.y=1", "1.0", "None", " a", "--x"],
    *[{"__kwarg__": True, "x": "1"}, {"__kwarg__": True, "name": "a"}, {"__kwarg__": True}],
    *[{"__kwarg__": False, "x": 1}, {"__kwarg__": "True", "x": 1}, {"__kwarg__": 1, "x": "a"}],
]
PLAIN = ["a", "a", "b", 1]
KWARGS: list[dict[str, Any]] = [
    {"x": "1"},
    {"x": 1},
    {"name": "a"},
    {"name": "b", "x": "a"},
    {"y": "a"},
    {"__kwarg__": False},
    {"__pub_jid": "1"},
    {"arg": ["a"]},
    {"fun": "mark.b"},
]
CLIENTS = [
    *["local"] * 9,
    *["local_async"] * 5,
    *["local_batch"] * 2,
    *["local_subset"] * 2,
    *["runner"] * 3,
    *["wheel"] * 3,
    *["runner_async", "wheel_async"],
]
DOORS = {
    "rest_cherrypy": ["/", "/", "/run", "/minions"],
    "rest_tornado": ["/", "/", "/run", "/minions"],
    "rest_asgi": ["/", "/run", "/minions", "/v1/run", "/v1/run", "rerun"],
    "rest_wsgi": ["/"],
    "client": [""],
}
BODIES = ["json"] * 6 + ["yaml", "form", "form"]


@dataclass(frozen=True, slots=True)
class Case:
    """
    One request.

    Attributes:
        user: Who sends it.
        door: The netapi module, or `client` for `AsyncAPIClient`.
        path: The URL; `rerun` for running an earlier job again.
        body: `json`, `yaml` or `form`.
        by_password: Whether credentials go along, instead of a token.
        lowstate: The chunks, without credentials.
    """

    user: str
    door: str
    path: str
    body: str
    by_password: bool
    lowstate: list[dict[str, Any]] = field(default_factory=list)


def case(rng: random.Random, users: list[str]) -> Case:
    """Return a request of one of *users*."""
    door = rng.choice(list(DOORS))
    path = rng.choice(DOORS[door])
    body = rng.choice(BODIES) if door not in {"rest_wsgi", "client"} else "json"
    chunks = 1 if body == "form" or door == "client" else rng.choice([1, 1, 1, 1, 2, 3])
    lowstate = [chunk(rng, local=path == "/minions") for _ in range(chunks)]
    by_password = (path == "/run" or door in {"rest_wsgi", "client"}) and rng.random() < 0.3
    return Case(rng.choice(users), door, path, body, by_password, lowstate)


def chunk(rng: random.Random, *, local: bool) -> dict[str, Any]:
    """Return a chunk without credentials, for minions if it must be *local*."""
    client = "local_async" if local else rng.choice(CLIENTS)
    if client.startswith("local"):
        return {"client": client, **_target(rng), **_local_call(rng), **_extras(rng, client)}
    found = {"client": client, "fun": _function(rng), "arg": _args(rng)}
    if rng.random() < 0.5:
        found |= {"kwarg": rng.choice(KWARGS)}
    if rng.random() < 0.3:
        found |= rng.choice(KWARGS)
    if rng.random() < 0.5:
        found["arg"] = []
    return found


def _target(rng: random.Random) -> dict[str, Any]:
    tgt, tgt_type = rng.choice(REGEX_TARGETS if rng.random() < 0.02 else TARGETS)
    found = {"tgt": tgt, rng.choice(["tgt_type"] * 9 + ["expr_form"]): tgt_type}
    if rng.random() < 0.05 or "|" in str(tgt):
        found["delimiter"] = "|"
    return found


def _function(rng: random.Random) -> str:
    return rng.choice(FUNCTIONS) if rng.random() < 0.95 else "saltutil.find_job"


def _local_call(rng: random.Random) -> dict[str, Any]:
    form = rng.random()
    if form < 0.45:
        found: dict[str, Any] = {"fun": _function(rng), "arg": _args(rng)}
    elif form < 0.95:
        funs = [_function(rng) for _ in range(rng.randint(1, 3))]
        found = {"fun": funs, "arg": [_args(rng) for _ in range(len(funs))]}
        if rng.random() < 0.1:
            found["arg"].append(_args(rng))
        if rng.random() < 0.1:
            del found["arg"]
    else:
        one, two = _function(rng), _function(rng)
        odd: list[Any] = [f"{one},{two}", [one, [two]], {one: 1, two: 2}, f"['{one}', '{two}']"]
        odd += [[f"{one} {two}"], f"{one}\n{two}", one.upper(), f" {one}", [one, None], f"{one}."]
        found = {"fun": rng.choice(odd), "arg": [_args(rng), _args(rng)]}
    if rng.random() < 0.2:
        found["kwarg"] = rng.choice(KWARGS)
    return found


def _args(rng: random.Random) -> Any:
    if rng.random() < 0.05:
        return rng.choice(ARGUMENTS)
    pool = ARGUMENTS if rng.random() < 0.5 else PLAIN
    return [rng.choice(pool) for _ in range(rng.choice([0, 0, 1, 1, 1, 2, 3]))]


def _extras(rng: random.Random, client: str) -> dict[str, Any]:
    """Return what else a chunk for minions may have; nobody waits long for silent ones."""
    found: dict[str, Any] = {"timeout": 2, "gather_job_timeout": 1}
    if client == "local_batch":
        found["batch"] = rng.choice(["1", "50%", "2"])
    if client == "local_subset":
        found["subset"] = rng.choice([1, 2])
    if rng.random() < 0.1:
        more: list[dict[str, Any]] = [{"metadata": {"a": 1}}, {"full_return": True}]
        more += [{"module_executors": ["direct_call"]}, {"ret": "local_cache"}, {"start_event": 1}]
        more += [{"user": "root"}, {"auth_list": [".*"]}, {"key": "x"}, {"kwargs": {"fun": "x"}}]
        found |= rng.choice(more)
    return found
