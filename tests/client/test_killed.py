"""`saltctl`, killed again and again: nothing is done twice, and nothing is left out."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.apis import ApiServer
from tests.client.answers import Answers
from tests.client.conftest import client_of, environment
from tests.client.test_ctrl_c import environment_at
from tests.client.test_exit_status import lines
from tests.waiting import eventually, scaled

KILLS = 100
LIFE_SECONDS = (0.2, 1.2)
KILLS_OF_A_JOB = 5
SALTCTL = [sys.executable, "-m", "saltapi_client"]
TAG = "salt/netapi/hook/killed"
EVENT = {"type": "event", "id": "1-a-b", "tag": "salt/x", "data": {}}
STATES = """
{% for number in range(4) %}
note_{{ number }}:
  cmd.run:
    - name: echo {{ pillar['job'] }} {{ grains['id'] }} {{ number }} >> FILE
{% endfor %}
"""


def live(words: list[str], env: dict[str, str], seconds: float, out: Path | None = None) -> bool:
    """Start `saltctl` and kill its process group; return whether it has ended by itself before."""
    with (out or Path(os.devnull)).open("ab") as file:
        process = subprocess.Popen([*SALTCTL, *words], env=env, stdout=file, start_new_session=True)
    with suppress(subprocess.TimeoutExpired):
        assert 0 == process.wait(seconds)
        return True
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return False


def some_seconds() -> float:
    """Return how long a `saltctl` may live."""
    return random.uniform(*LIFE_SECONDS)  # noqa: S311 - no secret


@contextmanager
def firing(api: ApiServer) -> Iterator[list[str]]:
    """Fire events all the time, in the background; yields the tags, which are complete after it."""
    fired: list[str] = []
    ended = threading.Event()

    def fire() -> None:
        with client_of(api) as client:
            while not ended.wait(0.2):
                client.hook(f"killed/{len(fired)}")
                fired.append(f"{TAG}/{len(fired)}")

    thread = threading.Thread(target=fire)
    thread.start()
    try:
        yield fired
    finally:
        ended.set()
        thread.join()


@pytest.mark.long
@pytest.mark.timeout(300)
def test_events(asgi: ApiServer, tmp_path: Path) -> None:
    """Of 100 kills during `events --exec` no event's command notices: each runs once, in order."""
    begun, done, cursor, program = (tmp_path / n for n in ("begun", "done", "cursor", "program"))
    note = 'echo "$SALTCTL_EVENT_TAG$SALTCTL_EVENT_AGAIN"'
    program.write_text(f"{note} >> {begun}\nsleep 0.1\n{note} >> {done}\n")
    begun.touch()
    done.touch()
    words = ["events", "--tag", f"{TAG}/*", "--cursor", str(cursor), "--exec", f"sh {program}"]
    env = environment(tmp_path, asgi)
    with subprocess.Popen([*SALTCTL, *words], env=env, start_new_session=True) as first:
        eventually(cursor.exists)
        first.kill()
    hit = 0
    with firing(asgi) as fired:
        for _ in range(KILLS):
            assert not live(words, env, some_seconds())
            hit += len(begun.read_text()) > len(done.read_text())
    with subprocess.Popen([*SALTCTL, *words], env=env) as last:
        eventually(lambda: fired[-1] in done.read_text().splitlines(), 120)
        last.terminate()

    assert fired == done.read_text().splitlines() == begun.read_text().splitlines()
    assert hit > KILLS / 20, "hardly any kill came while a command ran"


def resume(number: int, out: Path) -> list[str]:
    """Return how a script goes on with a job: by the key, or after the last whole line it has."""
    text = out.read_text() if out.exists() else ""
    out.write_text(text[: text.rfind("\n") + 1])
    records = [json.loads(line) for line in out.read_text().splitlines()]
    places = [record["cursor" if record["type"] == "state" else "id"] for record in records]
    if not places:
        pillar = json.dumps({"job": number})
        return ["*", "state.apply", "killed", f"pillar={pillar}", "--key", f"{out.parent}-{number}"]
    return ["follow", records[0]["jid"], "--after", places[-1]]


def see_through(number: int, out: Path, env: dict[str, str]) -> int:
    """Run a job to its end, whatever kills come between; return how many there were."""
    for kills in range(KILLS_OF_A_JOB):
        words = [*resume(number, out), "--out", "ndjson"]
        if live(words, env, some_seconds(), out):
            return kills
    assert live([*resume(number, out), "--out", "ndjson"], env, scaled(60), out)
    return KILLS_OF_A_JOB


def once(record: dict[str, Any]) -> tuple[Any, ...] | None:
    """Return what a record must be alone with."""
    if record["type"] in {"job", "return", "state", "summary"}:
        return record["type"], record.get("minion"), record.get("number")
    return None


@pytest.mark.long
@pytest.mark.timeout(900)
def test_jobs(asgi: ApiServer, tmp_path: Path) -> None:
    """Of 100 kills during jobs nothing is to be seen: each runs once, and says each thing once."""
    noted = tmp_path / "noted"
    states = asgi.master.directory / "states"
    states.mkdir(exist_ok=True)
    states.joinpath("killed.sls").write_text(STATES.replace("FILE", str(noted)))
    env = environment(tmp_path, asgi)
    kills = jobs = 0
    while kills < KILLS:
        kills += see_through(jobs, tmp_path / f"job-{jobs}", env)
        jobs += 1

    minions = ["minion-1", "minion-2"]
    wanted = [f"{job} {m} {n}" for job in range(jobs) for m in minions for n in range(4)]
    assert Counter(wanted) == Counter(noted.read_text().splitlines())
    said: set[tuple[Any, ...]] = {
        ("job", None, None),
        ("summary", None, None),
        *(("return", m, None) for m in minions),
    }
    said |= {("state", minion, number) for minion in minions for number in range(1, 5)}
    jids = set()
    for job in range(jobs):
        records = [json.loads(line) for line in (tmp_path / f"job-{job}").read_text().splitlines()]
        assert dict.fromkeys(said, 1) == Counter(filter(None, map(once, records)))
        jids |= {record["jid"] for record in records if record.get("jid")}
    assert jobs == len(jids)


def test_everything_killed(tmp_path: Path) -> None:
    """A command that is killed with what ran it is run again, and told so."""
    program, cursor = tmp_path / "program", tmp_path / "cursor"
    program.write_text(
        f'echo "$PPID $SALTCTL_EVENT_ID $SALTCTL_EVENT_AGAIN"\n'
        f"while ! test -e {tmp_path}/go; do sleep 0.1; done\n"
    )
    words = ["events", "--cursor", str(cursor), "--count", "1", "--exec", f"sh {program}"]
    with Answers() as server:
        server.by_path["/v1/events"] = lines({"type": "start", "id": "1-a-a"}, EVENT)
        env = environment_at(server, tmp_path)
        with subprocess.Popen(
            [*SALTCTL, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            runs, *said = process.stdout.readline().split()
            assert ["1-a-b"] == said
            assert "1-a-a\nrunning 1-a-b\n" == cursor.read_text()
            os.killpg(int(runs), signal.SIGKILL)
            assert "was killed" in process.stderr.read()
            assert 1 == process.wait(scaled(20))
        (tmp_path / "go").touch()
        found = subprocess.run(
            [*SALTCTL, *words], env=env, capture_output=True, text=True,
            timeout=scaled(20), check=True,
        )  # fmt: skip

    assert ["1-a-b", "1"] == found.stdout.split()[1:]
    assert "it is done again" in found.stderr
    assert "1-a-b\n" == cursor.read_text()
