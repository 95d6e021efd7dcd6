"""The files of a master that does not run, and what its bus says."""

import datetime
import shutil
from pathlib import Path
from typing import Any

import salt.cache

from saltapi.bridge.fleet.keys import KeyStore
from saltapi.bridge.salt_line import SALT_LINE
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
USERS: dict[str, list[Any]] = {
    "web": [{"web-*": ["test.*"]}],
    "debian": [{"G@os:Debian": ["test.*"]}],
}


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
        self.root, self.user, self.debian = (
            Session(token=name, name=name, eauth="file", start=0.0, expire=float("inf"))
            for name in (username, "web", "debian")
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
