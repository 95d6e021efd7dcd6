"""What is hidden in logs, audit and streams: one table of cases for all of them."""

import time
from typing import Any

import pytest

from saltapi import masking
from tests.secret_cases import HARMLESS, KEY_BODY, PRIVATE_KEY, PUBLIC_KEY, TEXTS, VALUES


@pytest.mark.parametrize("text", TEXTS)
def test_texts(text: str) -> None:
    """Whatever is named like a secret has its value hidden, and private keys are."""
    redacted = masking.redact(text)

    assert "SECRET" not in redacted
    assert "***" in redacted
    assert redacted == masking.redact(redacted)


@pytest.mark.parametrize("text", HARMLESS)
def test_other_texts(text: str) -> None:
    """Text without a secret is not changed."""
    assert text == masking.redact(text)


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values(value: Any) -> None:
    """The same in values, however they are nested."""
    assert "SECRET" not in repr(masking.redact_value(value))


@pytest.mark.parametrize(
    "text",
    [
        "password" * 20_000,
        "value: '" * 20_000,
        'name: "password" ' * 5_000,
        "-" * 100_000,
        "--a" * 50_000,
        "mysql " * 20_000,
        "-----BEGIN PRIVATE KEY-----" * 5_000,
        "password=[" * 10_000,
        "<password " * 10_000,
        "://a:" * 20_000,
    ],
    ids=range(10),
)
def test_time(text: str) -> None:
    """No text takes long."""
    began_at = time.process_time()
    masking.redact(text)

    assert time.process_time() - began_at < 3.0


GENERATED = {"fun": "wheel.key.gen_accept", "return": {"pub": PUBLIC_KEY, "priv": PRIVATE_KEY}}


@pytest.mark.parametrize(
    "data",
    [
        GENERATED,
        {"fun": "wheel.key.gen", "return": {"priv": "SECRET in another form", "pub": "x"}},
        {"fun": "runner.jobs.lookup_jid", "return": {"master": {"a": [(GENERATED,)]}}},
        {"fun": "runner.state.orchestrate", "return": {"data": {"x": {"changes": GENERATED}}}},
        {"fun": "cmd.run", "return": f"a\n{PRIVATE_KEY}b"},
        {"fun": "cmd.run", "return": PRIVATE_KEY.encode()},
        {"fun": "file.readlines", "return": PRIVATE_KEY.splitlines()},
        {"fun": "file.readlines", "return": [b"x", *PRIVATE_KEY.encode().splitlines()]},
        {"fun": "x.y", "return": {PRIVATE_KEY: 1}},
        {"fun": "x.y", "arg": [PRIVATE_KEY]},
        {"anything": {"else": PRIVATE_KEY}},
        {"fun": "wheel.key.gen_signature", "fun_args": [{"priv": PRIVATE_KEY}]},
        {"fun": "runner.auth.mk_token", "fun_args": [{"username": "a", "password": "SECRET"}]},
        {"fun": "runner.auth.mk_token", "fun_args": ["password=SECRET"]},
        {"fun": "runner.auth.mk_token", "return": {"token": "SECRET"}},
        {"fun": "runner.sdb.get", "return": "SECRET"},
        {"fun": "runner.pillar.show_pillar", "return": {"db": {"password": "SECRET"}}},
        {"fun": "wheel.config.values", "return": {"x": {"pass": "SECRET"}}},
        {
            "fun": "runner.jobs.lookup_jid",
            "return": {"m": {"fun": "runner.sdb.get", "return": "SECRET"}},
        },
        {
            "fun": "runner.jobs.list_job",
            "return": {
                "Result": {
                    "master": {
                        "return": {
                            "fun": "runner.auth.mk_token",
                            "fun_args": [{"password": "SECRET"}],
                            "return": {"token": "SECRET"},
                        }
                    }
                }
            },
        },
        {"events": [{"data": {"fun": "runner.auth.mk_token", "return": {"token": "SECRET"}}}]},
        {"fun": "runner.http.query", "fun_args": ["https://a", {"password": "SECRET"}]},
    ],
)
def test_events(data: dict[str, Any]) -> None:
    """Of what the master's functions hand out, listeners see no secrets."""
    masked = masking.mask_event(data)

    assert "SECRET" not in repr(masked)
    assert data.keys() == masked.keys()
    assert KEY_BODY not in repr(masked)


@pytest.mark.parametrize(
    "data",
    [
        {"fun": "test.ping", "return": True, "id": "minion-1"},
        {"fun": "wheel.key.accept", "return": {"minions": ["a"]}, "fun_args": ["a"]},
        {"fun": "wheel.key.key_str", "return": {"minions": {"a": PUBLIC_KEY}}},
        {"fun": "user.add", "arg": ["fred", {"password": "x"}]},
        {"result": True, "act": "accept", "id": "a", "pub": PUBLIC_KEY},
    ],
)
def test_other_events(data: dict[str, Any]) -> None:
    """Where there is no such secret, the event is the same object, and is encoded once for all."""
    masked = masking.mask_event(data)

    assert masked is data
