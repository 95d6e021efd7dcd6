"""What is done to the parts of a cluster, one thing at a time, and how it is mended."""

import random
import signal
import time
from collections.abc import Callable

import psutil

from saltapi.demo import PrivateMaster
from tests.apis import ApiServer
from tests.nats_servers import NatsServer, NatsServers

AWAY_SECONDS = 4.0
PAUSE_SECONDS = 6.0
Mend = Callable[[], None]


class Chaos:
    """Harms the cluster at random, always only one part of it."""

    def __init__(
        self, servers: NatsServers, masters: list[PrivateMaster], doors: list[ApiServer], seed: int
    ) -> None:
        self._servers = servers
        self._masters = masters
        self._doors = doors
        self._random = random.Random(seed)  # noqa: S311 - to be repeated
        self.done: dict[str, int] = {}
        """How often each thing was done."""

    def run(self, seconds: float) -> None:
        """Do things for *seconds*; in the end everything is there."""
        deadline = time.monotonic() + seconds
        harms = [self._kill_server, self._freeze_server, self._kill_worker, self._kill_daemon]
        harms.append(self._kill_master)
        while time.monotonic() < deadline:
            for harm in self._random.sample(harms, len(harms)):
                if time.monotonic() >= deadline:
                    break
                name = harm.__name__.strip("_").replace("_", " ")
                self.done[name] = self.done.get(name, 0) + 1
                mend = harm()
                time.sleep(AWAY_SECONDS)
                mend()
                time.sleep(PAUSE_SECONDS)

    def _kill_server(self) -> Mend:
        server: NatsServer = self._random.choice(self._servers.servers)
        server.stop(signal.SIGKILL)
        return server.start

    def _freeze_server(self) -> Mend:
        server: NatsServer = self._random.choice(self._servers.servers)
        server.freeze()
        return server.thaw

    def _kill_worker(self) -> Mend:
        door = self._random.choice(self._doors)
        children = psutil.Process(door.program.pid).children(recursive=True)
        workers = [p for p in children if "saltapi" in " ".join(p.cmdline()) and p.children()]
        self._random.choice(workers or children).kill()
        return lambda: None

    def _kill_daemon(self) -> Mend:
        door = self._random.choice(self._doors)
        door.program.kill()
        return door.program.start

    def _kill_master(self) -> Mend:
        master = self._random.choice(self._masters)
        master.kill_master()
        return master.start_master
