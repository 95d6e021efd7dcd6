"""Why a minion is silent, of what the bus and the master's files say; no master runs."""

import pytest

from tests.apis import jid_of_now
from tests.engine.fleet.scene import WEB, Scene


async def test_without_a_sign(scene: Scene) -> None:
    """A minion of which nothing was heard has to be asked."""
    scene.key("minions")
    assert "not_asked" == await scene.code()
    assert "not_asked" == await scene.code(scene.publish())
    scene.start()
    assert "connected" == await scene.code()
    assert "waiting" == await scene.code(scene.publish())


async def test_keys(scene: Scene) -> None:
    """The state of the key is the first reason, whatever else is known."""
    scene.grains("gone")
    scene.key("minions_pre")
    assert "key_pending" == await scene.code()
    assert "key_pending" == await scene.code(scene.publish())
    assert "key_pending" == await scene.code(scene.publish(("other",)))
    assert "key_missing" == await scene.code(minion="gone")


async def test_somebody_elses_key(scene: Scene) -> None:
    """A machine that was set up anew under its old name is denied, and the old one is away."""
    scene.key("minions")
    scene.key("minions_denied")
    scene.start()
    assert "connected" == await scene.code()
    found = scene.minions.fleet.registry.minions[WEB]
    found.lost_at = (found.seen_at or 0) + 1
    assert "key_denied" == await scene.code()
    assert "key_denied" == await scene.code(scene.publish())


async def test_returned_while_the_bus_was_not_heard(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A return that only the job cache has came in the gap; without one, the master was away."""
    scene.key("minions")
    jid = scene.publish()
    scene.hub.gap()
    assert "master_away" == await scene.code(jid)
    scene.hub.connected()
    assert "master_away" == await scene.code(jid)
    outage = scene.hub.outages.since(0.0)[-1]

    async def written(_jid: str, _minion: str) -> float:
        return outage.begin + 0.1

    monkeypatch.setattr(scene.jobs.cache, "returned_at", written)
    found = await scene.whys.why(scene.root, WEB, jid)
    assert "returned_in_gap" == found["code"]
    what = [fact["what"] for fact in found["facts"]]
    assert what.index("The master's event bus was lost.") < what.index("It returned the job.")


async def test_the_bus_is_lost_now(scene: Scene) -> None:
    """While the master is away nothing else is sure."""
    scene.key("minions")
    scene.client.bus._connected.clear()
    assert "master_away" == await scene.code()


async def test_behind_a_syndic(scene: Scene) -> None:
    """Who has no key here, where masters are below this one, is one of theirs."""
    scene.client.jobs.order_masters = True
    assert "behind_syndic" == await scene.code(minion="web-far")
    jid = scene.publish(("web-far",))
    assert "behind_syndic" == await scene.code(jid, "web-far")
    scene.key("minions_pre", "web-secret")
    told = [await scene.whys.why(scene.user, name) for name in ("web-far", "web-secret")]
    assert {"behind_syndic"} == {found["code"] for found in told}
    assert [f.replace("web-secret", "web-far") for f in (told[1]["sentence"],)] == [
        told[0]["sentence"]
    ]
    assert told[0]["facts"] == told[1]["facts"]


async def test_facts_are_few(scene: Scene) -> None:
    """However much has happened, the answer is short."""
    scene.key("minions")
    jid = scene.publish()
    for _ in range(500):
        scene.hub.gap()
        scene.hub.connected()
    found = await scene.whys.why(scene.root, WEB, jid)
    assert len(found["facts"]) <= 30


async def test_functions_of_the_master(scene: Scene) -> None:
    """A runner function is no minion's job."""
    scene.key("minions")
    jid = jid_of_now()
    data = {"jid": jid, "fun": "runner.manage.up", "fun_args": [], "user": "me"}
    scene.fire(f"salt/run/{jid}/new", data)
    found = await scene.whys.why(scene.root, WEB, jid)
    assert "not_matched" == found["code"]
    assert "runs in the master" in found["sentence"]
