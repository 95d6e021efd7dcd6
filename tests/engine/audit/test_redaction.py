"""What the audit log shows of arguments."""

from typing import Any

import pytest

from saltapi.config import AUDIT_REDACT
from saltapi.engine.audit.redaction import TEXT_LIMIT_CHARACTERS, Redaction
from tests.secret_cases import HARMLESS, TEXTS, VALUES

DEFAULT = Redaction("redacted", AUDIT_REDACT)


@pytest.mark.parametrize(
    ("fun", "args", "named", "shown"),
    [
        ("test.ping", [], {}, {}),
        ("pkg.install", ["vim", 3, None, True], {}, {"arguments": ["vim", 3, None, True]}),
        (
            "user.add",
            ["fred"],
            {"uid": 1000, "password": "hunter2"},
            {"arguments": ["fred"], "named_arguments": {"uid": 1000, "password": "***"}},
        ),
        ("user.add", ["fred", "password=hunter2"], {}, {"arguments": ["fred", "password=***"]}),
        ("user.add", ["fred", "--Password = a b"], {}, {"arguments": ["fred", "Password=***"]}),
        ("shadow.set_password", ["fred", "hunter2"], {}, {"arguments": ["***", "***"]}),
        ("shadow.gen_password", [], {"word": "hunter2"}, {"named_arguments": {"word": "***"}}),
        ("mysql.user_chpass", ["fred", "hunter2"], {}, {"arguments": ["***", "***"]}),
        ("vault.write_secret", ["path", "a"], {}, {"arguments": ["***", "***"]}),
        ("cmd.run", ["cat"], {"stdin": "hunter2"}, {
            "arguments": ["cat"], "named_arguments": {"stdin": "***"},
        }),
        ("cmd.run", ["mysql --password=hunter2 x"], {}, {
            "arguments": ["mysql --password=*** x"],
        }),
        ("cmd.run", ["curl https://fred:hunter2@example.org/"], {}, {
            "arguments": ["curl https://fred:***@example.org/"],
        }),
        ("cmd.run", [["mysql", "--password", "hunter2"]], {}, {
            "arguments": [["mysql", "--password", "***"]],
        }),
        ("state.apply", ["web"], {"pillar": {"db": {"password": "hunter2"}}}, {
            "arguments": ["web"], "named_arguments": {"pillar": "***"},
        }),
        ("state.apply", ['pillar={"x": "hunter2"}'], {}, {"arguments": ["pillar=***"]}),
        ("x.y", [{"a": [{"API_TOKEN": "hunter2", "b": 1}]}], {}, {
            "arguments": [{"a": [{"API_TOKEN": "***", "b": 1}]}],
        }),
        (["test.echo", "shadow.set_password"], [["a"], ["fred", "hunter2"]], {}, {
            "arguments": [["a"], ["***", "***"]],
        }),
    ],
)  # fmt: skip
def test_defaults(fun: Any, args: list[Any], named: dict[str, Any], shown: dict[str, Any]) -> None:
    """Passwords and the like are hidden by default, wherever they stand; the rest is shown."""
    assert shown == DEFAULT.arguments(fun, args, named)


@pytest.mark.parametrize("value", [*TEXTS, *VALUES], ids=repr)
def test_secrets(value: Any) -> None:
    """What logs hide is hidden here too, as an argument and within one, whatever the patterns."""
    for redaction in (DEFAULT, Redaction("redacted", [])):
        shown = redaction.arguments(
            "cmd.run", [value, [value]], {"cmd": value, "env_": {"a": value}}
        )

        assert "SECRET" not in str(shown)


@pytest.mark.parametrize("text", HARMLESS)
def test_harmless_arguments(text: str) -> None:
    """What is no secret is shown."""
    assert {"arguments": [text]} == Redaction("redacted", []).arguments("cmd.run", [text], {})


def test_long_text() -> None:
    """Of a text that is too long only its length is shown."""
    text = 'password="' + "a" * TEXT_LIMIT_CHARACTERS

    assert {"arguments": ["*** (2010 characters)"]} == DEFAULT.arguments("x.y", [text], {})


def test_depth() -> None:
    """What is nested too deeply is cut off."""
    value: Any = "hunter2"
    for _ in range(99):
        value = [value]

    assert "hunter2" not in str(DEFAULT.arguments("x.y", [value], {}))


def test_rules() -> None:
    """Rules are for an argument's name, or for an argument of some functions."""
    redaction = Redaction("redacted", ["colour", "my.*:1", "*.put:va*"])
    args = ["a", "b", "COLOUR=red", "value=c"]

    assert {"arguments": ["a", "***", "COLOUR=***", "value=c"]} == redaction.arguments(
        "my.fun", args, {}
    )
    assert {
        "arguments": ["a", "b", "COLOUR=***", "***"],
        "named_arguments": {"value": "***", "other": "d"},
    } == redaction.arguments("your.put", args, {"value": "c", "other": "d"})


def test_modes() -> None:
    """Arguments can be left out, or shown as they are."""
    args = ["a", "password=b"]
    assert {} == Redaction("none", AUDIT_REDACT).arguments("x.y", args, {"c": 1})
    assert {"arguments": args, "named_arguments": {"token": "d"}} == Redaction(
        "all", AUDIT_REDACT
    ).arguments("x.y", args, {"token": "d"})
