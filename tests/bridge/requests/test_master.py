"""What the master's answers mean."""

from collections import deque
from typing import Any

import pytest

from saltapi import trace
from saltapi.bridge.requests.master import Master
from saltapi.errors import (
    AuthenticationFailed,
    AuthorizationFailed,
    BadRequest,
    InvalidChunk,
    MalformedAnswer,
    MasterBusy,
    MasterUnavailable,
    NoMinionsMatched,
    SaltApiError,
)
from saltapi.types import Credentials, Published

OPTS = {"publish_timeout": 30}
TOKEN = Credentials(token="5ec7e7" * 8)
PASSWORD = Credentials(eauth="pam", username="fred", password="x")
JID = "20260101000000000001"
UNAUTHENTICATED = 'Authentication failure of type "token" occurred.'
UNAUTHORIZED = 'Authorization failure occurred for user "fred".'


class Channels:
    """Answers with what a test says, in turn; the last answer stays."""

    def __init__(self, *answers: Any) -> None:
        self.answers = deque(answers)
        self.loads: list[dict[str, Any]] = []

    async def send(self, load: dict[str, Any], *, timeout_seconds: float) -> Any:
        assert timeout_seconds > 0
        self.loads.append(load)
        answer = self.answers.popleft() if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def asking(*answers: Any) -> tuple[Master, Channels]:
    channels = Channels(*answers)
    return Master(OPTS, channels), channels  # type: ignore[arg-type]


async def ask(kind: str, answer: Any) -> Any:
    """Return what becomes of *answer* to a request of this kind."""
    return await request(kind, asking(answer)[0])


async def request(kind: str, master: Master) -> Any:
    if kind == "publish":
        return await master.publish(
            jid=JID, tgt="*", tgt_type="glob", fun="test.ping", arg=[], credentials=TOKEN
        )
    if kind == "runner":
        return await master.runner("jobs.active", [], {}, TOKEN)
    if kind == "wheel":
        return await master.wheel("key.list_all", {}, TOKEN)
    if kind == "mk_token":
        return await master.mk_token(PASSWORD.as_load())
    return await master.get_token("a" * 64)


CLUSTER_NOT_READY = {"enc": "clear", "load": {"ret": False, "cluster_retry": True}}
COMMANDS = ["publish", "runner", "wheel"]
TOKENS = ["mk_token", "get_token"]

SENTENCES = [
    "bad load",
    "payload and load must be a dict",
    "Some exception handling minion payload",
]


@pytest.mark.parametrize("kind", [*COMMANDS, *TOKENS])
@pytest.mark.parametrize("answer", SENTENCES)
async def test_sentences(kind: str, answer: str) -> None:
    """What the master says in a sentence is a malformed answer, whatever was asked."""
    with pytest.raises(MalformedAnswer):
        await ask(kind, answer)


@pytest.mark.parametrize("kind", [*COMMANDS, *TOKENS])
@pytest.mark.parametrize("answer", ["", {}, None, False])
async def test_empty_answers(kind: str, answer: Any) -> None:
    """An empty answer means that the credentials were not accepted."""
    with pytest.raises(AuthenticationFailed):
        await ask(kind, answer)


@pytest.mark.parametrize("kind", [*COMMANDS, *TOKENS])
@pytest.mark.parametrize("answer", [CLUSTER_NOT_READY, CLUSTER_NOT_READY["load"]])
async def test_cluster_not_ready(kind: str, answer: Any) -> None:
    """A master whose cluster is not ready is not available yet, and nothing has run."""
    with pytest.raises(MasterUnavailable) as caught:
        await ask(kind, answer)
    assert not caught.value.sent
    assert caught.value.retry_after_seconds


