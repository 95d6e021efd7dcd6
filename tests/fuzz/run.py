"""A run of the fuzzer: a master with random permissions, many random requests, one verdict."""

import json
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from saltapi import APIClient, config
from saltapi.demo import PrivateMaster
from tests.fuzz.doors import Doors
from tests.fuzz.lowstates import Case, case
from tests.fuzz.permissions import MINIONS, MODULES, NODEGROUPS, World, world
from tests.fuzz.witness import Call, Witness
from tests.waiting import eventually, scaled

READY_SECONDS = 60.0
QUIET_SECONDS = 2.0
AT_ONCE = 8
CASES_FOR_EACH_USER = 8
ROUND = 2500
"""Cases that one master sees; the next ones get new permissions."""
HERE = Path(__file__).parent


@dataclass
class Report:
    """
    What came of a run.

    Attributes:
        chunks: How many commands were sent.
        outcomes: Door and answer -> how often.
        calls: How many calls of functions were seen.
        wrong: Those that were not allowed.
    """

    chunks: int = 0
    calls: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def run(seed: int, chunks: int, tell: Callable[[str], None] = lambda _line: None) -> Report:
    """
    Send *chunks* random commands, the same ones for the same *seed*, and judge what they did.

    Args:
        seed: Where chance begins.
        chunks: How many commands; a request has one to three of them.
        tell: Takes a line about the progress.
    """
    report, number = Report(), 0
    while report.chunks < chunks:
        rng = random.Random(f"{seed}-{number}")  # noqa: S311 - not a secret
        size = min(ROUND, chunks - report.chunks)
        found = world(rng, max(10, size // CASES_FOR_EACH_USER))
        cases: list[Case] = []
        while sum(len(one.lowstate) for one in cases) < size:
            cases.append(case(rng, list(found.users)))
        _round(found, cases, report)
        report.chunks += sum(len(one.lowstate) for one in cases)
        number += 1
        tell(f"{report.chunks} commands, {report.calls} calls, {len(report.wrong)} not allowed")
    return report


def _round(found: World, cases: list[Case], report: Report) -> None:
    """Send *cases* to a new master and add to *report* what they did."""
    with tempfile.TemporaryDirectory(prefix="saltapi-fuzz-") as name:
        directory = Path(name)
        passwords = write(found, directory)
        with master_of(found, directory) as master:
            master.wait_ready(timeout=scaled(READY_SECONDS))
            opts = config.load(master.config_dir)
            witness = Witness(opts, found.users, directory / "trace")
            with Doors(master, passwords) as doors, ThreadPoolExecutor(AT_ONCE) as threads:
                outcomes = list(threads.map(doors.send, cases))
                with APIClient(opts) as client:
                    client.local("*", "test.ping", **master.credentials())
                _wait_until_quiet(witness)
            for one, outcome in zip(cases, outcomes, strict=True):
                report.outcomes[f"{one.door} {outcome}"] += 1
            for call in witness.calls():
                report.calls += 1
                if not witness.allows(call):
                    report.wrong.append(_described(call, found, witness))


def write(found: World, directory: Path) -> dict[str, str]:
    """Write the modules for Salt and the users; return the passwords."""
    passwords = {user: f"password of {user}" for user in found.users}
    users = {
        user: {"password": passwords[user], "groups": groups}
        for user, groups in found.users.items()
    }
    (directory / "users").write_text(json.dumps(users))
    (directory / "auth").mkdir()
    shutil.copy(HERE / "eauth.py", directory / "auth" / "fuzz.py")
    (directory / "marks").mkdir()
    for module in MODULES:
        shutil.copy(HERE / "mark.py", directory / "marks" / f"{module}.py")
    return passwords


def master_of(found: World, directory: Path) -> PrivateMaster:
    marks, trace = [str(directory / "marks")], str(directory / "trace")
    options = {
        "external_auth": {"fuzz": found.external_auth},
        "nodegroups": NODEGROUPS,
        "auth_dirs": [str(directory / "auth")],
        "runner_dirs": marks,
        "wheel_dirs": marks,
        "fuzz_users": str(directory / "users"),
        "fuzz_trace": trace,
    }
    # Jobs in threads: a process for each of them takes ten times as long.
    minion = {"module_dirs": marks, "fuzz_trace": trace, "multiprocessing": False}
    return PrivateMaster(minions=MINIONS, options=options, minion_options=minion)


def _wait_until_quiet(witness: Witness) -> None:
    """Return when nothing has been traced for a while."""
    seen, since = witness.size(), time.monotonic()

    def quiet() -> bool:
        nonlocal seen, since
        if witness.size() != seen:
            seen, since = witness.size(), time.monotonic()
        return time.monotonic() - since > scaled(QUIET_SECONDS)

    eventually(quiet, READY_SECONDS)


def _described(call: Call, found: World, witness: Witness) -> str:
    """Return everything that is known of a call that should not have been."""
    load = witness.load(call.jid)
    sent = {key: load.get(key) for key in ("fun", "arg", "tgt", "tgt_type")}
    entries = {
        key: value
        for key, value in found.external_auth.items()
        if key == call.user or key[-1] in "*%"
    }
    return f"{call}\n  groups: {found.users.get(call.user)}\n  job: {sent}\n  rules: {entries}"
