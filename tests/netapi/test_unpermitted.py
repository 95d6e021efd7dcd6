"""
What a user may not run is not run, whatever it is wrapped in: real minions must not have done it.

Each attack is sent to every module, in every way that publishes. What it would do leaves a file
behind; at the end no such file may be there.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from saltapi import APIClient, config
from saltapi.demo import PrivateMaster
from saltapi.errors import AuthorizationFailed, SaltApiError
from tests.apis import OURS, ApiServer
from tests.waiting import eventually, scaled
from tests.wire import Answer

MODULES = ["rest_cherrypy", "rest_tornado", "rest_asgi", "rest_wsgi"]
ONE, TWO = "minion-1", "minion-2"
JID = "20200101000000000000"
READY_SECONDS = 60.0

USERS: dict[str, list[Any]] = {
    "nothing": [],
    "ping": ["test.ping"],
    "sleepers": [{"*": ["test.*"]}],
    "first": [{ONE: [".*"]}],
    "halves": [{ONE: ["cmd.run", "test.ping"]}, {TWO: ["test.ping"]}],
    "echoes": [{"*": [{"cmd.run": {"args": ["echo"]}}]}],
    "lists": [{"minion-*": [{"test.arg": {"args": ["a"]}}, "test.ping"]}],
}
"""Who may run what. `first` may run everything, but on one minion."""


@pytest.fixture(scope="module")
def marks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory that attacks leave files in, if they work."""
    return tmp_path_factory.mktemp("marks")


@pytest.fixture(scope="module")
def target(marks: Path) -> Iterator[PrivateMaster]:
    """A master with two minions; when all is done, no minion has done what it must not."""
    options = {"nodegroups": {"second": f"L@{TWO}"}, "netapi_returners": ["local_cache"]}
    with PrivateMaster(users=USERS, options=options) as master:
        master.wait_ready(timeout=scaled(READY_SECONDS))
        yield master
        client = APIClient(config.load(master.config_dir))
        with client:
            eventually(lambda: not any(everything(client, master, "saltutil.running").values()))
        assert [] == sorted(path.name for path in marks.iterdir())


def everything(client: APIClient, master: PrivateMaster, fun: str, *arg: Any) -> Any:
    """Return what a function gives on all minions, run by who may run everything."""
    return client.local("*", fun, list(arg), **master.credentials())


class Attacker:
    """Sends commands of one user to one module."""

    def __init__(self, api: ApiServer) -> None:
        self.api = api
        self._tokens: dict[str, str] = {}

    def token(self, name: str | None) -> str:
        """Return a session of this user."""
        key = name or ""
        if key not in self._tokens:
            self._tokens[key] = self.api.login(name)
        return self._tokens[key]

    def run(self, name: str | None, chunk: dict[str, Any]) -> list[Answer]:
        """Return the answers to *chunk* at every URL that takes one."""
        credentials = self.api.master.credentials(name)
        if self.api.module == "rest_wsgi":
            return [self.api.send("POST", "/", json_body=[{**chunk, **credentials}])]
        headers = {"X-Auth-Token": self.token(name)}
        found = [self.api.send("POST", "/", headers=headers, json_body=[chunk])]
        if self.api.module != "rest_tornado":  # whose URL takes a token alone
            found.append(self.api.send("POST", "/run", json_body=[{**chunk, **credentials}]))
        if chunk["client"] == "local_async":
            found.append(self.api.send("POST", "/minions", headers=headers, json_body=[chunk]))
        if self.api.module == "rest_asgi":
            found.append(self.api.send("POST", "/v1/run", headers=headers, json_body=[chunk]))
            headers["Idempotency-Key"] = json.dumps([name, chunk])[:200].replace('"', "'")
            found.append(self.api.send("POST", "/v1/run", headers=headers, json_body=[chunk]))
            found.append(self.api.send("POST", "/v1/run", headers=headers, json_body=[chunk]))
        return found

    def check(self, name: str, chunk: dict[str, Any]) -> dict[str, Any]:
        """Return what `/v1/check` says to *chunk*."""
        headers = {"X-Auth-Token": self.token(name)}
        answer = self.api.send("POST", "/v1/check", headers=headers, json_body=chunk)
        assert 200 == answer.status, answer
        found: dict[str, Any] = answer.value()["checks"][0]
        return found


