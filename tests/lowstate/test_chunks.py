"""Values in, checked commands out: clients, credentials, functions and targets."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saltapi.config import EngineConfig
from saltapi.errors import (
    AuthenticationFailed,
    AuthorizationFailed,
    BadRequest,
    ClientDisabled,
    InvalidChunk,
    SaltApiError,
)
from saltapi.interfaces import INTERFACES
from saltapi.lowstate import TARGET_TYPES, check, check_all, chunks_from
from tests.chunks import ALL, HUGE, LOCAL, RUNNER, TOKEN, WHEEL, local

# The lowstate


def test_one_mapping_is_a_list_of_one() -> None:
    """A chunk by itself counts as a lowstate."""
    assert [LOCAL] == chunks_from(LOCAL) == chunks_from([LOCAL])


@pytest.mark.parametrize("value", [None, "text", 5, True, b"[]", 1.5])
def test_a_lowstate_is_a_list(value: Any) -> None:
    """What is neither list nor mapping is refused in Salt's words."""
    with pytest.raises(BadRequest, match=r"^Lowstates must be a list$"):
        chunks_from(value)


@pytest.mark.parametrize("value", [None, "text", 5, []])
def test_a_chunk_is_a_mapping(value: Any) -> None:
    """The first thing in the list that is no mapping is named by its position."""
    with pytest.raises(InvalidChunk, match=r"^Chunk 2: A chunk must be a mapping"):
        chunks_from([LOCAL, value])


def test_the_chunk_that_is_wrong_is_named() -> None:
    """Among several chunks the error says which one is wrong; none is returned."""
    with pytest.raises(InvalidChunk, match=r"^Chunk 2: 'tgt' is missing"):
        check_all([LOCAL, {**LOCAL, "tgt": None}], ALL)


def test_a_single_chunk_needs_no_number() -> None:
    """The error of a chunk that stands alone has Salt's text and nothing else."""
    with pytest.raises(InvalidChunk, match=r"^Invalid client specified: 'x'$"):
        check_all([{"client": "x"}], ALL)


def test_the_second_chunk_needs_credentials_too() -> None:
    """Credentials in one chunk do not count for another (CVE-2018-15751)."""
    with pytest.raises(AuthenticationFailed, match=r"^Chunk 2: No authentication"):
        check_all([LOCAL, {"client": "local", "tgt": "*", "fun": "test.ping"}], ALL)


def test_the_chunk_is_left_as_it_was() -> None:
    """Checking does not change what was sent."""
    chunk = {**RUNNER, "kwarg": {"a": 1}, "arg": [1], "b": 2}
    before = {**chunk, "kwarg": {"a": 1}, "arg": [1]}
    check(chunk, ALL)
    assert before == chunk


# Client


@pytest.mark.parametrize(
    "client",
    [None, "", "destroy", "Local", "local ", 1, ["local"], {}, True, HUGE, "x" * 10**6],
    ids=lambda value: type(value).__name__,
)
def test_an_unknown_client_is_refused_first(client: Any) -> None:
    """The client is the first thing that is looked at."""
    with pytest.raises(InvalidChunk, match=r"^Invalid client specified: '") as caught:
        check({"client": client}, ALL)
    assert "client" == caught.value.key
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("client", INTERFACES)
def test_no_client_is_enabled_by_default(client: str) -> None:
    """A client that `netapi_enable_clients` does not list is refused with the line to change."""
    with pytest.raises(ClientDisabled) as caught:
        check({"client": client}, EngineConfig())
    assert (
        f"Client disabled: '{client}'. Add to 'netapi_enable_clients' master config option"
        " to enable."
    ) == str(caught.value)


def test_keys_are_strings() -> None:
    """A key that is no string is refused."""
    for base in (LOCAL, RUNNER):
        with pytest.raises(InvalidChunk, match="keys"):
            check({**base, 1: 2}, ALL)  # type: ignore[dict-item]


# Credentials


