"""The oldest Python that the client says it runs on."""

import ast
from pathlib import Path

import pytest

from tests.client.conftest import CLIENT

OLDEST = (3, 9)
FILES = sorted((CLIENT / "src").rglob("*.py"))
TYPES = {"bool", "bytes", "dict", "float", "int", "list", "set", "str", "tuple", "type"}
LATER = {
    "aiter",
    "anext",
    "ExceptionGroup",
    "EncodingWarning",
    "UTC",
    "Self",
    "pairwise",
    "StrEnum",
}
"""Names that came after it."""
LATER_ARGUMENTS = {"zip": {"strict"}, "dataclass": {"slots", "kw_only"}}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(CLIENT / "src")))
def test_syntax(file: Path) -> None:
    """Every module is one that it can read; annotations are the only place of `str | None`."""
    tree = ast.parse(file.read_text(), feature_version=OLDEST)
    lazy = any(isinstance(n, ast.ImportFrom) and n.module == "__future__" for n in tree.body)
    assert lazy or not any(isinstance(n, ast.FunctionDef) for n in ast.walk(tree))
    for node in evaluated(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            for side in (node.left, node.right):
                assert not is_type(side), f"line {node.lineno}"
        name = getattr(node, "id", None) or getattr(node, "attr", None)
        assert name not in LATER, f"line {getattr(node, 'lineno', 0)}: {name}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            given = {each.arg for each in node.keywords}
            assert not given & LATER_ARGUMENTS.get(node.func.id, set()), f"line {node.lineno}"


def evaluated(tree: ast.AST) -> list[ast.AST]:
    """Return the nodes of a module that are evaluated when it runs: all but annotations."""
    found: list[ast.AST] = []
    for field, value in ast.iter_fields(tree):
        if field in {"annotation", "returns"}:
            continue
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, ast.AST):
                found += [each, *evaluated(each)]
    return found


def is_type(node: ast.expr) -> bool:
    """Return whether an expression is a type, as far as can be seen."""
    if isinstance(node, ast.Subscript):
        node = node.value
        return isinstance(node, ast.Name) and (node.id in TYPES or node.id[0].isupper())
    if isinstance(node, ast.Constant):
        return node.value is None
    return isinstance(node, ast.Name) and (node.id in TYPES or node.id.istitle())
