"""Values in, checked commands out: arguments and options."""

from typing import Any

import pytest

from saltapi.errors import InvalidChunk
from saltapi.lowstate import RUNNER_KEYS, WHEEL_KEYS, check, credentials_of
from tests.chunks import ALL, HUGE, LOCAL, RUNNER, WHEEL, local, runner, wheel


@pytest.mark.parametrize("base", [LOCAL, RUNNER, WHEEL])
@pytest.mark.parametrize(
    ("arg", "expected"),
    [
        (None, ()), ("", ()), ([], ()), ("a", ("a",)), (0, (0,)), (False, (False,)), ({"a": 1},
        ({"a": 1},)), ([1, [2], None], (1, [2], None)), (["k=v"], ("k=v",)),
    ],
)  # fmt: skip
def test_arguments(base: dict[str, Any], arg: Any, expected: tuple[Any, ...]) -> None:
    """One value stands for a list of one; null and "" (SaltGUI, forms) for none."""
    assert expected == check({**base, "arg": arg}, ALL).args


def test_salt_api_cli_sends_arg_to_wheel_functions() -> None:
    """`"arg": []` without `kwarg` on a wheel chunk is a call without arguments."""
    command = wheel(arg=[])
    assert ((), {}) == (command.args, command.kwargs)


@pytest.mark.parametrize("base", [LOCAL, RUNNER, WHEEL])
@pytest.mark.parametrize("kwarg", ["a=1", ["a"], 5, True, {1: 2}])
def test_keyword_arguments_are_a_mapping(base: dict[str, Any], kwarg: Any) -> None:
    """`kwarg` maps names to values."""
    with pytest.raises(InvalidChunk, match="'kwarg' must map"):
        check({**base, "kwarg": kwarg}, ALL)


@pytest.mark.parametrize("kwarg", [None, "", [], {}])
def test_no_keyword_arguments(kwarg: Any) -> None:
    """Null and empty stand for no keyword arguments."""
    assert not local(kwarg=kwarg).kwargs
    assert {} == runner(kwarg=kwarg).kwargs


def test_other_keys_are_arguments_of_master_functions() -> None:
    """Arguments of runner and wheel functions may be keys of the chunk, as SaltGUI sends jid."""
    assert {"jid": "1", "match": "x"} == runner(kwarg={"match": "x"}, jid="1").kwargs
    assert {"match": ["x"]} == wheel(match=["x"]).kwargs


def test_what_steers_salt_is_no_argument() -> None:
    """Credentials and keys for Salt itself never become arguments at the top level of a chunk."""
    chunk = {**RUNNER, "user": "root", "key": "x", "full_return": True}
    command = check({**chunk, "eauth": "pam", "username": "u", "password": "p"}, ALL)
    assert ({}, True) == (command.kwargs, command.full_return)
    assert {} == wheel(cmd="x", print_event=True, full_return=True, eauth="pam").kwargs


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        (runner(cmd="x", print_event=True).kwargs, {"cmd": "x", "print_event": True}),
        (runner(client="runner_async", full_return=True).kwargs, {"full_return": True}),
        (runner(client="runner_async", key="x").kwargs, {}),
        (wheel(user="u", key="x").kwargs, {"user": "u", "key": "x"}),
    ],
)
def test_top_level_as_salt(actual: Any, expected: dict[str, Any]) -> None:
    """Salt hands on what its runner and wheel clients do not read themselves."""
    assert expected == actual


@pytest.mark.parametrize("base", [RUNNER, WHEEL])
@pytest.mark.parametrize("name", sorted(RUNNER_KEYS | WHEEL_KEYS))
def test_names_of_arguments(base: dict[str, Any], name: str) -> None:
    """In `kwarg` an argument may have any name: a token there is not the caller's."""
    command = check({**base, "kwarg": {name: "x"}}, ALL)

    assert ({name: "x"}, credentials_of(base)) == (command.kwargs, command.credentials)


@pytest.mark.parametrize("base", [RUNNER, WHEEL])
def test_marks_of_salt_are_no_arguments(base: dict[str, Any]) -> None:
    """Names that begin with two underscores are Salt's own."""
    with pytest.raises(InvalidChunk, match="'__kwarg__' cannot be an argument"):
        check({**base, "kwarg": {"__kwarg__": "x"}}, ALL)


def test_timeout_of_a_runner() -> None:
    """A runner waits as long as its chunk says; asynchronous ones take it as an argument."""
    assert 2.5 == runner(timeout="2.5").timeout_seconds
    command = runner(client="runner_async", timeout=7)
    assert (None, {"timeout": 7}) == (command.timeout_seconds, command.kwargs)


@pytest.mark.parametrize("key", ["timeout", "gather_job_timeout", "batch_wait"])
@pytest.mark.parametrize(
    ("value", "expected"),
    [(60, 60.0), (2.5, 2.5), ("60", 60.0), ("2.5", 2.5), (0, 0.0), ("", None), ("None", None),
     (None, None)],
)  # fmt: skip
def test_times(key: str, value: Any, expected: float | None) -> None:
    """Times are numbers or texts of numbers; null, "" and "None" leave them to the master."""
    command = local(**{key: value})
    actual = {
        "timeout": command.timeout_seconds,
        "gather_job_timeout": command.gather_job_timeout_seconds,
        "batch_wait": command.batch_wait_seconds or None if expected is None
        else command.batch_wait_seconds,
    }  # fmt: skip
    assert expected == actual[key]


