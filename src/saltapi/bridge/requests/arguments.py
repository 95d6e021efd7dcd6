"""Arguments as Salt reads them from text."""

from typing import Any

import salt.utils.args


def from_text(text: str) -> Any:
    """
    Return the value that Salt's command line would make of *text* (`salt.utils.args.yamlify_arg`).

    `1` is an integer, `{a: 1}` and `{'a': 1}` are mappings, `foo=bar` stays a text.
    """
    return salt.utils.args.yamlify_arg(text)
