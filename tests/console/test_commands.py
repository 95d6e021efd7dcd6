"""What is typed into the form of a command becomes a chunk, and a command for elsewhere."""

import ast
import json
import shlex
import subprocess
from importlib import resources
from pathlib import Path
from typing import Any

import playwright
import pytest

from saltapi.netapi.rest_asgi import console

NODE = Path(str(playwright.__file__)).parent / "driver" / "node"
LIB = Path(str(resources.files(console).joinpath("static", "lib")))
CALL = """
const [file, name, args] = JSON.parse(await new Response(process.stdin).text());
const module = await import(file);
process.stdout.write(JSON.stringify(module[name](...args)));
"""
ADDRESS = "https://salt:8000/api"
FORM = {
    "client": "local",
    "fun": "state.apply",
    "args": "nginx test=True",
    "tgt": "web*",
    "tgt_type": "glob",
    "batch": "",
    "max_failed": "",
    "wait": "",
}
KNOWN = {"args": ["name", "user", "shell"], "defaults": [None, "/bin/sh"]}


def call(file: str, name: str, *args: Any) -> Any:
    """Return what a function of the console's `lib` returns."""
    done = subprocess.run(
        [NODE, "--input-type=module", "-e", CALL],
        input=json.dumps([str(LIB / file), name, args]),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    "line",
    ["", "a b", "a  'b c' d", '"a \\" b" \'c " d\'', "a\\ b", "x=\"{'a': 1}\"", "'' a", "ä=ß"],
)
def test_words(line: str) -> None:
    """A line has the words that a shell sees."""
    assert shlex.split(line) == call("run.js", "words", line)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"tgt": "web*"}),
        ({"tgt": "a, b c", "tgt_type": "list"}, {"tgt": ["a", "b", "c"], "tgt_type": "list"}),
        ({"batch": "10%"}, {"tgt": "web*", "batch": {"size": "10%"}}),
        (
            {"batch": "1,10%,100%", "max_failed": "2", "wait": "5"},
            {"tgt": "web*", "batch": {"stages": [1, "10%", "100%"], "max_failed": 2, "wait": 5}},
        ),
        ({"client": "runner", "batch": "5"}, {"client": "runner"}),
    ],
)
def test_chunk(changes: dict[str, str], expected: dict[str, Any]) -> None:
    """The form is one chunk."""
    whole = {"client": "local", "fun": "state.apply", "arg": ["nginx", "test=True"], **expected}
    assert whole == call("run.js", "chunkOf", {**FORM, **changes})


@pytest.mark.parametrize("args", ["nginx test=True", """"it's" '{a: "ü\u202e"}'""", "'$HOME `id`'"])
def test_copies(args: str) -> None:
    """The same for curl, saltctl and Python says what the chunk says, whatever stands in it."""
    form = {**FORM, "args": args, "tgt": "G@os:D* and web*", "tgt_type": "compound", "batch": "5%"}
    chunk = call("run.js", "chunkOf", form)
    curl = shlex.split(call("copies.js", "asCurl", form, ADDRESS).replace("\\\n", " "))
    assert f"{ADDRESS}/v1/run" in curl
    assert chunk == json.loads(curl[-1])
    saltctl = shlex.split(call("copies.js", "asSaltctl", form))
    assert ["saltctl", "-C", "--batch", "5%", chunk["tgt"], chunk["fun"], *chunk["arg"]] == saltctl
    source = call("copies.js", "asPython", form, ADDRESS, "ops", "pam")
    (run,) = (
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "run"
    )
    assert [chunk["tgt"], chunk["fun"], chunk["arg"]] == [ast.literal_eval(a) for a in run.args]
    named = {word.arg: ast.literal_eval(word.value) for word in run.keywords}
    assert {"tgt_type": "compound", "batch": {"size": "5%"}} == named


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("", ["", "", ""]),
        ("id root", ["id", "root", ""]),
        ("id shell=/bin/bash", ["id", "", "/bin/bash"]),
        ("'a b' user=x extra=1", ["a b", "x", ""]),
    ],
)
def test_fields(line: str, values: list[str]) -> None:
    """Each argument is a field, with what the line says of it and its default."""
    fields = call("arguments.js", "fieldsOf", line, KNOWN)
    assert values == [field["value"] for field in fields]
    assert [True, False, False] == [field["needed"] for field in fields]
    assert ["", "None", "/bin/sh"] == [field["hint"] for field in fields]


@pytest.mark.parametrize(
    ("line", "name", "value", "expected"),
    [
        ("", "name", "a b", ["a b"]),
        ("", "user", "root", ["user=root"]),
        ("id", "user", "root", ["id", "root"]),
        ("id root", "name", "", ["", "root"]),
        ("id root", "user", "", ["id"]),
        ("id shell=x", "shell", "", ["id"]),
        ("id shell=x", "shell", "it's", ["id", "shell=it's"]),
        ("", "name", "A=1 b", ["name=A=1 b"]),
        ("id", "name", '"\\', ['"\\']),
    ],
)
def test_filled_in(line: str, name: str, value: str, expected: list[str]) -> None:
    """What is typed into a field stands in the line."""
    assert expected == shlex.split(call("arguments.js", "withField", line, KNOWN, name, value))