@pytest.mark.parametrize("client", INTERFACES)
@pytest.mark.parametrize(
    "credentials",
    [
        {},
        {"username": "fred", "password": "x"},
        {"token": ""},
        {"token": None},
        {"token": []},
        {"token": {}},
        {"token": True},
        {"token": 0},
        {"token": b"5ec7e7"},
        {"token": None, "eauth": "pam", "username": "fred", "password": "x"},
        {"token": "", "eauth": "pam", "username": "fred", "password": "x"},
        {"eauth": ""},
        {"eauth": None},
        {"eauth": {}},
        {"eauth": "", "username": "fred", "password": "x"},
        {"eauth": {}, "username": "fred", "password": "x"},
        {"eauth": ["pam"], "username": "fred", "password": "x"},
        {"eauth": 1, "username": "fred", "password": "x"},
        {"eauth": "pam"},
        {"eauth": "pam", "username": "fred"},
        {"eauth": "pam", "password": "x"},
        {"eauth": "pam", "username": "", "password": "x"},
        {"eauth": "ldap", "username": "fred", "password": ""},
        {"eauth": "ldap", "username": "fred", "password": None},
        {"eauth": "pam", "username": ["fred"], "password": "x"},
        {"eauth": "pam", "username": "fred", "password": True},
        {"eauth": "pam", "username": "fred", "password": {"a": 1}},
    ],
)
def test_nobody_gets_in_without_credentials(client: str, credentials: dict[str, Any]) -> None:
    """Missing, empty and odd credentials are an authentication error (CVE-2018-15751)."""
    chunk = {"client": client, "tgt": "*", "fun": "test.ping", **credentials}
    with pytest.raises(AuthenticationFailed):
        check(chunk, ALL)


@pytest.mark.parametrize("password", ["", None])
def test_an_empty_password(password: str | None) -> None:
    """An empty password, also null, is the eauth module's business: it is handed on as it is."""
    chunk = {"client": "local", "tgt": "*", "fun": "test.ping", "eauth": "auto"}
    command = check({**chunk, "username": "fred", "password": password}, ALL)
    expected = {"eauth": "auto", "username": "fred", "password": password}
    assert expected == command.credentials.as_load()


def test_a_password_of_digits() -> None:
    """A name or password that JSON or YAML reads as a number is taken as text."""
    chunk = {"client": "local", "tgt": "*", "fun": "test.ping", "eauth": "pam"}
    command = check({**chunk, "username": 1000, "password": 1234}, ALL)
    assert ("1000", "1234") == (command.credentials.username, command.credentials.password)


def test_a_token_counts_before_a_password() -> None:
    """With both, the token decides and the password is not kept."""
    command = local(eauth="pam", username="fred", password="x")
    assert {"token": TOKEN} == command.credentials.as_load()


def test_only_name_and_password_reach_the_eauth_module() -> None:
    """Other keys are never handed to the eauth module (CVE-2016-3176)."""
    chunk = {**LOCAL, "eauth": "pam", "username": "fred", "password": "x", "service": "su"}
    del chunk["token"]
    assert {"eauth": "pam", "username": "fred", "password": "x"} == check(
        chunk, ALL
    ).credentials.as_load()


def test_nothing_shows_a_credential() -> None:
    """The text forms of commands and credentials hold no token and no password."""
    chunk = {**LOCAL, "eauth": "pam", "username": "fred", "password": "SECRET"}
    assert TOKEN not in repr(check(chunk, ALL))
    assert "SECRET" not in repr(check(chunk, ALL))
    del chunk["token"]
    assert "SECRET" not in repr(check(chunk, ALL))


@pytest.mark.parametrize("client", INTERFACES)
def test_raw_shell_must_be_permitted(client: str) -> None:
    """`raw_shell` is refused unless the config allows it (CVE-2019-17361)."""
    chunk = {"client": client, "tgt": "*", "fun": "test.ping", "raw_shell": True}
    with pytest.raises(AuthenticationFailed):
        check(chunk, ALL)
    with pytest.raises(AuthorizationFailed, match="Raw shell option not allowed"):
        check({**chunk, "token": TOKEN}, ALL)
    allowed = ALL.model_copy(update={"netapi_allow_raw_shell": True})
    assert client == check({**chunk, "token": TOKEN}, allowed).client


# Functions


