"""YAML from outside: what it means, and how much it may come to."""

from typing import Any

import pytest
import salt.utils.yaml

from saltapi.formats import yaml_loader
from saltapi.formats.yaml_loader import LEVEL_LIMIT, VALUE_LIMIT, Allowance, NoYaml, YamlRefused
from tests.bombs import BOMBS, flat


class Counting(Allowance):
    """An allowance that says how many values were composed before the end."""

    def __init__(self, values: int = VALUE_LIMIT) -> None:
        super().__init__(values)
        self.calls = 0

    def take(self, values: int) -> None:
        self.calls += 1
        super().take(values)


@pytest.mark.parametrize("name", BOMBS)
def test_what_comes_to_too_much_is_refused(name: str) -> None:
    """Little text that stands for much is refused before much is composed, and nothing made."""
    allowance = Counting()
    with pytest.raises(YamlRefused):
        yaml_loader.load(BOMBS[name], allowance)
    assert allowance.calls <= VALUE_LIMIT + 1


@pytest.mark.parametrize("name", ["merge keys", "aliases", "keys of aliases", "pairs"])
def test_aliases_are_counted_not_followed(name: str) -> None:
    """Of what aliases multiply, only what is written there is composed."""
    allowance = Counting()
    with pytest.raises(YamlRefused):
        yaml_loader.load(BOMBS[name], allowance)
    assert allowance.calls < 100


def test_as_much_as_allowed() -> None:
    """The limit itself is allowed, aliases counted as what they stand for."""
    assert VALUE_LIMIT - 1 == len(yaml_loader.load(flat(VALUE_LIMIT - 1), Allowance()))
    with pytest.raises(YamlRefused):
        yaml_loader.load(flat(VALUE_LIMIT), Allowance())
    assert [["x", "x"], ["x", "x"]] == yaml_loader.load("[&a [x, x], *a]", Allowance(7))
    with pytest.raises(YamlRefused):
        yaml_loader.load("[&a [x, x], *a]", Allowance(6))


def test_texts_of_one_request_share_an_allowance() -> None:
    """What one text has taken, the next one has not."""
    allowance = Allowance(10)
    yaml_loader.load("[1, 2, 3, 4, 5]", allowance)
    with pytest.raises(YamlRefused):
        yaml_loader.load("[1, 2, 3, 4, 5]", allowance)


@pytest.mark.parametrize("begin", ["[", "{a: ", "- ", "? "])
def test_levels(begin: str) -> None:
    """What is nested too deeply is refused, also where aliases stand for the levels."""
    with pytest.raises(YamlRefused, match="deeper than 100"):
        yaml_loader.load(begin * (LEVEL_LIMIT + 1), Allowance())
    inside = "[" * (LEVEL_LIMIT - 1) + "]" * (LEVEL_LIMIT - 1)
    yaml_loader.load(f"[&a {inside}, *a]", Allowance())
    with pytest.raises(YamlRefused, match="deeper than 100"):
        yaml_loader.load(f"[&a {inside}, [*a]]", Allowance())


@pytest.mark.parametrize(
    "text", ["&a [*a]", "&a {b: *a}", "{a: &a {<<: *a}}", "[&a [1, {b: [*a]}]]", "&a {? *a : 1}"]
)
def test_circles(text: str) -> None:
    """An alias within what it stands for is refused."""
    with pytest.raises(YamlRefused, match="part of what it stands for"):
        yaml_loader.load(text, Allowance())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2016-01-01", "2016-01-01"),
        ("2016-13-01", "2016-13-01"),
        ("2001-12-14t21:59:43.10-05:00", "2001-12-14t21:59:43.10-05:00"),
        ("{a: 2016-01-01 10:00:00 +2}", {"a": "2016-01-01 10:00:00 +2"}),
        ("!!timestamp 2016-01-01", "2016-01-01"),
        ("010", 10),
        ("12:30", 750),
        ("{a: &a {b: 1, c: 2}, d: {<<: *a, c: 3}}", {"a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 3}}),
        ("!!binary aGk", b"hi"),
        ("", None),
        ("\ufeff{a: 1}", {"a": 1}),
    ],
)
def test_values(text: str, expected: Any) -> None:
    """Dates are as written, and the rest is as Salt reads it; in UTF-16 too."""
    assert expected == yaml_loader.load(text, Allowance())
    assert expected == yaml_loader.load(text.encode(), Allowance())
    assert expected == yaml_loader.load(text.lstrip("\ufeff").encode("utf-16"), Allowance())
    assert expected == salt.utils.yaml.safe_load(text.lstrip("\ufeff"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{a: 1, a: 2}", "the key 'a' twice in one mapping in line 1"),
        ("a: 1\nb: 2\na: 3", "the key 'a' twice in one mapping in line 3"),
        ("{1: a, 1.0: b}", "the key 1.0 twice"),
        ("{x: &x {a: 1}, y: &y {a: 2}, z: {<<: [*x, *y]}}", "the key 'a' twice"),
        ("a: b: c", "mapping values are not allowed"),
        ("--- a\n--- b", "a second document in line 2"),
        ("[&a 1, &a 2]", "the anchor 'a' twice"),
        ("[*a]", "an alias to nothing"),
        ("{[a]: b}", "a key that is a list or a mapping"),
        ("{<<: 1}", "a merge key whose value is no mapping"),
        ("!!python/object/apply:os.system [id]", "could not determine a constructor"),
        ("!!bool x", "not of its type"),
        ("!!int ''", "not of its type"),
        ("!!int " + "1:" * 5000 + "1", "too long"),
        ("9" * 5000, "too long"),
        ("a\0b", "what it must not"),
        (b"\xff", "what it must not"),
        (b"\xff\xfe\x00", "what it must not"),
        ("\ud800", "what it must not"),
    ],
)
def test_no_yaml(text: str | bytes, problem: str) -> None:
    """What is no YAML says why and where; no other error comes out."""
    with pytest.raises(NoYaml, match=problem):
        yaml_loader.load(text, Allowance())


@pytest.mark.parametrize("number", ["1:" * 500_000 + "1", "0x" + "f" * 500_000, "1" * 5000 + ".5"])
def test_long_numbers_are_text(number: str) -> None:
    """What takes long to count is not counted: time would grow with the square of its length."""
    assert number == yaml_loader.load(number, Allowance())


def test_many_directives() -> None:
    """libyaml compares each tag directive with all before it, so there cannot be many."""
    text = "".join(f"%TAG !a{n}! tag:a,2000:\n" for n in range(101)) + "--- a"
    with pytest.raises(YamlRefused, match="directives"):
        yaml_loader.load(text, Allowance())
