"""Why a minion is silent, of what the bus and the master's files say; no master runs."""

import datetime
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import salt.cache

from saltapi.bridge.fleet.keys import KeyStore
from saltapi.bridge.salt_line import SALT_LINE
from saltapi.config import load
from saltapi.demo import PrivateMaster
from saltapi.engine.commands.asynchronous import AsyncAPIClient
from saltapi.engine.events.acl import EventAcl
from saltapi.engine.fleet.fleet import Fleet
from saltapi.engine.fleet.listing import Minions
from saltapi.engine.fleet.sight import Sights
from saltapi.engine.fleet.why import Whys
from saltapi.engine.jobs.service import JobService
from saltapi.engine.sessions.administrators import Administrators
from saltapi.engine.store.sqlite import SqliteStore
from saltapi.types import Opts, Session
from tests.apis import jid_of_now
from tests.fake_master import frame_body

WEB = "web-1"
USERS: dict[str, list[Any]] = {"web": [{"web-*": ["test.*"]}]}


class Scene:
    """The files of a master, and what its bus says."""

    def __init__(self, opts: Opts, username: str) -> None:
        self.opts = opts
        self.client = AsyncAPIClient(opts)
        self.hub = self.client.hub
        administrators = Administrators(opts, self.client.permissions, [])
        self.acl = EventAcl(
            opts, self.hub, self.client.permissions, administrators, option="permitted"
        )
        self.keys = KeyStore(opts)
        fleet = Fleet(self.client, self.keys, self.acl)
        sights = Sights(opts, self.client.permissions, administrators, self.acl)
        self.minions = Minions(self.client, fleet, sights)
        self.store = SqliteStore(Path(opts["cachedir"]) / "test.sqlite")
        self.jobs = JobService(
            self.client,
            self.store,
            jobs=100,
            limit_bytes=10_000_000,
            administrators=administrators,
        )
        self.jobs.silence.started_at = fleet.started_at
        self.whys = Whys(self.client, self.minions, self.jobs)
        self.root, self.user = (
            Session(token=name, name=name, eauth="file", start=0.0, expire=float("inf"))
            for name in (username, "web")
        )
        self.hub.connected()
        self.client.bus._connected.set()

    async def close(self) -> None:
        await self.jobs.close()
        self.minions.close()
        self.keys.close()
        self.acl.close()
        await self.client.close()
        await self.store.close()

    def key(self, directory: str, minion: str = WEB) -> None:
        place = Path(self.opts["pki_dir"]) / directory
        place.mkdir(parents=True, exist_ok=True)
        (place / minion).write_text("-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----\n")
        self.keys.changed()

    def forget_keys(self) -> None:
        for directory in ("minions", "minions_pre", "minions_denied"):
            shutil.rmtree(Path(self.opts["pki_dir"], directory), ignore_errors=True)
        Path(self.opts["pki_dir"], "minions").mkdir()

    def grains(self, minion: str = WEB, **grains: Any) -> None:
        found = {"id": minion, **grains}
        cache = salt.cache.factory(dict(self.opts))
        if SALT_LINE >= 3008:
            cache.store("grains", minion, found)
        else:
            cache.store(f"minions/{minion}", "data", {"grains": found})

    def fire(self, tag: str, data: dict[str, Any]) -> None:
        stamp = datetime.datetime.now(datetime.UTC).isoformat()
        self.hub.dispatch(frame_body(tag, {**data, "_stamp": stamp}))

    def publish(self, minions: tuple[str, ...] = (WEB,), **more: Any) -> str:
        jid = jid_of_now()
        data = {"jid": jid, "fun": "test.ping", "arg": [], "tgt": "*", "tgt_type": "glob"}
        data |= {"user": "me", "minions": list(minions), "missing": [], **more}
        self.fire(f"salt/job/{jid}/new", data)
        return jid

    def start(self, minion: str = WEB) -> None:
        self.fire(f"salt/minion/{minion}/start", {"id": minion, "cmd": "_minion_event"})

    async def code(self, jid: str | None = None, minion: str = WEB) -> str:
        return str((await self.whys.why(self.root, minion, jid))["code"])


@pytest.fixture(scope="module")
def files() -> Iterator[tuple[PrivateMaster, Opts]]:
    """The config of a master that is never started."""
    master = PrivateMaster(minions=0, users=USERS)
    opts = load(master.config_dir)
    for folder in ("cachedir", "pki_dir"):
        for name in ("proc", "minions"):
            Path(opts[folder], name).mkdir(parents=True, exist_ok=True)
    Path(opts["token_dir"]).mkdir(parents=True, exist_ok=True)
    yield master, opts
    master.stop()


@pytest.fixture
async def scene(files: tuple[PrivateMaster, Opts]) -> AsyncIterator[Scene]:
    master, opts = files
    found = Scene(opts, master.username)
    yield found
    await found.close()
    found.forget_keys()
    salt.cache.factory(dict(opts)).flush("grains")


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
