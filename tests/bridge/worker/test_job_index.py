"""The index of the job cache: what is found in it, in bounded parts, within a bounded file."""

import fnmatch
import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from saltapi.bridge.worker import job_index, job_texts
from saltapi.bridge.worker.job_index import JobIndex, Search

SOURCE = "a job cache"


@pytest.fixture
def index(tmp_path: Path) -> Iterator[JobIndex]:
    found = JobIndex(tmp_path / "saltapi" / job_index.FILE)
    yield found
    found.close()


def jid_of(number: int) -> str:
    return f"20260101{number:012}"


def fill(index: JobIndex, loads: list[dict[str, Any]]) -> None:
    with index.changing(SOURCE):
        for number, load in enumerate(loads):
            index.put(number, jid_of(number), 1, load)


def found(index: JobIndex, wanted: Search) -> list[str]:
    """Return all that is found, part by part."""
    jids: list[str] = []
    before = None
    while True:
        part = index.search(wanted, before)
        jids += part.jobs
        before = part.last
        if before is None:
            return jids


def test_parts(index: JobIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list comes in parts, the newest first, each job once; no part looks through more."""
    monkeypatch.setattr(job_index, "SEARCHED_JOBS", 7)
    monkeypatch.setattr(job_index, "FOUND_JOBS", 3)
    loads = [{"fun": f"test.f{number % 5}", "user": "root"} for number in range(40)]
    fill(index, [{**loads[0], "user": "somebody"}, *loads[1:]])
    newest_first = [jid_of(number) for number in reversed(range(40))]

    assert newest_first == found(index, Search())
    assert newest_first[:3] == list(index.search(Search(), None).jobs)
    assert newest_first[4::5] == found(index, Search(fun="test.f0"))
    oldest = index.search(Search(user="some*"), None)
    assert ({}, newest_first[6]) == (oldest.jobs, oldest.last)
    nothing = index.search(Search(fun="nothing"), None)
    assert ({}, None) == (nothing.jobs, nothing.last)  # no job has such a text
    assert newest_first[:10] == found(index, Search(since=newest_first[9]))


@pytest.mark.parametrize("limit", ["", "TRIED_TEXTS", "NAMED_TEXTS", "TEXTS_BYTES"])
def test_patterns(index: JobIndex, limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Whatever a shell pattern fits is found, however many texts there are.

    Who asks leaves out what was too much.
    """
    if limit:
        monkeypatch.setattr(job_texts, limit, 100)
    chosen = random.Random(limit)  # noqa: S311
    letters = "ab*?[]!^-.\x1f\\é\n"
    words = ["".join(chosen.choices(letters, k=chosen.randrange(6))) for _ in range(300)]
    values: list[Any] = [*words, words[:3], None, "x" * 5_000, "a\0b", "\ud800", 7, {"a": 1}]
    with index.changing(SOURCE):
        for number, value in enumerate(values):
            load = {"fun": value, "tgt": value, "user": value}
            index.put(number, jid_of(number), 1, load, minions=[f"{value}", "another"])
    for _ in range(100):
        pattern = "".join(chosen.choices([*letters, "\ud800"], k=chosen.randrange(8)))
        searches = {
            "fun": Search(fun=pattern),
            "tgt": Search(tgt=pattern),
            "user": Search(user=pattern),
            "minion": Search(minion=pattern),
        }
        for option, search in searches.items():
            jids = found(index, search)
            for number, word in enumerate(words):
                if fnmatch.fnmatchcase(word, pattern):
                    assert jid_of(number) in jids, (option, pattern, word)


def test_minions(index: JobIndex) -> None:
    """Jobs are found by their minions, each for itself; those of unknown minions always are."""
    lists = [["web-1", "web-2"], ["db-1"], None, ["web-2", "db-1"], []]
    with index.changing(SOURCE):
        for number, minions in enumerate(lists):
            index.put(number, jid_of(number), 1, {"fun": "test.ping"}, minions=minions)

    assert [jid_of(3), jid_of(2), jid_of(1)] == found(index, Search(minion="db-*"))
    assert [jid_of(2), jid_of(0)] == found(index, Search(minion="web-[1]"))
    assert [jid_of(2)] == found(index, Search(minion="web*db-1"))
    assert [jid_of(2)] == found(index, Search(minion="nothing"))


def test_outstanding(index: JobIndex) -> None:
    """Jobs that every minion has returned need not be looked at for those that wait."""
    with index.changing(SOURCE):
        for number, whole in enumerate([True, False, True]):
            index.put(number, jid_of(number), 1, {"fun": "test.ping"}, whole=whole)
    assert [jid_of(1)] == found(index, Search(outstanding=True))


def test_later_texts(index: JobIndex) -> None:
    """What a pattern fits is found also where it came later, or another had its place before."""
    fill(index, [{"fun": "test.ping"}])
    wanted = Search(fun="test.*")
    assert [jid_of(0)] == found(index, wanted)
    with index.changing(SOURCE):
        index.remove([0])
        index.tidy()
        index.put(1, jid_of(1), 1, {"fun": "state.apply"})
    assert [] == found(index, wanted)
    with index.changing(SOURCE):
        index.put(2, jid_of(2), 1, {"fun": "test.arg"})
        index.tidy()
    assert [jid_of(2)] == found(index, wanted)
    assert [jid_of(2), jid_of(1)] == found(index, Search())


def test_owner_and_without(index: JobIndex) -> None:
    """A user's own jobs are found by the name as it is, and functions can be left out."""
    looks = ["saltutil.find_job", "runner.jobs.*"]
    names = ["*", "low", "saltutil.find_job", "low"]
    functions = ["test.ping", ["test.ping", "runner.jobs.list_jobs"], "saltutil.find_job", "x"]
    pairs = zip(names, functions, strict=True)
    fill(index, [{"user": user, "fun": fun} for user, fun in pairs])

    assert [jid_of(0)] == found(index, Search(owner="*"))
    assert [jid_of(3), jid_of(1)] == found(index, Search(owner="low"))
    assert [jid_of(3), jid_of(0)] == found(index, Search(without=tuple(looks)))


def test_full(tmp_path: Path) -> None:
    """A file that is full leaves the oldest jobs out, says so, and does not take them again."""
    index = JobIndex(tmp_path / job_index.FILE, max_bytes=200_000)
    for part in range(20):
        with index.changing(SOURCE):
            for number in range(part * 100, part * 100 + 100):
                index.put(number, jid_of(number), 1, {"fun": "test.ping", "arg": ["x" * 100]})
    jids = found(index, Search())
    assert index.omits
    assert 2000 > len(jids) > 100
    assert [jid_of(number) for number in reversed(range(2000 - len(jids), 2000))] == jids
    assert set(range(2000)) == index.keys(0, 2000)
    assert index.path.stat().st_size < 2 * 200_000
    index.close()


def test_another_source(index: JobIndex) -> None:
    """What is known of one job cache is forgotten when there is another one."""
    fill(index, [{"fun": "test.ping"}])
    with index.changing(SOURCE):
        index.note("complete", "1")
    with index.changing("another"):
        assert ({}, {}, False) == (index.versions(), index.tops(), index.complete)


def test_another_version(tmp_path: Path) -> None:
    """The file of another version is made anew."""
    path = tmp_path / job_index.FILE
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE search (id INTEGER PRIMARY KEY AUTOINCREMENT)")
        database.execute("INSERT INTO search VALUES (7)")
        database.execute("PRAGMA user_version = 1")
    database.close()
    index = JobIndex(path)
    fill(index, [{"fun": "test.ping"}])
    assert [jid_of(0)] == found(index, Search())
    index.close()


@pytest.mark.parametrize("damage", ["overwritten", "removed"])
def test_damage(index: JobIndex, damage: str) -> None:
    """A damaged file is made anew, and so is one that was removed; both are for us alone."""
    fill(index, [{"fun": "test.ping"}])
    if damage == "removed":
        index.path.unlink()
    else:
        index.close()
        index.path.write_bytes(b"no database " * 1000)
        with pytest.raises(sqlite3.DatabaseError):
            index.complete  # noqa: B018
    assert not index.complete
    fill(index, [{"fun": "test.ping"}])
    assert [jid_of(0)] == found(index, Search())
    assert 0o600 == index.path.stat().st_mode & 0o777
