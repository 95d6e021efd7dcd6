"""Jobs: list, show, compare, follow, run again, end."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from saltapi_client import errors
from saltapi_client.cli import status
from saltapi_client.cli.connecting import connect
from saltapi_client.cli.output.documents import document, listing
from saltapi_client.cli.output.printers import printer_of
from saltapi_client.cli.output.writing import say, write
from saltapi_client.cli.terminal import is_terminal, paint_of, size
from saltapi_client.cli.watching import watch
from saltapi_client.resources import Job, ListedJob

LIST_COLUMNS = ("jid", "fun", "tgt", "user", "state", "returned", "failed")
WORST_LAST = ("missing", "failed")


def jobs(args: argparse.Namespace) -> int:
    """List jobs."""
    with connect(args) as client:
        filters = {
            name: getattr(args, name)
            for name in ("fun", "minion", "tgt", "state", "since", "until")
        }
        found = client.jobs(limit=args.limit, user=args.job_user, **filters)
        cells = {"returned": returned, "failed": failures}
        listing(args, LIST_COLUMNS, found, whole=["state"], cells=cells)
    return status.OK


def returned(listed: ListedJob) -> str:
    """Return how many have returned, of how many that were expected."""
    if listed.returned is None or listed.expected is None:
        return ""
    return f"{listed.returned} of {listed.expected}"


def failures(listed: ListedJob) -> str:
    """Return how many have failed; nothing for none."""
    return str(listed.failed) if listed.failed else ""


def job(args: argparse.Namespace) -> int:
    """Show a job, or what differs from another one."""
    with connect(args) as client:
        found = client.job(args.jid, wait=args.wait)
        other = client.job(args.diff) if args.diff else None
    if other is not None:
        told = difference(found, other)
        if is_terminal() and not args.out:
            from saltapi_client.cli.output import differences

            write(differences.text(told, paint_of(args), size()[0]))
        else:
            document(args, told)
    else:
        shown = {"jid": found.jid, **found.raw} if "returns" in found.raw else plain_job(found)
        document(args, shown)
    return status.of_results(failed=bool(found.failed), missing=bool(found.missing))


def plain_job(found: Job) -> dict[str, Any]:
    """Return a job as `/v1` has it."""
    from dataclasses import asdict

    return {key: value for key, value in asdict(found).items() if key != "raw"}


def difference(found: Job, other: Job) -> dict[str, Any]:
    """Return what differs from another job, the minions with the same difference together."""
    groups: dict[str, dict[str, Any]] = {}
    same = 0
    for minion in sorted({*found.expected, *other.expected}):
        now, before = answer(found, minion), answer(other, minion)
        if now == before:
            same += 1
            continue
        told = {"before": before, "now": now}
        key = json.dumps(told, sort_keys=True, default=str)
        groups.setdefault(key, {"minions": [], **told})["minions"].append(minion)
    ordered = sorted(groups.values(), key=lambda group: -len(group["minions"]))
    return {"jid": found.jid, "diff": other.jid, "same": same, "different": ordered}


def answer(found: Job, minion: str) -> Any:
    """Return what a minion has answered in a job, without what differs each time."""
    if minion not in found.returns:
        return {"missing": found.missing.get(minion, "not asked")}
    value = found.returns[minion].get("return")
    return steady(value)


def steady(value: Any) -> Any:
    """Return a value without the times of states, and the numbers of their processes."""
    if isinstance(value, dict):
        left_out = {"start_time", "duration"} if "__run_num__" in value else set()
        if {"pid", "retcode", "stderr", "stdout"} <= set(value):
            left_out = left_out | {"pid"}
        return {key: steady(each) for key, each in value.items() if key not in left_out}
    return [steady(each) for each in value] if isinstance(value, list) else value


def follow(args: argparse.Namespace) -> int:
    """Show a job from its beginning to its end."""
    with connect(args) as client:
        wants_states = args.out in {None, "auto", "ndjson"}
        run = client.follow(args.jid, after=args.after, progress="states" if wants_states else None)
        return watch(client, run, printer_of(args))


def rerun(args: argparse.Namespace) -> int:
    """Run a job again; what would run is shown first, where the server asks for that."""
    which: Any = args.which or "all"
    if args.minions:
        which = [name for name in args.minions.split(",") if name]
    with connect(args) as client:
        try:
            return watch(client, client.rerun(args.jid, which), printer_of(args))
        except errors.ConfirmationNeeded as error:
            say(f"This would run:\n{json.dumps(error.command, indent=2)}")
            if not (args.yes or agreed()):
                say("Nothing has run; --yes runs it.")
                return status.USAGE
            run = client.rerun(args.jid, which, confirm=error.confirm)
            return watch(client, run, printer_of(args))


def agreed() -> bool:
    """Return whether somebody is there and says yes."""
    if not (sys.stdin.isatty() and is_terminal(sys.stderr)):
        return False
    sys.stderr.write("Run it? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def pause(args: argparse.Namespace) -> int:
    """Let no stage of a change begin for now."""
    with connect(args) as client:
        document(args, change(client.pause(args.jid)))
    return status.OK


def resume(args: argparse.Namespace) -> int:
    """Go on with a change in stages."""
    with connect(args) as client:
        document(args, change(client.resume(args.jid)))
    return status.OK


def change(found: Job) -> dict[str, Any]:
    """Return how a change in stages is."""
    batch = found.raw.get("batch")
    known = batch if isinstance(batch, dict) else {}
    head = {name: known.get(name) for name in ("state", "reason")}
    return {"jid": found.jid, **head}


def stop(args: argparse.Namespace) -> int:
    """End a job on its minions."""
    with connect(args) as client:
        outcomes = client.stop(args.jid)
    if not outcomes and is_terminal() and not args.out:
        write("It runs nowhere any more.")
    else:
        document(args, outcomes)
    left = {"still_running", "refused", "no_response"}
    return status.FAILED if left & set(outcomes.values()) else status.OK
