"""Why a minion is silent that was stopped or started anew, or whose master was."""

import time
from collections.abc import Callable, Iterator

import pytest

from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer
from tests.netapi.rest_asgi.test_why import SOON, Asker, told_as, whats
from tests.waiting import eventually, scaled


@pytest.fixture(scope="module")
def root(master: PrivateMaster) -> Iterator[Asker]:
    with ApiServer(master, OURS, {"workers": 1}, module="rest_asgi") as server:
        yield Asker(server)


@pytest.mark.long
def test_stopped_and_started(root: Asker, master: PrivateMaster) -> None:
    """A minion that is stopped is not connected; one that is started anew has lost its job."""
    jid = root.start("test.sleep", "minion-2", arg=[600])
    eventually(lambda: root.code("minion-2", jid, ask="true") == "running")
    master.stop_minion("minion-2")
    try:
        gone = root.run("test.ping", "minion-2", **SOON)
        assert gone["missing"]["minion-2"] in {"not_connected", "no_response"}
        found = told_as(root, "not_connected", "minion-2", gone["jid"])
        assert "it was last seen at" in found["sentence"]
        assert "not_connected" == root.code("minion-2")
    finally:
        master.start_minion("minion-2")
    found = told_as(root, "restarted", "minion-2", jid)
    assert "It said that it has started." in whats(found)
    master.wait_ready(timeout=scaled(60.0))
    assert "connected" == root.code("minion-2")


@pytest.mark.long
def test_master_away(private_master: Callable[..., PrivateMaster]) -> None:
    """Where the master was away after the job was published, that is the reason."""
    with ApiServer(private_master(), OURS, {"workers": 2}, module="rest_asgi") as api:
        master, root = api.master, Asker(api)
        jid = root.start("test.sleep", "minion-1", arg=[2])
        master.kill_master()
        time.sleep(3)
        eventually(lambda: "master_away" == root.code("minion-1"))
        master.start_master()
        master.wait_ready(timeout=scaled(60.0))
        for _ in range(4):  # each worker
            assert root.code("minion-1", jid) in {"master_away", "returned_in_gap", "returned"}
        assert "connected" == root.code("minion-1")
