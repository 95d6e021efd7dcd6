"""The swarm behaves as minions do: the tests that use it rely on that."""

from typing import Any

import pytest
import salt.client
import salt.config

from saltapi.demo import PrivateMaster
from tests.simulated import FUNCTIONS, NOT_TEXT
from tests.swarm import Swarm
from tests.waiting import scaled

ANSWER_SECONDS = 20.0


class Job:
    """A job at the master, and the returns that come to its event bus."""

    def __init__(self, client: salt.client.LocalClient, tgt: Any, fun: Any, *args: Any, **how: Any):
        how.setdefault("tgt_type", "glob")
        self._client = client
        self._published = client.pub(tgt, fun, arg=args, listen=True, **how)
        self.jid = self._published["jid"]
        self.minions = set(self._published["minions"])

    def returns(self, count: int) -> list[dict[str, Any]]:
        """Return the data of the next *count* returns."""
        found: list[dict[str, Any]] = []
        for _ in range(count):
            event = self._client.event.get_event(
                wait=scaled(ANSWER_SECONDS), tag=f"salt/job/{self.jid}/ret"
            )
            assert event, f"{len(found)} of {count} returns came"
            found.append(event)
        return found

    def silence(self) -> bool:
        """Tell whether a second passes without a return."""
        return self._client.event.get_event(wait=1, tag=f"salt/job/{self.jid}/ret") is None


@pytest.fixture
def client(master: PrivateMaster) -> Any:
    """A client of Salt itself."""
    opts = salt.config.master_config(str(master.config_dir / "master"))
    with salt.client.LocalClient(mopts=opts) as client:
        yield client


def test_all_answer(swarm: Swarm, client: Any) -> None:
    """Every simulated minion answers `test.ping` once."""
    returns = Job(client, "sim-*", "test.ping").returns(len(swarm.ids))

    assert sorted(swarm.ids) == sorted(data["id"] for data in returns)
    assert {True} == {data["return"] for data in returns}
    assert {0} == {data["retcode"] for data in returns}


@pytest.mark.parametrize(
    ("tgt", "tgt_type", "expected"),
    [
        ("sim-1", "glob", {"sim-1"}),
        (["sim-1", "sim-3"], "list", {"sim-1", "sim-3"}),
        ("sim-[12]$", "pcre", {"sim-1", "sim-2"}),
        ("L@sim-1,sim-2 and not sim-2", "compound", {"sim-1"}),
    ],
)
def test_targets(swarm: Swarm, client: Any, tgt: Any, tgt_type: str, expected: set[str]) -> None:
    """Only the minions that the target means answer."""
    job = Job(client, tgt, "test.ping", tgt_type=tgt_type)

    assert expected == {data["id"] for data in job.returns(len(expected))}
    assert job.silence()


@pytest.mark.parametrize(
    ("fun", "args", "expected"),
    [
        ("test.echo", ["x"], "x"),
        ("test.arg", [1, "a=b"], {"args": [1], "kwargs": {"a": "b"}}),
        ("sys.list_functions", [], FUNCTIONS),
        ("sim.bytes", [], NOT_TEXT),
        ("sim.slow", [0.1], True),
        (["test.ping", "test.echo"], [[], [4]], {"test.ping": True, "test.echo": 4}),
    ],
)
def test_functions(swarm: Swarm, client: Any, fun: Any, args: list[Any], expected: Any) -> None:
    """The functions return what they should."""
    (data,) = Job(client, "sim-1", fun, *args).returns(1)

    assert expected == data["return"]


def test_failure(swarm: Swarm, client: Any) -> None:
    """A failed function has retcode 1 and no success."""
    (data,) = Job(client, "sim-1", "sim.fail").returns(1)

    assert (1, False) == (data["retcode"], data["success"])


def test_unknown_function(swarm: Swarm, client: Any, master: PrivateMaster) -> None:
    """An unknown function is answered as real minions answer it."""
    (simulated,) = Job(client, "sim-1", "no.such").returns(1)
    (real,) = Job(client, "minion-1", "no.such").returns(1)

    for key in ("return", "retcode", "success", "out"):
        assert real[key] == simulated[key]


def test_return_has_what_real_ones_have(swarm: Swarm, client: Any, master: PrivateMaster) -> None:
    """The data of a return has the keys that a real minion's has."""
    (simulated,) = Job(client, "sim-1", "test.ping").returns(1)
    (real,) = Job(client, "minion-1", "test.ping").returns(1)

    assert real.keys() == simulated.keys()


def test_twice(swarm: Swarm, client: Any) -> None:
    """`sim.twice` sends the same return two times."""
    first, second = Job(client, "sim-1", "sim.twice").returns(2)

    assert first["return"] == second["return"]


def test_running_job_is_found(swarm: Swarm, client: Any) -> None:
    """While a job runs its minion admits to it, the others do not, and later nobody does."""
    job = Job(client, "sim-1", "test.sleep", 2)
    search = Job(client, ["sim-1", "sim-2"], "saltutil.find_job", job.jid, tgt_type="list")
    found = {data["id"]: data["return"] for data in search.returns(2)}

    assert job.jid == found["sim-1"]["jid"]
    assert "test.sleep" == found["sim-1"]["fun"]
    assert {} == found["sim-2"]

    job.returns(1)
    (after,) = Job(client, "sim-1", "saltutil.find_job", job.jid).returns(1)

    assert {} == after["return"]


def test_behaviours_of_ids(master: PrivateMaster, client: Any) -> None:
    """A glob of ids selects how these minions behave; `never` hides even from find_job."""
    behaviours = {"odd-1": "never", "odd-[2]": "slow:2"}
    with Swarm(master, 4, prefix="odd-", behaviours=behaviours):
        job = Job(client, "odd-*", "test.ping")

        assert {"odd-0", "odd-1", "odd-2", "odd-3"} == job.minions
        assert {"odd-0", "odd-3"} == {data["id"] for data in job.returns(2)}

        search = Job(client, "odd-[12]", "saltutil.find_job", job.jid)
        (found,) = search.returns(1)

        assert ("odd-2", job.jid) == (found["id"], found["return"]["jid"])
        assert search.silence()

    assert set(master.minion_ids) == Job(client, "[mo]*", "test.ping").minions


@pytest.mark.long
def test_master_that_starts_again(private_master: Any) -> None:
    """The swarm finds back to a master that was killed."""
    master = private_master(minions=0)
    with Swarm(master, 3) as swarm:
        master.kill_master()
        master.start_master()

        master.wait_ready(minions=swarm.ids)


@pytest.mark.long
def test_hundred_are_there_soon(master: PrivateMaster, client: Any) -> None:
    """A hundred minions start within half a minute."""
    with Swarm(master, 100, prefix="many-") as swarm:
        swarm_returns = Job(client, "many-*", "test.ping").returns(100)

        assert set(swarm.ids) == {data["id"] for data in swarm_returns}
