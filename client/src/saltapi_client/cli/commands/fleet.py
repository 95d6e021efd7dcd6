"""The fleet: minions, why one is silent, keys, documentation of functions."""

from __future__ import annotations

import argparse
import re
from typing import Any
from urllib.parse import unquote

from saltapi_client import errors
from saltapi_client.cli import status
from saltapi_client.cli.commands.jobs import agreed
from saltapi_client.cli.connecting import connect
from saltapi_client.cli.output.documents import age, document, listing
from saltapi_client.cli.output.writing import say, tell
from saltapi_client.cli.terminal import is_terminal, size, wrapped
from saltapi_client.client import Client
from saltapi_client.resources import Minion

MINION_COLUMNS = ("id", "key", "connected", "last_seen", "salt_version", "os", "last_highstate")
KEY_COLUMNS = ("id", "state", "fingerprint")
FACT_COLUMNS = 28
MINION = "MINION"
REQUESTS = (
    (r"GET /v1/jobs/(\d+)\?wait=\d+", r"saltctl follow \1"),
    (r"GET /v1/jobs/(\d+)", r"saltctl job \1"),
    (r"POST /v1/jobs/(\d+)/rerun", rf"saltctl rerun \1 --minions {MINION}"),
    (r"POST /v1/keys/([^/\s]+)/accept", r"saltctl keys accept \1"),
    (r"DELETE /v1/keys/([^/\s,.]+)", r"saltctl keys delete \1"),
    (r"GET /v1/minions\?tgt=…", "saltctl minions --tgt …"),
    (r"GET /v1/(minions|jobs|whoami)", r"saltctl \1"),
    (r"send ask=true along", f"saltctl why {MINION} --ask"),
)
"""What the API says to ask next, and how it is asked here."""


def minions(args: argparse.Namespace) -> int:
    """List minions."""
    filters = {
        "id": args.id,
        "tgt": args.tgt,
        "tgt_type": args.minion_tgt_type,
        "grain": args.grain,
        "key": args.key_state,
        "connected": args.connected,
        "highstate": args.highstate,
        "sort": args.sort,
    }
    with connect(args) as client:
        found = client.minions(limit=args.limit, **filters)
        listing(args, MINION_COLUMNS, found, cells={"last_seen": seen})
    return status.OK


def why(args: argparse.Namespace) -> int:
    """Say why a minion is silent."""
    with connect(args) as client:
        found = client.why(args.minion, args.jid, ask=args.ask)
    if args.out or not is_terminal():
        document(args, dict(found.raw))
        return status.OK
    tell(found.sentence)
    for fact in found.facts:
        what = fact if isinstance(fact, dict) else {"what": fact}
        lines = wrapped(str(what.get("what", "")), size()[0], FACT_COLUMNS) or [""]
        tell(f"  {what.get('time') or ''!s:24}".ljust(FACT_COLUMNS) + lines[0].lstrip())
        for line in lines[1:]:
            tell(line)
    if found.next:
        tell(f"Next: {as_commands(str(found.next), args.minion)}")
    return status.OK


def as_commands(text: str, minion: str) -> str:
    """Return a sentence of the API about a minion with commands in the place of requests."""
    for request, command in REQUESTS:
        for found in reversed(list(re.finditer(request, text))):
            said = unquote(found.expand(command)).replace(MINION, minion)
            text = text[: found.start()] + said + text[found.end() :]
    return text


def seen(minion: Minion) -> str:
    """Return how long ago a minion was seen."""
    return age(minion.last_seen)


def keys(args: argparse.Namespace) -> int:
    """List keys, or change one."""
    with connect(args) as client:
        if args.action == "list":
            listing(args, KEY_COLUMNS, client.keys(), whole=["fingerprint"])
            return status.OK
        if not args.minion:
            raise errors.Usage(f"Whose key? saltctl keys {args.action} MINION")
        return changed(args, client)


def changed(args: argparse.Namespace, client: Client) -> int:
    """Change a key: the one whose fingerprint was given, or that was shown and agreed to."""
    fingerprint = args.fingerprint
    if fingerprint is None:
        listed = client.keys()
        found = next((key for key in listed if key.id == args.minion), None)
        if found is None:
            raise errors.NotFound(f"There is no key of {args.minion}.", status=404)
        fingerprint = found.fingerprint
        if not args.yes:
            say(f"{found.id} is {found.state}; its fingerprint is\n  {fingerprint or 'not known'}")
            if not agreed():
                say("Nothing is changed: name --fingerprint, or --yes for whichever it is.")
                return status.USAGE
    client.change_key(args.minion, args.action, fingerprint)
    said = {"accept": "accepted", "reject": "rejected", "delete": "deleted"}[args.action]
    if is_terminal() and not args.out:
        tell(f"{args.minion}: {said}")
    else:
        document(args, {args.minion: said})
    return status.OK


def docs(args: argparse.Namespace) -> int:
    """Show the documentation of a function."""
    with connect(args) as client:
        found = documentation(client, args)
    if not found:
        raise errors.NotFound(f"There is no documentation of {args.function}.", status=404)
    if is_terminal() and not args.out:
        for name, text in sorted(found.items()):
            tell(f"{name}:\n\n{text}\n")
    else:
        document(args, found)
    return status.OK


def documentation(client: Client, args: argparse.Namespace) -> dict[str, Any]:
    """Return documentation by function; from the server, else from a minion or the master."""
    wanted = args.function
    try:
        listed = client.functions(
            minion=args.minion, client=args.client, fun=f"{wanted}*", docs=True
        )
        found = {name: str(each["doc"]) for name, each in listed.items() if each.get("doc")}
        if found:
            return {wanted: found[wanted]} if wanted in found else found
    except (errors.NotSupported, errors.BadRequest):
        pass  # an older server; the functions themselves say it too
    if args.client:
        run = client.runner(f"doc.{args.client}")
        results = [getattr(record, "result", None) for record in run]
        all_of = next((value for value in results if isinstance(value, dict)), {})
        return {name: text for name, text in all_of.items() if name.startswith(wanted)}
    for record in client.run(args.minion or "*", "sys.doc", [wanted]):
        value = getattr(record, "value", None)
        if isinstance(value, dict) and value:
            return value
    return {}
