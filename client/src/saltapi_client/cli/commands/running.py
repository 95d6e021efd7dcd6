"""Commands that run something: on minions, runner and wheel functions; and `check`."""

from __future__ import annotations

import argparse
from typing import Any

from saltapi_client import errors
from saltapi_client.cli import arguments, status
from saltapi_client.cli.connecting import connect
from saltapi_client.cli.output.documents import document
from saltapi_client.cli.output.printers import Folded, printer_of
from saltapi_client.cli.terminal import is_terminal, paint_of
from saltapi_client.cli.watching import watch

STATE_FUNCTIONS = frozenset(
    {"state.apply", "state.highstate", "state.sls", "state.sls_id", "state.single"}
)
COUNTED_CHUNKS = {"runner": "runner_async", "wheel": "wheel_async", "local": "local_async"}


def salt(args: argparse.Namespace) -> int:
    """Run a function on minions."""
    chunk = minion_chunk(args)
    if args.batch and args.stages:
        raise errors.Usage("--batch and --stages are two ways to do it; take one.")
    if args.stages or (args.batch and args.max_failed is not None):
        sizes = [sized(size) for size in str(args.stages).split(",")]
        asked = {"max_failed": args.max_failed, "wait": args.batch_wait}
        chunk["batch"] = {"stages": sizes} if args.stages else {"size": sized(args.batch)}
        chunk["batch"] |= {name: value for name, value in asked.items() if value is not None}
    elif args.batch:  # as in Salt: whoever fails, it goes on
        chunk["batch"] = str(args.batch)
        if args.batch_wait is not None:
            chunk["batch_wait"] = args.batch_wait
    elif args.max_failed is not None or args.batch_wait is not None:
        raise errors.Usage("--max-failed and --batch-wait are for --batch and --stages.")
    # Nobody reads a record for each state in a document at the end.
    wants_states = chunk["fun"] in STATE_FUNCTIONS and (args.out in {None, "auto", "ndjson"})
    return started(args, chunk, progress="states" if wants_states else None, dry_run=args.dry_run)


def sized(text: str) -> int | str:
    """Return a stage's size: a number of minions, or a percentage."""
    return int(text) if text.strip().isdecimal() else text.strip()


def runner(args: argparse.Namespace) -> int:
    """Call a runner function."""
    fun = args.words[0]
    return started(
        args,
        function_chunk("runner", args),
        progress="states" if fun.startswith("state.orch") else None,
    )


def wheel(args: argparse.Namespace) -> int:
    """Call a wheel function."""
    return started(args, function_chunk("wheel", args))


def started(args: argparse.Namespace, chunk: dict[str, Any], **how: Any) -> int:
    """Run a chunk and show it to its end."""
    if args.timeout is not None:
        chunk["timeout"] = args.timeout
    if args.asynchronous:
        chunk["client"] = COUNTED_CHUNKS[chunk["client"]]
    with connect(args) as client:
        run = client.run_lowstate(chunk, key=args.key, **how)
        printer = printer_of(args)
        if args.asynchronous and is_terminal() and not args.out:
            printer = Folded(paint_of(args))
        return watch(client, run, printer)


def minion_chunk(args: argparse.Namespace) -> dict[str, Any]:
    """Return the chunk of a target, a function and its arguments."""
    if len(args.words) < 2:
        raise errors.Usage("A target and a function are needed.")
    target, fun, *rest = args.words
    positional, named = arguments.read(rest)
    tgt_type = args.tgt_type or "glob"
    tgt: Any = target
    if tgt_type == "list":
        tgt = [name for name in (part.strip() for part in target.split(",")) if name]
    chunk: dict[str, Any] = {"client": "local", "tgt": tgt, "tgt_type": tgt_type, "fun": fun}
    return with_arguments(chunk, positional, named)


def function_chunk(client: str, args: argparse.Namespace) -> dict[str, Any]:
    """Return the chunk of a function of the master."""
    positional, named = arguments.read(args.words[1:])
    return with_arguments({"client": client, "fun": args.words[0]}, positional, named)


def with_arguments(
    chunk: dict[str, Any], positional: list[Any], named: dict[str, Any]
) -> dict[str, Any]:
    """Return *chunk* with arguments, as far as there are any."""
    if positional:
        chunk["arg"] = positional
    if named:
        chunk["kwarg"] = named
    return chunk


def check(args: argparse.Namespace) -> int:
    """Say what the master would say; nothing is run."""
    chunk = minion_chunk(args) if args.client == "local" else function_chunk(args.client, args)
    with connect(args) as client:
        (found,) = client.check(chunk)
    document(
        args,
        {
            "allowed": found.allowed,
            "unknown": found.unknown,
            "minions": found.minions,
            "missing": found.missing,
            "rule": found.rule,
            "reason": found.reason,
        },
    )
    return status.OK if found.allowed else status.NOT_PERMITTED
