"""What the contestants run against: a real master with simulated minions, or a simulated one."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import salt.config
import salt.payload
import zmq

from bench.generators import ROOT
from saltapi.demo import PrivateMaster
from saltapi.demo.master import HOST, log_of
from tests.swarm import Swarm
from tests.waiting import scaled

REAL, WIDE, SIMULATED = "real", "wide", "simulated"
START_SECONDS = 60.0
REQUEST_SECONDS = 10.0
GROUP = "sim"
GROUP_SIZE = 10
WIDE_GROUPS = (10, 100, 1_000, 10_000)
WIDE_SIZE = 1_000
SETTLE_SECONDS = 0.3
OPTIONS: dict[str, Any] = {"log_level": "error"}


class World:
    """A master, and what the scenarios ask of it."""

    kind = ""
    target = f"{GROUP}-0"
    """One minion that answers."""

    def __init__(self, master: PrivateMaster) -> None:
        self.master = master

    @cached_property
    def options(self) -> Any:
        """The options of the master as Salt reads them."""
        return salt.config.master_config(str(self.master.config_dir / "master"))

    @property
    def bus(self) -> str:
        """The path of the end of the event bus that events come from."""
        return str(Path(self.master.options["sock_dir"]) / "master_event_pub.ipc")

    def request(self, load: dict[str, Any]) -> Any:
        """Return the master's answer to a request in the clear."""
        with zmq.Context() as context, context.socket(zmq.REQ) as sender:
            sender.linger = 0
            sender.connect(f"tcp://{HOST}:{self.master.request_port}")
            sender.send(salt.payload.dumps({"enc": "clear", "load": load, "version": 3}))
            if not sender.poll(int(REQUEST_SECONDS * 1000)):
                raise RuntimeError("The master does not answer.")
            return salt.payload.loads(sender.recv())

    def token(self) -> str:
        """Return a new token."""
        return str(self.request({"cmd": "mk_token", **self.master.credentials()})["token"])


class RealWorld(World):
    """A real master with simulated minions."""

    kind = REAL

    def set_jobs(self, count: int) -> None:
        """Let there be exactly *count* jobs in the job cache."""
        cache = Path(self.master.options["cachedir"]) / "jobs"
        template = self.master.directory / f"jobs-{count}"
        if not template.exists():
            command = [sys.executable, "-m", "bench.jobs", str(self.master.config_dir)]
            subprocess.run([*command, str(count), str(template)], check=True, cwd=ROOT)
        while cache.exists():  # until the master has written the last of the jobs before
            shutil.rmtree(cache, ignore_errors=True)
            time.sleep(SETTLE_SECONDS)
        shutil.copytree(template, cache)

    def set_keys(self, count: int) -> None:
        """Let there be *count* accepted keys of minions that are not there."""
        directory = Path(self.master.options["pki_dir"]) / "minions"
        key = (directory / self.target).read_text()
        for path in directory.glob("key-*"):
            path.unlink()
        for number in range(count):
            (directory / f"key-{number}").write_text(key)


class SimulatedWorld(World):
    """A simulated master."""

    kind = SIMULATED

    def bench(self, what: str, **more: Any) -> dict[str, Any]:
        """Ask the simulated master for something that no master knows."""
        answer: dict[str, Any] = self.request({"cmd": "bench", "do": what, **more})
        return answer

    def fire(self, tags: list[str], count: int, rate: float, field: str = "number") -> None:
        """Fire *count* events, *rate* a second, with *tags* in turn; *field* numbers them."""
        self.bench("fire", tags=tags, field=field, count=count, rate=rate)


@contextmanager
def real_world(
    size: int = GROUP_SIZE, options: Mapping[str, Any] | None = None
) -> Iterator[RealWorld]:
    """Yield a real master with *size* simulated minions, and with *options* beside ours."""
    with PrivateMaster(minions=0, options={**OPTIONS, **(options or {})}) as master:
        master.wait_ready(timeout=scaled(START_SECONDS))
        with Swarm(master, size, prefix=f"{GROUP}-"):
            yield RealWorld(master)


@contextmanager
def wide_world() -> Iterator[RealWorld]:
    """Yield a real master with a thousand simulated minions."""
    with real_world(WIDE_SIZE) as world:
        world.kind = WIDE
        yield world


@contextmanager
def simulated_world() -> Iterator[SimulatedWorld]:
    """Yield a simulated master."""
    master = PrivateMaster(minions=0, options=OPTIONS)
    settings = master.directory / "simulated.json"
    groups = {GROUP: GROUP_SIZE, **{f"w{count}": count for count in WIDE_GROUPS}}
    settings.write_text(json.dumps({"config_dir": str(master.config_dir), "groups": groups}))
    command = [sys.executable, "-m", "bench.simulated_master", str(settings)]
    program = master.program("simulated-master", command)
    program.cwd = ROOT
    try:
        program.start()
        deadline = time.monotonic() + scaled(START_SECONDS)
        world = SimulatedWorld(master)
        while not Path(world.bus).exists():
            if not program.running or time.monotonic() > deadline:
                raise RuntimeError(f"The simulated master does not start. {log_of(program)}")
            time.sleep(0.05)
        world.bench("stats")
        yield world
    finally:
        program.kill()
        master.stop()


WORLDS: dict[str, Callable[[], Any]] = {
    REAL: real_world,
    WIDE: wide_world,
    SIMULATED: simulated_world,
}
