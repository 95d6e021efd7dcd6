"""Events, hooks, and requests of any kind."""

from __future__ import annotations

import argparse
import shlex
import sys
from typing import Any

from saltapi_client import errors
from saltapi_client.cli import status
from saltapi_client.cli.connecting import connect
from saltapi_client.cli.cursors import Cursor
from saltapi_client.cli.output.documents import document
from saltapi_client.cli.output.writing import in_json, say, show, write
from saltapi_client.cli.terminal import clean, is_terminal, paint_of
from saltapi_client.records import Event, Gap


def events(args: argparse.Namespace) -> int:
    """Show events as they come, or run something for each."""
    command = shlex.split(args.execute) if args.execute else []
    if args.execute is not None and not command:
        raise errors.Usage("--exec needs a command.")
    count, failed = 0, False
    with connect(args) as client, Cursor(args.cursor) as cursor:
        stream = client.events(args.tag or (), since=cursor.read(args.since))
        stream.on_place = cursor.write
        for found in stream:
            if isinstance(found, Gap):
                say(f"saltctl: events are missing here: {found.reason}")
                continue
            if command:
                failed |= not cursor.run(command, found)
            else:
                shown(args, found)
                cursor.write(found.id)
            count += 1
            if args.count and count >= args.count:
                stream.close()
                break
    return status.FAILED if failed else status.OK


def shown(args: argparse.Namespace, event: Event) -> None:
    """Write an event: tag and data on a terminal, else as a line of JSON."""
    layout = args.out or ("auto" if is_terminal() else "ndjson")
    value = {"id": event.id, "tag": event.tag, "data": event.data}
    if layout in {"auto", "table", "nested", "highstate"}:
        from saltapi_client.cli.output import nested

        paint = paint_of(args)
        write(f"{paint('bold', clean(event.tag))}\n{nested.text(event.data, paint, indent=4)}")
    elif layout == "quiet":
        return
    elif layout == "yaml":
        write("---")
        show(value, "yaml", paint_of(args))
    elif layout == "raw":
        write(repr(value))
    else:
        write(in_json(value))


def hook(args: argparse.Namespace) -> int:
    """Fire an event."""
    with connect(args) as client:
        document(args, client.hook(args.tag, data_of(args.data)))
    return status.OK


def api(args: argparse.Namespace) -> int:
    """Send a request."""
    if not args.path.startswith("/"):
        raise errors.Usage("The path begins with a slash: /v1/jobs")
    with connect(args) as client:
        found = client.request(args.method.upper(), args.path, data_of(args.data))
    if found is not None:
        document(args, found)
    return status.OK


def data_of(text: str | None) -> Any:
    """
    Return the value of `--data`.

    Raises:
        Usage: It is neither JSON nor YAML.
    """
    if text is None:
        return None
    from saltapi_client.cli.yaml_values import NoYaml, load

    try:
        return load(sys.stdin.read() if text == "-" else text)
    except NoYaml as error:
        raise errors.Usage(f"--data is neither JSON nor YAML: {error}") from error