@pytest.fixture(scope="module", params=MODULES)
def attacker(request: pytest.FixtureRequest, target: PrivateMaster) -> Iterator[Attacker]:
    with ApiServer(target, OURS, module=request.param) as server:
        yield Attacker(server)


def refused(answer: Answer) -> bool:
    """Return whether nothing was run: rest_tornado says so in its list of results."""
    if answer.status in {400, 401, 403}:
        return True
    text = answer.body.decode()
    return 200 == answer.status and "Failed to authenticate" == "".join(json.loads(text)["return"])


def touch(marks: Path, name: str) -> list[Any]:
    """Return the arguments of `cmd.run` that leave a file of each minion behind."""
    return [f"touch {marks}/{name}-{{{{ grains.id }}}}", {"__kwarg__": True, "template": "jinja"}]


LISTS: dict[str, tuple[str, Callable[[list[Any]], dict[str, Any]]]] = {
    "find_job first": (
        "nothing",
        lambda arg: {"fun": ["saltutil.find_job", "cmd.run"], "arg": [[JID], arg]},
    ),
    "find_job last": (
        "ping",
        lambda arg: {"fun": ["cmd.run", "saltutil.find_job"], "arg": [arg, [JID]]},
    ),
    "allowed first": ("ping", lambda arg: {"fun": ["test.ping", "cmd.run"], "arg": [[], arg]}),
    "allowed last": ("sleepers", lambda arg: {"fun": ["cmd.run", "test.ping"], "arg": [arg, []]}),
    "one alone": ("ping", lambda arg: {"fun": ["cmd.run"], "arg": [arg]}),
    "the same twice": (
        "sleepers",
        lambda arg: {"fun": ["test.ping", "test.ping", "cmd.run"], "arg": [[], [], arg]},
    ),
    "elsewhere allowed": (
        "halves",
        lambda arg: {"fun": ["test.ping", "cmd.run"], "arg": [[], arg]},
    ),
    "other arguments": (
        "echoes",
        lambda arg: {"fun": ["cmd.run", "cmd.run"], "arg": [["echo a"], arg]},
    ),
    "swapped arguments": (
        "echoes",
        lambda arg: {"fun": ["cmd.run"], "arg": [arg, ["echo a"]]},
    ),
    "comma": ("ping", lambda arg: {"fun": "test.ping,cmd.run", "arg": [[], arg]}),
    "blank": ("ping", lambda arg: {"fun": ["test.ping cmd.run"], "arg": [arg]}),
    "nested": ("ping", lambda arg: {"fun": ["test.ping", ["cmd.run"]], "arg": [[], [arg]]}),
    "mapping": ("ping", lambda arg: {"fun": {"test.ping": 1, "cmd.run": 2}, "arg": [[], arg]}),
    "text of a list": ("ping", lambda arg: {"fun": "['test.ping', 'cmd.run']", "arg": [[], arg]}),
    "wide letters": ("ping", lambda arg: {"fun": ["test.ping", "\uff43md.run"], "arg": [[], arg]}),
}
CLIENTS: list[dict[str, Any]] = [
    {"client": "local"},
    {"client": "local_async"},
    {"client": "local_batch", "batch": "1"},
    {"client": "local_subset", "subset": 2},
]


@pytest.mark.parametrize("name", LISTS)
def test_lists(attacker: Attacker, marks: Path, name: str) -> None:
    """Of a list every function must be allowed, with its own arguments, on every way."""
    user, chunk = LISTS[name]
    for number, client in enumerate(
        CLIENTS if name in {"find_job first", "comma"} else CLIENTS[:2]
    ):
        attack = {**client, "tgt": "*", **chunk(touch(marks, f"list-{number}"))}
        answers = attacker.run(user, attack)
        assert [] == [answer for answer in answers if not refused(answer)]
        if attacker.api.module == "rest_asgi" and name not in {
            *("comma", "blank", "nested", "mapping", "text of a list", "wide letters"),
            "swapped arguments",
        }:
            assert not attacker.check(user, attack)["allowed"]


