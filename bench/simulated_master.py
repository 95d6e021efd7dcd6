"""
A program: a master that answers at once, so that what remains is the API's own part.

    python -m bench.simulated_master FILE

It speaks the master's protocol: requests on its ZeroMQ port (`publish`, `mk_token`, `get_token`,
`ping`), and the event bus with both of its ends. There are no minions behind it; their returns
appear on the bus as soon as a job is published, with the events that a master fires for a job.
What it does not do: keys, the job cache, runner and wheel functions, permissions.

Minions are called `<group>-<number>`; FILE (JSON) says how many a group has. A target is one id,
a list of ids, or `<group>-*`.

Requests with `cmd: bench` are for the benchmark: `do: stats` answers how many requests there
were of each kind, `do: fire` fires numbered events at an even pace.
"""

import asyncio
import datetime
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgpack
import salt.auth
import salt.config
import salt.payload
import salt.utils.jid
import zmq
from salt.version import __saltstack_version__ as salt_version

FIRE_INTERVAL_SECONDS = 0.005
FRAMES_AT_ONCE = 100
LENGTH_BYTES = 4
UNKNOWN_TOKEN = {
    "error": {
        "name": "TokenAuthenticationError",
        "message": 'Authentication failure of type "token" occurred.',
    }
}


class EventBus:
    """Both ends of the event bus: whoever is connected to the first gets all that is fired."""

    def __init__(self, sock_dir: str) -> None:
        self._sock_dir = sock_dir
        self._subscribers: set[asyncio.Transport] = set()
        self._offset = datetime.UTC if salt_version.major >= 3008 else None

    async def start(self) -> None:
        """Listen on both ends."""
        loop = asyncio.get_running_loop()
        ends = {"pub": lambda: Subscriber(self), "pull": lambda: Firer(self)}
        for kind, protocol in ends.items():
            await loop.create_unix_server(protocol, f"{self._sock_dir}/master_event_{kind}.ipc")

    def add(self, subscriber: asyncio.Transport) -> None:
        """Let *subscriber* have all events from now on."""
        self._subscribers.add(subscriber)

    def discard(self, subscriber: asyncio.Transport) -> None:
        """Forget a subscriber that has gone."""
        self._subscribers.discard(subscriber)

    def stamp(self) -> str:
        """Return the time now as the installed Salt writes it."""
        return datetime.datetime.now(datetime.UTC).replace(tzinfo=self._offset).isoformat()

    def send(self, frames: bytes) -> None:
        """Send *frames* to every subscriber."""
        for subscriber in self._subscribers:
            subscriber.write(frames)

    def fire(self, tag: str, data: dict[str, Any]) -> None:
        """Fire one event."""
        self.send(frame(tag, data))


def frame(tag: str, data: dict[str, Any]) -> bytes:
    """Return an event as it travels on the bus."""
    body = tag.encode() + b"\n\n" + msgpack.packb(data, use_bin_type=True)
    packed: bytes = msgpack.packb({"head": {}, "body": body}, use_bin_type=True)
    return packed


class Subscriber(asyncio.Protocol):
    """A connection to the end that events come from."""

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._bus.add(self._transport)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._bus.discard(self._transport)


class Firer(asyncio.Protocol):
    """A connection to the end that takes events; a frame comes behind its length."""

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        start = 0
        while (begin := start + LENGTH_BYTES) <= len(data):
            end = begin + int.from_bytes(data[start:begin])
            if end > len(data):
                break
            self._bus.send(data[begin:end])
            start = end
        self._rest = data[start:]


