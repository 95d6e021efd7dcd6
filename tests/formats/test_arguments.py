"""Arguments as text: what Salt reads, within bounds."""

from typing import Any

import pytest
import salt.utils.args
from hypothesis import given, settings
from hypothesis import strategies as st

from saltapi.formats import arguments
from saltapi.formats.yaml_loader import Allowance, YamlRefused
from tests.bombs import BOMBS

CORPUS = (
    """
1|-1|0|010|-010|08|0x1F|0b11|0o17|1_000|_1|0_1|0_|1__0|null_|1e3|1.0e+3|1.5|.5|5.|.inf|-.inf|.nan
~|null|None|Null|none|true|True|yes|no|on|off|y|foo|foo bar|a: 1|{a: 1}| {a: 1}|{a: 1} |[1, 2]
 [1]|- 1|[a, {b: c}]|{a}|{a: }|#|# foo|a # b|1 # b|{a: 1} # x|a: 1 # x|- 1 # x|[1] # x|None # x
!|! |!foo|!!str 1|!!int '3'|!!int x|!!int ''|!!float ''|!!bool x|!!bool yes|!!null x|!!set {a, b}
!!omap [a: 1, b: 2]|!!pairs [a: 1, a: 2]|!!binary aGk=|!!binary aGk|{a: !!binary aGk}
!!python/name:os.system|!!python/unicode x|{a: !!python/unicode x}|!!python/object:os.system []
2016-01-01|2016-13-01|2001-12-14t21:59:43.10-05:00|{a: 2016-01-01}|[2016-01-01, 2016-13-01 10:00:00]
!!timestamp foo|[!!timestamp x]|12:30|1:2:3|190:20:30.15|00:30|11:22:33:44:55:66|1:60|2001:db8::1
{a: 1, a: 2}|{a: 1, 'a': 2}|{1: a, 1.0: b}|{1: a, true: b}|{[a]: b}|{{a: b}: c}|{? a : b}|'a'|"a"
"a\\nb"|'a|"a|{|[|}|]|,|*|&a|&a b|*a|[&a b, *a]|{a: &x {b: 1}, c: *x}|{a: &x {b: 1}, c: {<<: *x}}
{a: &x {b: 1}, c: {<<: *x, b: 2}}|{a: &x {b: 1}, c: {b: 2, <<: *x}}|{<<: 1}|{<<: [1]}|{<<: }
{a: &x {b: 1}, y: &y {b: 2}, c: {<<: [*x, *y]}}|{a: &x {b: 1}, y: &y {c: 2}, z: {<<: [*x, *y]}}
{<<: {a: 1}, <<: {b: 2}}|{<<: {a: 1}, '<<': 2}|{=: 1}|[=]|=|!!str {=: x}|!!int {=: 5}|!!int {=: 05}
{1: a, <<: {'1': b}}|[&a 1, &a 2, *a]|--- a|--- {a: 1}|a ...|%YAML 1.1|a --- b|--- a --- b|@a|`a`
foo=bar|foo==bar|a=[1,2]|a={b: 1}|a=1|1a=2|_a=1|a.b-c=3|ü=1|a=#b|a=None|a=|=a|a= 1|é|日本|+1|+.5|0xg
*.log & foo|find . -name '*.log' && rm -rf x|http://a.b/c?d=e|C:\\foo|/etc/hosts|10.0.0.1|{a: 010}
?|? a|-|--|---|...|....|a:|a:b|a :b|:a|{a:b}|{'a':1}|{"a":"b"}|{"a": [1, 2, {"b": null}]}|[,]|[a,]
[a b]|[a: b]|[? a]|[!!str 1, !!str ]|!!str|!!seq [a]|!!map {a: b}|!!seq {a: b}|!!map [a]|! 1|![1]
'#'|"# a"|a#b|a# b|[1, # x|'a' 'b'|> a|>|%|$|\\|''|""|' '|!!binary é|!!set {[a]}|{!!set {a}: 1}
1.|1._|-.|0.|00|-0|0x0|0b|0b2|!!int 0b|!!int -|!!int 1:|!!float 1:2|!!float .|!!null|!!bool|{~: a}
""".strip("\n")
    .replace("\n", "|")
    .split("|")
)
CORPUS += [
    "",
    " ",
    "|",
    "| a",
    "\t",
    "a\nb",
    "\x07",
    "\x00",
    "\ufeff1",
    "\ud800",
    "a\u2028b",
    "a\x85b",
]
CORPUS += ["9" * 4300, "9" * 4301, f"{{a: {'9' * 4301}}}"]