def test_lists_in_forms(attacker: Attacker, marks: Path) -> None:
    """A field that comes twice is a list."""
    if attacker.api.module == "rest_wsgi":
        pytest.skip("takes JSON alone")
    form = [
        *[("client", "local"), ("tgt", "*"), ("fun", "saltutil.find_job"), ("fun", "cmd.run")],
        *[("arg", f"['{JID}']"), ("arg", f"['touch {marks}/form']")],
    ]
    credentials = list(attacker.api.master.credentials("nothing").items())
    for path, extra in (("/", []), ("/run", credentials), ("/minions", [])):
        headers = {
            "X-Auth-Token": attacker.token("nothing"),
            "Content-Type": "application/x-www-form-urlencoded",
        }
        body = urlencode([*form, *extra]).encode()
        assert refused(attacker.api.send("POST", path, headers=headers, body=body))


def test_allowed_lists(attacker: Attacker) -> None:
    """A list whose functions are all allowed runs."""
    chunk = {"client": "local", "tgt": ONE, "fun": ["test.ping", "test.arg"], "arg": [[], ["a"]]}
    for user in ("sleepers", "first", None):
        answers = attacker.run(user, chunk)
        assert {answer.status for answer in answers} <= {200, 202}
        found = answers[0].value()["return"][0][ONE]
        assert (True, ["a"]) == (found["test.ping"], found["test.arg"]["args"])


TARGETS: dict[str, dict[str, Any]] = {
    "comma in a name": {"tgt": [ONE, f",{TWO},"], "tgt_type": "list"},
    "comma in a glob": {"tgt": f"minion-[2,{ONE},x]", "tgt_type": "glob"},
    "comma in a word": {"tgt": f"minion-[2,{ONE},x]", "tgt_type": "compound"},
    "comma in a word of a list": {"tgt": [f"minion-[2,{ONE},x]"], "tgt_type": "compound"},
    "nodegroup in a word": {"tgt": [ONE, "or nowhere or N@second"], "tgt_type": "compound"},
    "both": {"tgt": f"{ONE} or {TWO}", "tgt_type": "compound"},
    "delimiter": {"tgt": "a|b", "tgt_type": "pillar_pcre", "delimiter": "|"},
}


@pytest.mark.parametrize("name", TARGETS)
def test_targets(attacker: Attacker, marks: Path, name: str) -> None:
    """What the master takes for one minion is no other one to the minions."""
    chunk = {"client": "local_async", "fun": "cmd.run", "arg": touch(marks, "target")}
    answers = attacker.run("first", {**chunk, **TARGETS[name]})

    assert [] == [answer for answer in answers if not refused(answer)]


def test_published_as_checked(attacker: Attacker, target: PrivateMaster) -> None:
    """Who is limited to some minions publishes for those that were found, by their names."""
    chunk = {"client": "local_async", "fun": "test.ping"}
    grain = {"tgt": f"G@id:* and {ONE}", "tgt_type": "compound"}
    for user, expected in (("first", ([ONE], "list")), (None, (grain["tgt"], "compound"))):
        started = attacker.run(user, {**chunk, **grain})[0].value()["return"][0]
        with APIClient(config.load(target.config_dir)) as client:
            job = client.runner("jobs.list_job", jid=started["jid"], **target.credentials())
        assert expected == (job["Target"], job["Target-type"])


TRAVELS: dict[str, dict[str, Any]] = {
    "ret": {"ret": "rawfile_json"},
    "ret with a listed one": {"ret": "local_cache,rawfile_json"},
    "ret_kwargs": {"ret": "local_cache", "ret_kwargs": {"filename": "x"}},
    "ret_config": {"ret_config": "other"},
    "module_executors": {"module_executors": ["sudo"]},
    "module_executors as text": {"module_executors": "sudo"},
    "executor_opts": {"executor_opts": {"name": "x"}},
    "nocache": {"nocache": True},
    "id": {"id": "x"},
    "master_id": {"master_id": "x"},
    "auth_list": {"auth_list": [".*"]},
    "metadata": {"metadata": {"x": "y" * 20_000}},
}