class Requests:
    """The port for requests."""

    def __init__(self, opts: dict[str, Any], groups: dict[str, int], bus: EventBus) -> None:
        self._bus = bus
        self._auth = salt.auth.LoadAuth(opts)
        self._groups = {
            name: [f"{name}-{number}" for number in range(count)] for name, count in groups.items()
        }
        self._tokens: dict[str, dict[str, Any]] = {}
        self._running: dict[str, dict[str, Any]] = {}
        self._counts: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._opts = opts
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.ROUTER)
        self._socket.bind(f"tcp://127.0.0.1:{opts['ret_port']}")
        self._loop.add_reader(self._socket.fileno(), self._drain)

    def _drain(self) -> None:
        # The descriptor tells only of changes: everything has to be taken, sending included.
        while int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            *envelope, payload = self._socket.recv_multipart()
            load = salt.payload.loads(payload)["load"]
            self._counts[load["cmd"]] += 1
            answer, then = self._answer(load)
            self._socket.send_multipart([*envelope, salt.payload.dumps(answer)])
            if then is not None:
                self._start(*then)

    def _answer(self, load: dict[str, Any]) -> tuple[Any, Any]:
        """Return the answer to *load*, and the job to start after it."""
        match load["cmd"]:
            case "publish":
                return self._publish(load)
            case "mk_token":
                made = self._auth.mk_token(load)
                if made:
                    self._tokens[made["token"]] = made
                return made, None
            case "get_token":
                return self._auth.get_tok(load["token"]) or {}, None
            case "bench":
                return self._bench(load), None
        return load, None

    def _publish(self, load: dict[str, Any]) -> tuple[Any, Any]:
        if not self._known((load.get("kwargs") or {}).get("token", "")):
            return UNKNOWN_TOKEN, None
        jid = load.get("jid") or salt.utils.jid.gen_jid(self._opts)
        minions = self._minions(load["tgt"])
        if not minions:
            return {"enc": "clear", "load": {"jid": None, "minions": [], "missing": []}}, None
        published = {"jid": jid, "minions": minions, "missing": []}
        job = {name: load.get(name) for name in ("tgt", "tgt_type", "fun", "arg", "user")}
        job |= published
        # The order is the master's: first the events, then the answer.
        self._bus.fire(jid, {"minions": minions, "_stamp": self._bus.stamp()})
        self._bus.fire(f"salt/job/{jid}/new", {**job, "_stamp": self._bus.stamp()})
        return {"enc": "clear", "load": published}, (job,)

    def _known(self, token: str) -> bool:
        if token not in self._tokens and (data := self._auth.get_tok(token)):
            self._tokens[token] = data
        return token in self._tokens

    def _minions(self, target: Any) -> list[str]:
        if isinstance(target, list):
            return [str(minion) for minion in target]
        group, _, number = str(target).rpartition("-")
        names = self._groups.get(group, [])
        if number == "*":
            return names
        return [target] if target in names else []

    def _start(self, job: dict[str, Any]) -> None:
        if job["fun"] == "sim.slow":
            self._running[job["jid"]] = job
            self._loop.call_later(float(job["arg"][0]), self._end, job)
        else:
            self._return(job)

    def _end(self, job: dict[str, Any]) -> None:
        del self._running[job["jid"]]
        self._return(job)

    def _return(self, job: dict[str, Any]) -> None:
        value: Any = True
        if job["fun"] == "saltutil.find_job":
            value = self._running.get(str(job["arg"][0]), {})
        common = {
            "cmd": "_return",
            "jid": job["jid"],
            "fun": job["fun"],
            "fun_args": job["arg"],
            "user": job["user"],
            "return": value,
            "retcode": 0,
            "success": True,
            "_stamp": self._bus.stamp(),
        }
        tag = f"salt/job/{job['jid']}/ret/"
        frames = [frame(tag + minion, {"id": minion, **common}) for minion in job["minions"]]
        for first in range(0, len(frames), FRAMES_AT_ONCE):
            self._bus.send(b"".join(frames[first : first + FRAMES_AT_ONCE]))

    def _bench(self, load: dict[str, Any]) -> Any:
        if load["do"] == "fire":
            names = ("tags", "field", "count", "rate")
            task = self._loop.create_task(self._fire(*(load[name] for name in names)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return {**self._counts, "cpu_seconds": time.process_time()}

    async def _fire(self, tags: list[str], field: str, count: int, rate: float) -> None:
        """Fire *count* events, *rate* a second, with the tags in turn; *field* numbers them."""
        began = time.monotonic()
        done = 0
        while done < count:
            due = min(count, int((time.monotonic() - began) * rate) + 1)
            for first in range(done, due, FRAMES_AT_ONCE):
                stamps = {"sent": time.time(), "_stamp": self._bus.stamp()}
                self._bus.send(
                    b"".join(
                        frame(tags[number % len(tags)], {field: number, **stamps})
                        for number in range(first, min(due, first + FRAMES_AT_ONCE))
                    )
                )
            done = due
            await asyncio.sleep(max(FIRE_INTERVAL_SECONDS, began + done / rate - time.monotonic()))


async def serve(settings: dict[str, Any]) -> None:
    """Be the master that *settings* describe."""
    opts = salt.config.master_config(f"{settings['config_dir']}/master")
    os.makedirs(opts["token_dir"], exist_ok=True)  # Salt 3007 keeps tokens there
    for name in ("publish_pull.ipc", "workers.ipc"):  # what Salt looks for before it publishes
        with open(os.path.join(opts["sock_dir"], name), "w"):  # noqa: ASYNC230 - before the start
            pass
    bus = EventBus(opts["sock_dir"])
    await bus.start()
    Requests(opts, settings["groups"], bus)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(json.loads(Path(sys.argv[1]).read_text())))
