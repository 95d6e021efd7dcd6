"""Real servers of NATS's on loopback, one or a cluster, to stop, kill and freeze."""

import asyncio
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

from nats.aio.client import Client

from saltapi.demo.master import free_ports, is_free
from tests.waiting import eventually, scaled

PROGRAM = Path(sys.executable).with_name("nats-server")
HOST = "127.0.0.1"
READY_SECONDS = 20.0


class NatsServer:
    """One process."""

    def __init__(self, config: Path, port: int) -> None:
        self.config = config
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; what it has stored is there again."""
        with self.config.with_suffix(".log").open("ab") as log:
            self._process = subprocess.Popen([PROGRAM, "-c", self.config], stdout=log, stderr=log)

    def freeze(self) -> None:
        """Let it do nothing, until it is thawed or stopped."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        stat = Path(f"/proc/{self._process.pid}/stat")
        eventually(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T")

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it, and wait until it has ended; idempotent."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(number)
            self._process.wait(scaled(READY_SECONDS))
            self._process = None


class NatsServers:
    """Some servers; a cluster if they are more than one. Use it as a context."""

    def __init__(self, directory: Path, count: int = 1, **options: Any) -> None:
        """
        Args:
            directory: Where they keep everything; removed in the end.
            count: How many.
            options: More of each server's config.
        """
        self.directory = directory
        ports = free_ports(2 * count)
        routes = [f"nats://{HOST}:{port}" for port in ports[count:]]
        self.servers = []
        for number in range(count):
            name = f"n{number}"
            config: dict[str, Any] = {
                "server_name": name,
                "listen": f"{HOST}:{ports[number]}",
                "jetstream": {"store_dir": str(directory / name), "max_file_store": 2**40},
                **options,
            }
            if count > 1:
                listen = f"{HOST}:{ports[count + number]}"
                config["cluster"] = {"name": "c", "listen": listen, "routes": routes}
            path = directory / f"{name}.conf"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(config))
            self.servers.append(NatsServer(path, ports[number]))

    @property
    def url(self) -> str:
        """The value of `saltapi_store`."""
        return "nats://" + ",".join(f"{HOST}:{server.port}" for server in self.servers)

    def __enter__(self) -> Self:
        for server in self.servers:
            server.start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in self.servers:
            server.stop(signal.SIGKILL)
        shutil.rmtree(self.directory, ignore_errors=True)

    async def ready(self, **options: Any) -> None:
        """Return when they take values."""
        deadline = time.monotonic() + scaled(READY_SECONDS)
        while True:
            client = Client()
            try:
                await client.connect(
                    f"nats://{HOST}:{self.servers[0].port}",
                    allow_reconnect=False,
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                    error_cb=_ignore,
                    **options,
                )
                info = await client.jetstream(timeout=1).account_info()
                if info is not None and await self._is_whole(client):
                    return
            except Exception:  # noqa: BLE001 - it is not ready
                assert time.monotonic() < deadline, self.log
            finally:
                await client.close()
            await asyncio.sleep(0.05)

    async def listening(self) -> None:
        """Return when the first one takes connections."""
        port = self.servers[0].port
        async with asyncio.timeout(scaled(READY_SECONDS)):
            while is_free(port):  # noqa: ASYNC110 - nobody says so
                await asyncio.sleep(0.02)

    async def _is_whole(self, client: Client) -> bool:
        """Make something that takes all servers."""
        js = client.jetstream(timeout=2)
        await js.add_stream(name="READY", subjects=["ready"], num_replicas=len(self.servers))
        await js.publish("ready", b"")
        await js.delete_stream("READY")
        return True

    @property
    def log(self) -> str:
        """What the servers have written."""
        return "".join(path.read_text() for path in sorted(self.directory.glob("*.log")))


async def _ignore(_: Exception) -> None:
    pass
