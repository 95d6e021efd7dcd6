"""Texts that are YAML and come to more than memory holds, or take longer than anybody waits."""


def flat(values: int) -> str:
    """Return a list of so many values."""
    return "[" + ",".join("1" for _ in range(values)) + "]"


def grown(levels: int, one: str, level: str) -> str:
    """Return a mapping of *levels* anchors, each with ten aliases of the one before."""
    lines = [f"a0: &a0 {one}"]
    for n in range(1, levels + 1):
        aliases = ", ".join([f"*a{n - 1}"] * 10)
        lines.append(f"a{n}: &a{n} " + level.format(aliases=aliases, n=n))
    return "{" + ", ".join(lines) + "}"


BOMBS = {
    "merge keys": grown(7, "{x: 1}", "{{<<: [{aliases}], k{n}: 1}}"),
    "aliases": grown(9, "[x]", "[{aliases}]"),
    "keys of aliases": grown(7, "[x]", "{{? [{aliases}] : 1}}"),
    "pairs": grown(7, "[x]", "!!omap [{{y: [{aliases}]}}]"),
    "sets": "!!set {" + ", ".join(f"k{n}" for n in range(10_000)) + "}",
    "a long list": flat(20_000),
    "a long mapping": "{" + ", ".join(f"k{n}: 1" for n in range(20_000)) + "}",
    "anchors": "[" + ", ".join(f"&a{n} 1" for n in range(20_000)) + "]",
    "tags": "[" + "!!str x, " * 20_000 + "]",
    "lists": "[" * 20_000,
    "mappings": "{a: " * 20_000,
    "a circle": "[&a [*a]]",
    "a circle of merges": "{a: &a {<<: *a}}",
}
"""By what they are made of; all are lists or mappings on one line."""