@pytest.mark.parametrize("kind", COMMANDS)
@pytest.mark.parametrize(
    ("name", "message", "expected"),
    [
        ("TokenAuthenticationError", UNAUTHENTICATED, AuthenticationFailed),
        ("EauthAuthenticationError", "Authentication failure of type ...", AuthenticationFailed),
        ("UserAuthenticationError", UNAUTHENTICATED, AuthenticationFailed),
        ("AuthenticationError", "Authentication error occurred.", AuthenticationFailed),
        ("AuthorizationError", "Authorization error occurred.", AuthorizationFailed),
        ("TokenAuthenticationError", UNAUTHORIZED, AuthorizationFailed),
        ("EauthAuthenticationError", UNAUTHORIZED, AuthorizationFailed),
        ("SaltInvocationError", "A command invocation error occurred: Check syntax.", InvalidChunk),
        ("OSError", "disk full", BadRequest),
        ("", "", BadRequest),
    ],
)
async def test_errors(kind: str, name: str, message: str, expected: type[SaltApiError]) -> None:
    """Each error that the master names becomes one of ours, with its sentence."""
    with pytest.raises(expected) as caught:
        await ask(kind, {"error": {"name": name, "message": message, "args": ["x"]}})
    assert expected is type(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize("kind", COMMANDS)
@pytest.mark.parametrize("error", ["text", ["x"], 5, True])
async def test_errors_of_another_form(kind: str, error: Any) -> None:
    """An error that is no mapping is a malformed answer."""
    with pytest.raises(MalformedAnswer):
        await ask(kind, {"error": error})


@pytest.mark.parametrize("kind", COMMANDS)
async def test_errors_without_a_sentence(kind: str) -> None:
    """An error may have nothing but a name, or nothing at all."""
    with pytest.raises(AuthorizationFailed, match="AuthorizationError"):
        await ask(kind, {"error": {"name": "AuthorizationError"}})
    with pytest.raises(BadRequest):
        await ask(kind, {"error": {}})


ODD: dict[str, list[Any]] = {
    "publish": [
        {"enc": "clear"},
        {"load": None},
        {"load": "text"},
        {"load": {}},
        {"load": {"jid": JID}},
        {"load": {"jid": JID, "minions": None}},
        {"load": {"jid": JID, "minions": {"a": 1}}},
        {"load": {"minions": "a"}},
    ],
    "runner": [{"tag": "x"}, {"jid": None}, {"jid": 5}, {"jid": ["x"]}],
    "wheel": [{"tag": "x"}, {"data": {}}, {"tag": "x", "data": "text"}, {"tag": "x", "data": None}],
    "mk_token": [
        {"name": "fred", "expire": 1.0},
        {"token": "a", "expire": 1.0},
        {"token": "a", "name": "fred"},
        {"token": 5, "name": "fred", "expire": 1.0},
        {"token": "a", "name": "fred", "expire": "soon"},
        {"error": {"name": "x"}},
    ],
    "get_token": [{"name": "fred"}, {"expire": 1.0}, {"name": 5, "expire": 1.0}],
}


@pytest.mark.parametrize(
    ("kind", "answer"), [(kind, answer) for kind, answers in ODD.items() for answer in answers]
)
async def test_answers_with_something_missing(kind: str, answer: Any) -> None:
    """An answer without what it must hold is malformed; nothing else comes of it."""
    with pytest.raises(MalformedAnswer):
        await ask(kind, answer)


@pytest.mark.parametrize("kind", [*COMMANDS, *TOKENS])
@pytest.mark.parametrize("answer", [5, 1.5, True, b"bytes", ["list"], [], "text", {"x": 1}, {1: 2}])
async def test_any_other_answer(kind: str, answer: Any) -> None:
    """Whatever else the master says, it is an error of ours."""
    with pytest.raises(SaltApiError):
        await ask(kind, answer)


async def test_secrets_of_an_answer_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A malformed answer is logged by its kind; what is in it may be anything."""
    caplog.set_level("DEBUG")
    with pytest.raises(MalformedAnswer) as caught:
        await ask("mk_token", {"token": "SECRET", "password": "SECRET"})
    assert "dict" in caplog.text
    assert "SECRET" not in caplog.text + str(caught.value)


# Publish


async def test_published() -> None:
    """A publish that is accepted gives jid, minions and missing names."""
    load = {"jid": JID, "minions": ["a", "b"], "missing": ["c"], "ssh_minions": False}
    assert Published(JID, ("a", "b"), ("c",)) == await ask(
        "publish", {"enc": "clear", "load": load}
    )


@pytest.mark.parametrize("missing", [None, "abc", 5, {}])
async def test_published_without_missing(missing: Any) -> None:
    """What is no list of missing names is none."""
    answer = {"load": {"jid": JID, "minions": ["a"], "missing": missing}}
    assert Published(JID, ("a",)) == await ask("publish", answer)


@pytest.mark.parametrize("jid", [None, ""])
async def test_no_minions_matched(jid: Any) -> None:
    """Without a jid in the answer nobody matched."""
    error = "Master could not resolve minions for target x"
    with pytest.raises(NoMinionsMatched, match="No command was sent"):
        await ask("publish", {"load": {"jid": jid, "minions": [], "error": error}})


@pytest.mark.parametrize("credentials", [TOKEN, PASSWORD])
async def test_the_load_of_a_publish(credentials: Credentials) -> None:
    """The load is that of `LocalClient`; credentials travel in `kwargs` and nowhere else."""
    master, channels = asking({"load": {"jid": JID, "minions": ["a"]}})
    await master.publish(
        jid=JID,
        tgt=["a"],
        tgt_type="list",
        fun="test.arg",
        arg=[1],
        credentials=credentials,
        ret="smtp",
        extra={"metadata": {"a": 1}, "token": "forged", "username": "forged"},
        to_seconds=5.0,
    )
    (load,) = channels.loads
    kwargs = load.pop("kwargs")
    assert {"metadata": {"a": 1}, **credentials.as_load()}.items() <= kwargs.items()
    assert load.pop("user")
    assert {
        "cmd": "publish",
        "tgt": ["a"],
        "tgt_type": "list",
        "fun": "test.arg",
        "arg": [1],
        "key": "",
        "ret": "smtp",
        "jid": JID,
        "to": 5.0,
    } == load


# Runner and wheel


async def test_runner() -> None:
    """A runner's answer is its jid; arguments are nested, credentials beside them."""
    master, channels = asking({"tag": f"salt/run/{JID}", "jid": JID})
    assert JID == await master.runner("test.arg", [1], {"a": 2, "token": "forged"}, TOKEN)
    assert [
        {
            "cmd": "runner",
            "fun": "test.arg",
            "kwarg": {"arg": [1], "kwarg": {"a": 2, "token": "forged"}},
            "token": TOKEN.token,
        }
    ] == channels.loads


async def test_wheel() -> None:
    """What the master checks of a wheel call is what it runs, and cannot be redirected."""
    answer = {"tag": f"salt/wheel/{JID}", "data": {"jid": JID, "return": []}}
    master, channels = asking(answer)
    plain = {"match": "x"}
    named = {"match": "x", "fun": "forged", "cmd": "forged", "token": "forged"}
    assert answer == await master.wheel("key.accept", plain, TOKEN)
    assert answer == await master.wheel("key.accept", named, TOKEN)
    ours = {"cmd": "wheel", "fun": "key.accept", "token": TOKEN.token}
    assert [
        {**ours, "match": "x", "kwarg": {"kwarg": plain}},
        {**ours, "arg": [], "kwarg": named},
    ] == channels.loads


# Tokens


async def test_the_command_of_a_login_is_ours() -> None:
    """What a user sends to the login cannot become another request."""
    data = {"token": "a" * 64, "name": "fred", "eauth": "pam", "start": 1.0, "expire": 2.0}
    master, channels = asking(data)
    assert data == await master.mk_token({**PASSWORD.as_load(), "cmd": "wheel"})
    assert "mk_token" == channels.loads[0]["cmd"]


async def test_token_data() -> None:
    """A known token gives its data."""
    data = {"name": "fred", "eauth": "pam", "start": 1, "expire": 2}
    assert data == await ask("get_token", data)


# Retries


@pytest.mark.parametrize("error", [MasterUnavailable("away"), MasterBusy("busy")])
async def test_reading_is_tried_twice(error: Exception) -> None:
    """A request that only reads is sent a second time, and no third time."""
    data = {"name": "fred", "expire": 2}
    master, channels = asking(error, data)
    assert data == await master.get_token("a" * 64)
    master, channels = asking(error)
    with pytest.raises(MasterUnavailable):
        await master.ping()
    assert 2 == len(channels.loads)


@pytest.mark.parametrize("kind", [*COMMANDS, "mk_token"])
async def test_doing_is_tried_once(kind: str) -> None:
    """A request that may have been done is never sent again."""
    master, channels = asking(MasterUnavailable("away"))
    with pytest.raises(MasterUnavailable):
        await request(kind, master)
    assert 1 == len(channels.loads)


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("publish", {"enc": "clear", "load": {"jid": JID, "minions": ["m"]}}),
        ("runner", {"jid": JID, "tag": "t"}),
        ("wheel", {"data": {"jid": JID}, "tag": "t"}),
    ],
)
async def test_trace_context(kind: str, answer: Any) -> None:
    """Where Salt traces, jobs take the client's trace along; a wheel function would break on it."""
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    context = trace.TraceContext.read([parent], ["a=b"])
    token = trace.current.set(trace.Trace(context=context))
    try:
        plain, channels = asking(answer)
        await request(kind, plain)
        traced = Master({**OPTS, "tracing": {"enabled": True}}, channels)  # type: ignore[arg-type]
        await request(kind, traced)
    finally:
        trace.current.reset(token)
    without, load = channels.loads
    added = {} if kind == "wheel" else {"traceparent": parent, "tracestate": "a=b"}

    assert {**without, **added} == load
    assert "traceparent" not in without