@pytest.mark.parametrize("name", TRAVELS)
def test_what_travels(attacker: Attacker, marks: Path, name: str) -> None:
    """What minions do with a result is for those who may run everything on them."""
    raw = {"ret_kwargs": {"filename": f"{marks}/ret"}} if "rawfile" in str(TRAVELS[name]) else {}
    for client in CLIENTS if name == "ret" else CLIENTS[:2]:
        chunk = {**client, "tgt": "*", "fun": "test.ping", **TRAVELS[name], **raw}
        answers = attacker.run("sleepers", chunk)
        assert [] == [answer for answer in answers if not refused(answer)]
    if attacker.api.module == "rest_asgi" and name not in {
        "id",
        "master_id",
        "auth_list",
        "metadata",
    }:
        assert not attacker.check("sleepers", chunk)["allowed"]


def test_returners(attacker: Attacker, tmp_path: Path) -> None:
    """Who may run everything on the target has results go anywhere; others where it is listed."""
    kwargs = {"ret": "rawfile_json", "ret_kwargs": {"filename": str(tmp_path / "file")}}
    chunk = {"client": "local", "tgt": ONE, "fun": "test.ping"}
    for user, extra in ((None, kwargs), ("first", kwargs), ("ping", {"ret": "local_cache"})):
        answers = attacker.run(user, {**chunk, "metadata": {"a": 1}, **extra})
        assert {answer.status for answer in answers} <= {200, 202}
        assert {ONE: True} == answers[0].value()["return"][0]
    eventually((tmp_path / "file").exists)
    assert refused(attacker.run("first", {**chunk, "tgt": "*", **kwargs})[0])


ARGUMENTS = [
    ["echo=1", "{touch}"],
    ["echo 1", {"__kwarg__": True, "x": 1}, {"__kwarg__": True, "cmd": "{touch}"}],
    [{"__kwarg__": True, "echo": 1}, "{touch}"],
    [{"__kwarg__": 1, "cmd": "{touch}"}],
]


@pytest.mark.parametrize("arg", ARGUMENTS, ids=str)
def test_arguments(attacker: Attacker, marks: Path, arg: list[Any]) -> None:
    """A rule about arguments is about those that the minion takes."""
    text = json.dumps(arg).replace("{touch}", f"touch {marks}/argument")
    chunk = {"client": "local", "tgt": "*", "fun": "cmd.run", "arg": json.loads(text)}

    assert [] == [a for a in attacker.run("echoes", chunk) if not refused(a)]


def test_allowed_arguments(attacker: Attacker) -> None:
    """What a rule about arguments allows runs; without such a rule `name=value` may be there."""
    run = {"client": "local", "tgt": ONE, "fun": "cmd.run"}
    one = attacker.run("echoes", {**run, "arg": ["echo a"], "kwarg": {"python_shell": False}})
    two = attacker.run("halves", {**run, "arg": ["echo a", "python_shell=False"]})

    assert {ONE: "a"} == one[0].value()["return"][0] == two[0].value()["return"][0]


PROBES = [
    {"tgt": f"G@id:{TWO} and {TWO}", "tgt_type": "compound"},
    {"tgt": f"G@id:nobody and {TWO}", "tgt_type": "compound"},
    {"tgt": f"id:{TWO}", "tgt_type": "grain"},
    {"tgt": "id:nobody", "tgt_type": "grain"},
    *[
        {"tgt": "second", "tgt_type": "nodegroup"},
        {"tgt": "nowhere", "tgt_type": "nodegroup"},
        {"tgt": "N@nowhere", "tgt_type": "compound"},
    ],
    {"tgt": TWO, "tgt_type": "glob"},
    {"tgt": "minion-3", "tgt_type": "glob"},
    {"tgt": "minion-3", "tgt_type": "list"},
    {"tgt": "minion-[3]", "tgt_type": "pcre"},
]
"""Targets that somebody may not run anything on: some match a minion, others none."""


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: str(client["client"]))
def test_one_answer(attacker: Attacker, client: dict[str, Any]) -> None:
    """Who may not run it is not told whether there are such minions."""
    found: set[tuple[int, str]] = set()
    for probe in PROBES:
        answers = attacker.run("first", {**client, "fun": "test.ping", **probe})[:1]
        assert [] == [answer for answer in answers if not refused(answer)]
        found.update((a.status, _without_id(a)) for a in answers)
    for probe in PROBES[:7]:
        everybody = {**client, "fun": "saltutil.find_job", "arg": [JID], **probe}
        assert refused(attacker.run("nothing", everybody)[0])
    assert 1 == len(found)


