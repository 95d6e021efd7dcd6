"""The fleet: minions, why one is silent, keys, documentation of functions."""

from __future__ import annotations

import argparse
from typing import Any

from saltapi_client import errors
from saltapi_client.cli import status
from saltapi_client.cli.commands.jobs import agreed
from saltapi_client.cli.connecting import connect
from saltapi_client.cli.output.documents import document, listing
from saltapi_client.cli.output.printers import tell
from saltapi_client.cli.terminal import is_terminal
from saltapi_client.cli.watching import say
from saltapi_client.client import Client

MINION_COLUMNS = ("id", "key", "connected", "last_seen", "salt_version", "os", "last_highstate")
KEY_COLUMNS = ("id", "state", "fingerprint")


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
        listing(args, MINION_COLUMNS, client.minions(limit=args.limit, **filters))
    return status.OK


def why(args: argparse.Namespace) -> int:
    """Say why a minion is silent."""
    with connect(args) as client:
        found = client.why(args.minion, args.jid)
    if args.out or not is_terminal():
        document(args, dict(found.raw))
        return status.OK
    tell(found.sentence)
    for fact in found.facts:
        what = fact if isinstance(fact, dict) else {"what": fact}
        tell(f"  {what.get('time') or ''!s:24}  {what.get('what', '')}")
    if found.next:
        tell(f"Next: {found.next}")
    return status.OK


def keys(args: argparse.Namespace) -> int:
    """List keys, or change one."""
    with connect(args) as client:
        if args.action == "list":
            listing(args, KEY_COLUMNS, client.keys())
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
