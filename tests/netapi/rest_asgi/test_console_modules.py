"""Which scripts a script of the console needs."""

from saltapi.netapi.rest_asgi.console.modules import needed

SOURCES = {
    "main.js": 'import { a } from "./lib/a.js";\nimport "./lib/b.js";\nimport("./later.js");\n',
    "lib/a.js": '/** @type {import("../later.js").Later} */\nexport * from "../vendor/c.mjs";\n',
    "lib/b.js": 'import {\n  a,\n} from "./a.js";\nimport { main } from "../main.js";\n',
    "vendor/c.mjs": 'import{d}from"./d.mjs";',
    "vendor/d.mjs": "",
    "later.js": "",
}


def test_needed() -> None:
    """What is imported at once is needed, by whomever, once; what is imported later is not."""
    expected = ["main.js", "lib/a.js", "lib/b.js", "vendor/c.mjs", "vendor/d.mjs"]
    assert expected == needed(SOURCES, "main.js")
    assert ["vendor/c.mjs", "vendor/d.mjs"] == needed(SOURCES, "vendor/c.mjs")
