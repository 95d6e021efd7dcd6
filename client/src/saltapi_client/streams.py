"""Bodies that go on: lines of JSON, and server-sent events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from saltapi_client.shapes import decoded


@dataclass
class ServerSentEvent:
    """One event of `text/event-stream`; `fields` has those that are not in the standard."""

    event: str
    data: str
    id: str | None
    fields: dict[str, str]


def json_lines(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """
    Yield the objects of a stream of JSON lines; empty lines are signs of life.

    Raises:
        ServerError: A line is no JSON.
    """
    for line in lines:
        if line.strip():
            found = decoded(line)
            if isinstance(found, dict):
                yield found


def server_sent_events(lines: Iterable[bytes]) -> Iterator[ServerSentEvent]:
    """Yield the events of a stream; one without data stands for an `id` alone or a comment."""
    name = ""
    data: list[str] = []
    fields: dict[str, str] = {}
    for line in lines:
        text = line.rstrip(b"\r").decode("utf-8", "replace")
        if not text:
            yield ServerSentEvent(name, "\n".join(data), fields.get("id"), fields)
            name, data, fields = "", [], {}
            continue
        key, _, value = text.partition(":")
        value = value[1:] if value.startswith(" ") else value
        if key == "data":
            data.append(value)
        elif key == "event":
            name = value
        elif key:
            fields[key] = value