def test_one_verdict(attacker: Attacker) -> None:
    """`/v1/check` says the same of minions that are not there and of those of others."""
    if attacker.api.module != "rest_asgi":
        pytest.skip("has no such URL")
    checks = [attacker.check("first", {"fun": "test.ping", **probe}) for probe in PROBES]
    own = attacker.check("first", {"fun": "test.ping", "tgt": ONE})

    for check in checks:
        check.pop("tgt"), check.pop("tgt_type")
    assert [checks[0]] * len(checks) == checks
    assert (False, [], []) == tuple(checks[0][key] for key in ("allowed", "minions", "missing"))
    assert own["allowed"]


def test_nodegroups(attacker: Attacker) -> None:
    """Which nodegroups there are is told, on every way, to whom may run it on all minions."""
    chunk = {"client": "local", "fun": "test.ping", **PROBES[5]}
    answers = attacker.run("first", chunk)
    told = attacker.run(None, chunk)

    assert all(refused(answer) and b"no nodegroup" not in answer.body for answer in answers)
    assert all(b"no nodegroup" in answer.body for answer in told)


def test_no_minions_of_ones_own(attacker: Attacker) -> None:
    """Where a rule names the minion, and for who may run it everywhere, there is none."""
    chunk = {"client": "local", "fun": "test.ping", "tgt": "minion-9"}
    for user in ("lists", None):
        answer = attacker.run(user, chunk)[0]
        nothing = "No minions matched" in str(answer.value()["return"])
        assert (
            nothing if attacker.api.module == "rest_tornado" else [{}] == answer.value()["return"]
        )


def _without_id(answer: Answer) -> str:
    value = answer.value()
    return str({k: v for k, v in value.items() if k != "request_id"})


# In this process


def test_client_in_process(target: PrivateMaster, marks: Path) -> None:
    """`APIClient` asks the same, with a token and with a password."""
    arg = touch(marks, "client")
    chunk = {"tgt": "*", "fun": ["saltutil.find_job", "cmd.run"], "arg": [[JID], arg]}
    with APIClient(config.load(target.config_dir)) as client:
        for kind in CLIENTS:
            with pytest.raises(AuthorizationFailed):
                list(client.run({**kind, **chunk, **target.credentials("nothing")}))
            for fun in (("test.ping", "cmd.run"), {"cmd.run"}, b"cmd.run", "test.ping,cmd.run"):
                with pytest.raises(SaltApiError):
                    list(client.run({**kind, **chunk, "fun": fun, **target.credentials("ping")}))


def test_without_the_files(
    target: PrivateMaster, marks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the master's files cannot be read, a list takes leave to run everything."""
    for module in ("permissions.permissions", "workers.functions"):
        monkeypatch.setattr(f"saltapi.bridge.{module}.obstacle_to", lambda _opts: "closed")
    pings = {"tgt": "*", "fun": ["test.ping", "test.ping"], "arg": [[], []]}
    attack = {"tgt": ONE, "fun": ["test.ping", "cmd.run"], "arg": [[], touch(marks, "blind")]}
    with APIClient(config.load(target.config_dir)) as client:
        for user, chunk in (("sleepers", pings), ("first", attack), ("ping", attack)):
            with pytest.raises(AuthorizationFailed):
                client.local(**chunk, **target.credentials(user))
        for probe in PROBES:
            with pytest.raises(AuthorizationFailed, match=r"^Authorization error occurred\.$"):
                client.local(fun="test.ping", **probe, **target.credentials("first"))
        assert {ONE, TWO} == set(client.local(**pings, **target.credentials()))
        assert {ONE: True} == client.local(ONE, "test.ping", **target.credentials("first"))
        assert {} == client.local("minion-9", "test.ping", **target.credentials("ping"))