@pytest.mark.parametrize(
    "fun",
    [
        None, "", "test", "test.", ".ping", "test ping", "test.ping ", "test..ping", "a b.c", 5,
        {}, [], [""], ["test.ping", None], [["test.ping"]], "test.ping\n", "../x.y", "tést.ping",
        "test.ping;id", "test.ping,cmd.run", True, HUGE, "a." + "b" * 1000,
        "a." + "b" * 198 + ";id",
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_a_local_function_is_named_as_module_and_function(fun: Any) -> None:
    """Whatever is no `module.function` is refused before anything is published."""
    with pytest.raises(InvalidChunk, match="'fun'") as caught:
        local(fun=fun)
    assert "fun" == caught.value.key


@pytest.mark.parametrize("fun", ["test.ping", "a-b.c", "state.sls_id", "saltext.vault.read"])
def test_local_functions(fun: str) -> None:
    """Names of execution module functions are taken as they are."""
    assert fun == local(fun=fun).fun


@pytest.mark.parametrize("base", [RUNNER, WHEEL, {**RUNNER, "client": "runner_async"}])
@pytest.mark.parametrize(
    "fun",
    [
        None, "", "jobs", "jobs.a.b", "jobs.active ", "jobs.active;id", "a-b.c", "_jobs.x\n", 5,
        ["jobs.active"], {}, "../jobs.active", "a." + "b" * 198 + ";id", "a." + "b" * 199, HUGE,
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_a_master_function_is_named_as_module_and_function(base: dict[str, Any], fun: Any) -> None:
    """Runner and wheel functions have two plain names and not much more than 200 characters."""
    kind = str(base["client"]).partition("_")[0]
    with pytest.raises(InvalidChunk, match=f"'fun' must name a {kind} function") as caught:
        check({**base, "fun": fun}, ALL)
    assert len(str(caught.value)) < 200


def test_compound_commands() -> None:
    """With a list of functions there is one list of arguments for each."""
    fun = ["test.ping", "test.arg"]
    with pytest.raises(InvalidChunk, match="100 functions"):
        local(fun=["test.ping"] * 101)
    assert ([], ["a"]) == local(fun=fun, arg=[[], ["a"]]).args
    assert ([], []) == local(fun=fun).args == local(fun=fun, arg="").args
    arg: Any
    for arg in (["a"], [["a"], "b"], [["a"]], "a", [[], [], []]):
        with pytest.raises(InvalidChunk, match="'arg'"):
            local(fun=fun, arg=arg)


def test_ssh_takes_plain_commands() -> None:
    """`ssh` may run something that is no `module.function`, one thing at a time."""
    assert "ls -l" == check({**LOCAL, "client": "ssh", "fun": "ls -l"}, ALL).fun
    for fun in (["test.ping"], " ", None):
        with pytest.raises(InvalidChunk, match="'fun'"):
            check({**LOCAL, "client": "ssh", "fun": fun}, ALL)


# Targets


@pytest.mark.parametrize(
    "tgt",
    [None, "", [], {}, True, False, 1.5, [""], ["a", 1], [["a"]], HUGE],
    ids=lambda value: type(value).__name__,
)
def test_a_target_names_minions(tgt: Any) -> None:
    """A target that is missing, empty or no name is refused."""
    with pytest.raises(InvalidChunk, match="'tgt'"):
        local(tgt=tgt, tgt_type="list")


@pytest.mark.parametrize("tgt_type", TARGET_TYPES)
def test_target_types(tgt_type: str) -> None:
    """Every target type of Salt is taken, under both names."""
    assert ("x", tgt_type) == (local(tgt="x", tgt_type=tgt_type).tgt, tgt_type)
    assert tgt_type == local(tgt="x", expr_form=tgt_type).tgt_type


def test_the_old_name_of_target_type() -> None:
    """`expr_form` counts where `tgt_type` is missing or null, as pepper's library sends it."""
    assert "list" == local(tgt=["a"], expr_form="list").tgt_type
    assert "list" == local(tgt=["a"], expr_form="list", tgt_type=None).tgt_type
    assert "list" == local(tgt=["a"], expr_form="glob", tgt_type="list").tgt_type


@pytest.mark.parametrize("key", ["tgt_type", "expr_form"])
@pytest.mark.parametrize("value", ["Glob", "regex", 5, ["list"], {}, True])
def test_unknown_target_types(key: str, value: Any) -> None:
    """An unknown target type is never read as a glob."""
    with pytest.raises(InvalidChunk, match="Unknown target type") as caught:
        local(**{key: value})
    assert "compound" in str(caught.value)


def test_no_target_type_is_a_glob() -> None:
    """Missing, null and empty target types mean glob."""
    assert ["glob"] * 3 == [
        local().tgt_type,
        local(tgt_type=None).tgt_type,
        local(tgt_type="").tgt_type,
    ]


def test_list_targets() -> None:
    """A JSON list is a target for `list` and `compound`; for others the error says what to add."""
    assert ["a", "b"] == local(tgt=["a", "b"], tgt_type="list").tgt
    assert ["a", "or", "b"] == local(tgt=["a", "or", "b"], tgt_type="compound").tgt
    assert "a,b" == local(tgt="a,b", tgt_type="list").tgt
    with pytest.raises(InvalidChunk, match='add "tgt_type": "list"'):
        local(tgt=["a", "b"])


def test_a_minion_id_of_digits() -> None:
    """A minion id that JSON or YAML reads as a number is taken as text."""
    assert "12" == local(tgt=12).tgt
    assert "0" == local(tgt=0).tgt


@pytest.mark.parametrize(
    "tgt",
    ["web.*", "(?:web|db)\\d+", "^(?!old:).*$", "[a-z:]+", "a" * 1_000_000],
    ids=lambda tgt: tgt[:12],
)
def test_regular_expressions(tgt: str) -> None:
    """A regular expression may hold whatever Python takes, also colons."""
    assert tgt == local(tgt=tgt, tgt_type="pcre").tgt


@pytest.mark.parametrize(
    "tgt",
    ["(", "*", "[a", "(?P<a>", "(" * 5000, "a{1,99999999999999999999}"],
    ids=lambda tgt: tgt[:12],
)
def test_wrong_regular_expressions(tgt: str) -> None:
    """What is no regular expression is refused with the reason."""
    with pytest.raises(InvalidChunk, match="no valid regular expression"):
        local(tgt=tgt, tgt_type="pcre")


@pytest.mark.parametrize("tgt", ["os:(?:Debian|Ubuntu)", "a:b:c.*", "os:D.*"])
@pytest.mark.parametrize("tgt_type", ["grain_pcre", "pillar_pcre"])
def test_regular_expressions_for_grains(tgt: str, tgt_type: str) -> None:
    """Colons in a grain's or pillar's expression are left to the master to tell apart."""
    assert tgt == local(tgt=tgt, tgt_type=tgt_type).tgt


# Anything at all

KEYS = st.sampled_from(
    [
        *[
            "client",
            "fun",
            "tgt",
            "tgt_type",
            "expr_form",
            "arg",
            "kwarg",
            "__kwarg__",
            "raw_shell",
        ],
        *["token", "eauth", "username", "password", "timeout", "gather_job_timeout", "ret", "jid"],
        *["batch", "batch_wait", "failhard", "raw", "full_return", "subset", "sub", "metadata"],
    ]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.sampled_from([*INTERFACES, *TARGET_TYPES, "test.ping", TOKEN, "(", "\ud800"])
    | st.integers(16_000, 20_000).map(lambda bits: 1 << bits)
    | st.dates(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.sets(st.integers())
    ),
    max_leaves=8,
)


@given(st.sampled_from(sorted(INTERFACES)), st.dictionaries(KEYS | st.text(), VALUES))
def test_no_value_breaks_the_check(client: str, chunk: dict[str, Any]) -> None:
    """Whatever a chunk holds, it is a command or an error for the client."""
    for candidate in (chunk, {**LOCAL, "client": client, **chunk}):
        with contextlib.suppress(SaltApiError):
            assert check(candidate, ALL).client in INTERFACES


@given(VALUES)
def test_no_value_breaks_the_lowstate(value: Any) -> None:
    """Whatever a body holds, it is a list of commands or an error for the client."""
    with contextlib.suppress(SaltApiError):
        check_all(chunks_from(value), ALL)