PIECES = [
    *"{}[]:,#&*!|>'\"%@`-?=~<. \\019_axe+",
    *("<<: ", "{<<: ", "{a: ", "[", "]", "}", "*a", "&a ", "&b ", "*b", ": ", ", ", " #", "---"),
    *("!!str ", "!!int ", "!!float ", "!!set ", "!!omap ", "!!binary ", "!!null ", "!!bool "),
    *("2016-01-01", "010", "0x", "null", "None", "true", "a", "b", "é", "a=", "__kwarg__"),
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)


def same(expected: Any, actual: Any) -> bool:
    """Return whether both are the same, also in their types and in the order of keys."""
    return repr(expected) == repr(actual)


@pytest.mark.parametrize("text", CORPUS)
def test_a_text_means_what_it_means_to_salt(text: str) -> None:
    """Each text is the value that `yamlify_arg` makes of it."""
    assert same(salt.utils.args.yamlify_arg(text), arguments.from_text(text))


@given(TEXTS | TEXTS.map(lambda text: f"[{text}]") | TEXTS.map(lambda text: f"{{a: {text}}}"))
@settings(max_examples=500)
def test_any_text_means_what_it_means_to_salt(text: str) -> None:
    """So is whatever somebody types; only a circle is refused, which Salt cannot send either."""
    try:
        actual = arguments.from_text(text)
    except YamlRefused:
        assert "*" in text
        return
    assert same(salt.utils.args.yamlify_arg(text), actual)


@pytest.mark.parametrize("text", CORPUS)
def test_named_arguments_are_those_of_salt(text: str) -> None:
    """`name=value` and `__kwarg__` are taken apart as `parse_input` does."""
    args = [
        text,
        {"a": [text]},
        {"__kwarg__": True, "z": text},
        {"__kwarg__": 1, "y": 1},
        3,
        [text],
    ]
    expected = salt.utils.args.parse_input([*args[:3], dict(args[3]), *args[4:]], condition=False)  # type: ignore[call-overload]
    args = [
        text,
        {"a": [text]},
        {"__kwarg__": True, "z": text},
        {"__kwarg__": 1, "y": 1},
        3,
        [text],
    ]
    assert same(tuple(expected), arguments.read(args))


def test_arguments_are_left_as_they_are() -> None:
    """What is read is not changed."""
    args = [{"__kwarg__": True, "a": 1}]
    arguments.read(args)
    assert [{"__kwarg__": True, "a": 1}] == args


@pytest.mark.parametrize("name", BOMBS)
def test_what_comes_to_too_much_is_refused(name: str) -> None:
    """No argument is expanded beyond measure, whatever it is called and whatever it is part of."""
    for text in (BOMBS[name], f"pillar={BOMBS[name]}"):
        with pytest.raises(YamlRefused):
            arguments.read(["a", text])


def test_texts_share_what_they_may_come_to() -> None:
    """Many texts are no way around the limit."""
    many = ["[" + "1, " * 1000 + "]"] * 6
    with pytest.raises(YamlRefused):
        arguments.read(many)


def quoted(text: str) -> str:
    """Return YAML of the text *text*."""
    return "'" + text.replace("'", "''") + "'"


@pytest.mark.parametrize("name", ["merge keys", "aliases", "a circle"])
@pytest.mark.parametrize("all_long", [False, True])
def test_the_check_looks_into_quotes(name: str, all_long: bool) -> None:
    """A text that is a text with too much in it is found: the next who reads it would expand it."""
    bomb = BOMBS[name]
    for text in (
        bomb,
        quoted(bomb),
        quoted(quoted(bomb)),
        quoted(f"a={bomb}"),
        f"b={quoted(bomb)}",
    ):
        for args in ([text], ["x", [text]]):
            with pytest.raises(YamlRefused):
                arguments.check(args, Allowance(), all_long=all_long)


@pytest.mark.parametrize("text", [*CORPUS, "a" * 100_000, "*&" * 1000, quoted(quoted("*&"))])
def test_the_check_lets_everything_else_pass(text: str) -> None:
    """What reads as little is nobody's business."""
    arguments.check([text, [text], {"a": text}, None, 1], Allowance(), all_long=True)


def test_long_texts_without_aliases_are_the_minions_business() -> None:
    """Only where they are read here they must not come to too much."""
    arguments.check([BOMBS["a long list"]], Allowance(), all_long=False)
    with pytest.raises(YamlRefused):
        arguments.check([BOMBS["a long list"]], Allowance(), all_long=True)


def test_what_takes_long() -> None:
    """Long texts are read in a thread."""
    assert not arguments.takes_long(["a" * 4000, 1, {"a": "b" * 9000}])
    assert arguments.takes_long(["a" * 4000, ["b" * 4000]])
