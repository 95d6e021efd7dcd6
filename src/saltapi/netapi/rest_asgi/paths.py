"""Where in the module a URL leads: prefixes, slashes too many, and slashes in names."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

from starlette.convertors import Convertor, register_url_convertor


def located(scope: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """
    Return what *scope* has to say to find the request's route, to be merged into it.

    An empty segment, also at the end, counts for nothing, and an encoded slash is part of a name:
    see `Segment`. `saltapi.base` is the path that the module is at, `saltapi.path` the one that was
    asked for; `saltapi.v1` tells whether that is below `/v1`.

    Args:
        scope: An ASGI scope, of HTTP or WebSocket.
        prefix: `root_prefix`, what stands in front of every path. Where the server has mounted us
            (`root_path`) may be that place, or be above it.
    """
    raw = scope.get("raw_path") or quote(scope["path"]).encode()
    if raw == b"*" and scope.get("method") == "OPTIONS":  # of the whole server
        raw = f"{prefix}/".encode()
    segments = [unquote(text) for text in raw.decode("latin-1").split("/") if text]
    wanted = [text for text in prefix.split("/") if text]
    mounted = [text for text in scope.get("root_path", "").split("/") if text]
    if segments[: len(mounted)] == mounted:
        segments = segments[len(mounted) :]
    if segments[: len(wanted)] == wanted:
        segments = segments[len(wanted) :]
    elif mounted != wanted:
        return {
            "path": OUTSIDE,
            "root_path": "",
            "saltapi.base": "",
            "saltapi.path": scope["path"],
            "saltapi.v1": False,
        }
    if mounted == wanted:
        mounted = []
    root_path = "".join(f"/{text}" for text in mounted)
    base = root_path + "".join(f"/{text}" for text in wanted)
    path = base + "".join(f"/{_escaped(text)}" for text in segments)
    return {
        "path": f"{path}/" if path == root_path else path,
        "root_path": root_path,
        "saltapi.base": base,
        "saltapi.path": scope["path"],
        "saltapi.v1": segments[:1] == ["v1"],
    }


OUTSIDE = "//"
"""The path of what is not below the prefix; no route has it."""


class Segment(Convertor[str]):
    """One segment of a path, `{name:segment}`; there may be a slash in it if it was encoded."""

    regex = "[^/]+"

    def convert(self, value: str) -> str:
        """Return the name."""
        return unescaped(value)

    def to_string(self, value: str) -> str:
        """Return the segment for a name."""
        return _escaped(value)


register_url_convertor("segment", Segment())


def _escaped(segment: str) -> str:
    return segment.replace("%", "%25").replace("/", "%2F")


def unescaped(segment: str) -> str:
    """Return the name that a segment of a located path stands for."""
    return segment.replace("%2F", "/").replace("%25", "%")