@pytest.mark.parametrize("key", ["timeout", "gather_job_timeout", "batch_wait"])
@pytest.mark.parametrize(
    "value",
    ["soon", -1, "-1", float("nan"), "nan", "inf", "1e999", True, [], {}, [5], HUGE, "5s"],
    ids=lambda value: type(value).__name__,
)
def test_wrong_times(key: str, value: Any) -> None:
    """Anything that is no time is refused."""
    with pytest.raises(InvalidChunk, match=f"'{key}' must be a number of seconds"):
        local(**{key: value})


@pytest.mark.parametrize("key", ["full_return", "failhard"])
def test_switches(key: str) -> None:
    """Switches are booleans, or what forms and YAML make of them."""
    value: Any
    for value in (True, 1, "true", "True", "yes", "on", "1"):
        assert getattr(local(**{key: value}), key) is True
    for value in (False, 0, None, "", "false", "no", "off", "0", "None"):
        assert getattr(local(**{key: value}), key) is False
    for value in ("maybe", [], {}, 1.0):
        with pytest.raises(InvalidChunk, match=f"'{key}' must be true or false"):
            local(**{key: value})


@pytest.mark.parametrize(
    ("batch", "expected"),
    [(None, "10%"), (3, "3"), ("3", "3"), ("25%", "25%"), (" 5 % ", "5 %"), ("%5", "%5"),
     ("33.3%", "33.3%"), ("0.5%", "0.5%")],
)  # fmt: skip
def test_batch_sizes(batch: Any, expected: str) -> None:
    """A batch is a number of minions or a part of them; pepper sends null for none."""
    assert expected == local(client="local_batch", batch=batch).batch


@pytest.mark.parametrize("batch", [0, -1, "0", "0%", "0.5", "", "all", "1e5", True, 2.5, [], HUGE,
    "9" * 20], ids=lambda value: type(value).__name__)  # fmt: skip
def test_wrong_batch_sizes(batch: Any) -> None:
    """A batch that lets no minion run, or that is no number, is refused."""
    with pytest.raises(InvalidChunk, match="'batch' must be"):
        local(client="local_batch", batch=batch)


def test_subset_sizes() -> None:
    """A subset is three minions if nothing else is said, under both names."""
    sizes = [
        local(client="local_subset", **more).subset
        for more in ({}, {"subset": 5}, {"subset": "5"}, {"sub": 5, "subset": 6}, {"sub": None})
    ]
    assert [3, 5, 5, 5, 3] == sizes
    wrong: Any
    for wrong in (0, -1, "x", 1.5, True, [], {}):
        with pytest.raises(InvalidChunk, match="'subset' must be"):
            local(client="local_subset", subset=wrong)


def test_returners_are_text() -> None:
    """`ret` is a text."""
    assert ("a,b", "") == (local(ret="a,b").ret, local(ret=None).ret)
    with pytest.raises(InvalidChunk, match="'ret' must be a string"):
        local(ret=["a"])


@pytest.mark.parametrize("jid", ["20260101000000000001", 20260101000000000001,
    "20260101000000000001_4711"])  # fmt: skip
def test_jids(jid: Any) -> None:
    """A jid of one's own has the form of Salt's."""
    assert str(jid) == local(jid=jid).jid


@pytest.mark.parametrize("jid", [None, ""])
def test_no_jid(jid: Any) -> None:
    """Without a jid one is made."""
    assert local(jid=jid).jid is None


@pytest.mark.parametrize(
    "jid",
    [
        "../../proc/self/fd/0",
        "2026010100000000000/",
        "1" * 1_000_000,
        "20260101000000000001_" + "1" * 1_000_000,
        "20260101000000000001\n",
        "20260101000000000001\0",
        "٢٠٢٦٠١٠١٠٠٠٠٠٠٠٠٠٠٠١",
        "-2026010100000000001",
        "0x202601010000000000",
        5,
        True,
        [],
        {},
        HUGE,
    ],
    ids=lambda value: str(value)[:12] if value is not HUGE else "huge",
)
def test_a_jid_is_no_path(jid: Any) -> None:
    """What is no jid never gets near a file (CVE-2025-22242)."""
    with pytest.raises(InvalidChunk, match="'jid' must be a job id"):
        local(jid=jid)


@pytest.mark.parametrize("key", ["listen", "progress", "block", "verbose", "show_jid", "minions",
    "cli", "raw"])  # fmt: skip
@pytest.mark.parametrize("client", ["local", "local_async", "local_subset"])
def test_keys_that_steer_salts_own_client_are_refused(client: str, key: str) -> None:
    """What would change how the API process waits or prints is refused by name."""
    with pytest.raises(InvalidChunk, match=f"^'{key}' ") as caught:
        local(client=client, **{key: True})
    assert key == caught.value.key


def test_raw_is_for_batches() -> None:
    """`raw` belongs to `local_batch`."""
    assert local(client="local_batch", raw=True).raw is True


def test_unknown_keys_are_tolerated() -> None:
    """A key that means nothing is passed over, as Salt does."""
    assert local().fun == local(whatever=[1], user="root").fun


def test_what_the_master_takes_is_handed_on() -> None:
    """`metadata`, `delimiter` and their like go to the master, if they hold something."""
    assert (("delimiter", "|"), ("metadata", {"a": 1})) == local(
        metadata={"a": 1}, delimiter="|", nocache=None
    ).extra


@pytest.mark.parametrize(
    "metadata",
    [HUGE, [HUGE], {HUGE: 1}, {"a": [{"b": -HUGE}]}, "x" * 20_000, [[]] * 20_000, {b"x" * 20_000}],
    ids=lambda metadata: type(metadata).__name__,
)
def test_long_metadata_is_refused(metadata: Any) -> None:
    """Every return carries it: its size is bounded, also where Python does not write it out."""
    with pytest.raises(InvalidChunk, match="'metadata' is too long") as caught:
        local(metadata=metadata)
    assert "metadata" == caught.value.key
