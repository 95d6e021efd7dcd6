"""Who sees which minions: found out once, and anew when something of it changes."""

from typing import Any

import pytest

from saltapi.bridge.permissions.scopes import Scopes
from saltapi.engine.fleet import presence, seen
from saltapi.engine.fleet.listing import MinionFilter
from saltapi.types import Session
from tests.engine.fleet.scene import Scene


async def ids(scene: Scene, session: Session, **wanted: Any) -> list[str]:
    """Return the ids of the minions that *session* sees."""
    page = await scene.minions.page(session, MinionFilter(**wanted), limit=100)
    return [minion["id"] for minion in page.minions]


async def test_keys(scene: Scene) -> None:
    """Who comes, is accepted or goes is noticed at once, by all who may see it."""
    scene.key("minions", "web-2")
    scene.key("minions", "db-1")
    assert (["db-1", "web-2"], ["web-2"]) == (
        await ids(scene, scene.root),
        await ids(scene, scene.user),
    )
    scene.key("minions_pre", "web-1")
    assert ["db-1", "web-1", "web-2"] == await ids(scene, scene.root)
    assert ["web-2"] == await ids(scene, scene.user)
    scene.forget_keys()
    scene.key("minions", "web-1")
    scene.fire("salt/key", {"id": "web-2", "act": "delete", "result": True})
    assert ["web-1"] == await ids(scene, scene.user)


async def test_without_a_key(scene: Scene) -> None:
    """A minion that the bus shows is seen, until its key is one that waits to be accepted."""
    scene.start("web-7")
    assert ["web-7"] == await ids(scene, scene.user)
    scene.key("minions_pre", "web-7")
    assert [] == await ids(scene, scene.user)


async def test_grains(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a rule about grains, what has been looked up holds for a while and not longer."""
    for name, system in (("web-1", "Debian"), ("web-2", "Rocky")):
        scene.key("minions", name)
        scene.grains(name, os=system)
    assert ["web-1"] == await ids(scene, scene.debian, key="accepted")
    scene.grains("web-2", os="Debian")
    assert ["web-1"] == await ids(scene, scene.debian, key="accepted")
    scene.key("minions", "web-3")  # a stranger to what was looked up
    assert ["web-1", "web-2"] == await ids(scene, scene.debian, key="accepted")
    scene.grains("web-1", os="Rocky")
    scopes = (await scene.minions.sight(scene.debian)).scopes
    assert scopes is not None
    monkeypatch.setattr(scopes.targets[0], "_fresh_until", float("-inf"))
    assert ["web-2"] == await ids(scene, scene.debian, key="accepted")


async def test_once(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is found out a second time while nothing has changed, whoever asks."""
    monkeypatch.setattr(presence, "AT_ONCE", 2)
    monkeypatch.setattr(seen, "AT_ONCE", 2)
    names = [f"web-{n}" for n in range(5)]
    for name in [*names, "db-1"]:
        scene.key("minions", name)
    asked: list[Any] = []
    touches = Scopes.touches

    def counted(self: Scopes, minions: Any) -> bool | None:
        asked.append(minions)
        return touches(self, minions)

    monkeypatch.setattr(Scopes, "touches", counted)
    for _ in range(3):
        assert names == await ids(scene, scene.user)

    assert [(name,) for name in ["db-1", *names]] == asked
