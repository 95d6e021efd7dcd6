"""
Simulated minions: many in one process, speaking the real protocol to a real master.

Started by `tests.swarm.Swarm` (`python -m tests.simulated FILE`). Every minion has its own id,
session key and running jobs. They share one RSA key pair, one subscription whose payload is
decrypted once, and a few request sockets, so that a thousand of them start in seconds.

What a minion does with a job is the first that applies:

- the behaviour of its id: the first pattern of `behaviours` that matches,
- the behaviour that the function names: `sim.never`, `sim.twice`, `sim.fail`, `sim.bytes`,
  `sim.slow SECONDS`,
- the function itself (`test.ping` and the others of `FUNCTIONS`), as real minions have it.

`sim.together VALUE` is answered by all minions in one message, as a syndic sends it on: many
returns for the work of one.

Behaviours: `answer` at once; `slow:SECONDS`, admitting to the job when `saltutil.find_job` asks;
`never`, not even to `saltutil.find_job`; `twice`, the same return two times; `fail` with retcode
1; `bytes`, a return that is no text.
"""

import asyncio
import contextlib
import fnmatch
import json
import sys
import time
import uuid
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import salt.config
import salt.crypt
import salt.loader
import salt.payload
import salt.utils.args
import salt.utils.rsax931
import zmq
import zmq.asyncio
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

REQUEST_SOCKETS = 4
REQUEST_TRIES = 10
ENCRYPTION = "OAEP-SHA1"
SIGNATURE = "PKCS1v15-SHA1"
NOT_AVAILABLE = 1
NOT_TEXT = b"\x00\xff\xfe\x80"

FUNCTIONS = [
    "saltutil.find_job",
    "sim.bytes",
    "sim.fail",
    "sim.never",
    "sim.slow",
    "sim.twice",
    "sys.list_functions",
    "test.arg",
    "test.echo",
    "test.ping",
    "test.sleep",
]


class Master:
    """The request side of the master: a few sockets that all minions share."""

    def __init__(self, port: int, request_seconds: float) -> None:
        self._address = f"tcp://127.0.0.1:{port}"
        self._request_seconds = request_seconds
        self._context = zmq.asyncio.Context.instance()
        self._idle: asyncio.Queue[zmq.asyncio.Socket] = asyncio.Queue()
        for _ in range(REQUEST_SOCKETS):
            self._idle.put_nowait(self._connect())

    def _connect(self) -> zmq.asyncio.Socket:
        requests = self._context.socket(zmq.REQ)
        requests.linger = 0
        requests.connect(self._address)
        return requests

    async def send(self, message: dict[str, Any]) -> Any:
        """Send *message* and return the answer, again and again while the master is away."""
        for _ in range(REQUEST_TRIES):
            requests = await self._idle.get()
            try:
                await requests.send(salt.payload.dumps(message))
                if await requests.poll(int(self._request_seconds * 1000)):
                    return salt.payload.loads(await requests.recv())
                requests.close()
                requests = self._connect()
            finally:
                self._idle.put_nowait(requests)
        raise TimeoutError("The master does not answer.")


class Keys:
    """The RSA key pair that all minions share."""

    def __init__(self) -> None:

        self._private = rsa.generate_private_key(65537, 2048)
        self.public_pem = (
            self._private.public_key()
            .public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            .decode()
            .strip()
        )
        pem = self._private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
        self.token = salt.utils.rsax931.RSAX931Signer(pem).sign(b"salt")

    def decrypt(self, data: bytes) -> str:
        """Return the key that the master encrypted for us."""
        sha1 = hashes.SHA1()  # noqa: S303 - the protocol's default
        oaep = padding.OAEP(mgf=padding.MGF1(sha1), algorithm=sha1, label=None)
        return self._private.decrypt(data, oaep).decode()


class Minion:
    """One simulated minion."""

    def __init__(self, opts: dict[str, Any], behaviour: str, keys: Keys, master: Master) -> None:
        self.id: str = opts["id"]
        self.opts = opts
        self._behaviour = behaviour
        self._keys = keys
        self._master = master
        self._session: Any = None
        self._running: dict[str, dict[str, Any]] = {}

    async def sign_in(self) -> str:
        """Authenticate as minions do; return the key of the master's publications."""
        load = {
            "cmd": "_auth",
            "id": self.id,
            "nonce": uuid.uuid4().hex,
            "enc_algo": ENCRYPTION,
            "sig_algo": SIGNATURE,
            "pub": self._keys.public_pem,
        }
        while True:
            answer = await self._master.send({"enc": "clear", "load": load, "version": 3})
            if isinstance(answer, dict) and isinstance(answer["load"], bytes):
                signed = salt.payload.loads(answer["load"])
                if "aes" in signed:
                    break
            await asyncio.sleep(0.2)  # the master starts, or waits for somebody to accept us
        self._session = salt.crypt.Crypticle({}, self._keys.decrypt(signed["session"]))
        return self._keys.decrypt(signed["aes"])

    async def send(self, load: dict[str, Any]) -> Any:
        """Send *load* to the master, encrypted for this minion's session."""
        for _ in range(2):
            nonce = uuid.uuid4().hex
            private = {
                **load,
                "id": self.id,
                "nonce": nonce,
                "ts": int(time.time()),
                "tok": self._keys.token,
            }
            message = {
                "enc": "aes",
                "load": self._session.dumps(private),
                "version": 3,
                "id": self.id,
                "enc_algo": ENCRYPTION,
                "sig_algo": SIGNATURE,
            }
            answer = await self._master.send(message)
            if isinstance(answer, bytes):
                return self._session.loads(answer, nonce=nonce)
            await self.sign_in()  # the master does not know the session any more
        raise RuntimeError(f"The master does not take what {self.id} sends: {answer!r}")

    async def run(self, job: dict[str, Any]) -> None:
        """Do what the published *job* says and return what came of it."""
        behaviour = self._behaviour
        if behaviour == "answer" and str(job["fun"]).startswith("sim."):
            behaviour = job["fun"].removeprefix("sim.")
            if behaviour == "slow":
                behaviour = f"slow:{job['arg'][0]}"
        if behaviour == "never":
            return
        if job["fun"] == "saltutil.find_job":
            behaviour = "answer"
        self._running[job["jid"]] = job
        try:
            if behaviour.startswith("slow:"):
                await asyncio.sleep(float(behaviour.removeprefix("slow:")))
            result = await self._result(job, behaviour)
        finally:
            del self._running[job["jid"]]
        for _ in range(2 if behaviour == "twice" else 1):
            await self.send(result)

    async def _result(self, job: dict[str, Any], behaviour: str) -> dict[str, Any]:
        """Return the load that tells the master what came of *job*."""
        result: dict[str, Any] = {
            "cmd": "_return",
            "jid": job["jid"],
            "fun": job["fun"],
            "fun_args": job["arg"],
            "success": True,
            "retcode": 0,
        }
        if "user" in job:
            result["user"] = job["user"]
        if behaviour == "fail":
            return result | {"return": "It failed.", "success": False, "retcode": 1}
        if behaviour == "bytes":
            return result | {"return": NOT_TEXT}
        if isinstance(job["fun"], list):
            calls = zip(job["fun"], job["arg"], strict=True)
            done = {fun: await self._call(fun, args) for fun, args in calls}
            return result | {
                "return": {fun: value for fun, (value, _) in done.items()},
                "success": {fun: not retcode for fun, (_, retcode) in done.items()},
                "retcode": {fun: retcode for fun, (_, retcode) in done.items()},
            }
        value, retcode = await self._call(job["fun"], job["arg"])
        if retcode:
            result["out"] = "nested"
        return result | {"return": value, "success": not retcode, "retcode": retcode}

    async def _call(self, fun: str, published: list[Any]) -> tuple[Any, int]:
        """Return what *fun* returns, and its retcode."""
        args, kwargs = arguments(published)
        match fun:
            case "test.sleep":
                await asyncio.sleep(float(args[0]))
                return True, 0
            case "test.echo":
                return args[0], 0
            case "test.arg":
                return {"args": args, "kwargs": kwargs}, 0
            case "sys.list_functions":
                return FUNCTIONS, 0
            case "saltutil.find_job":
                found = self._running.get(str(args[0]))
                return (found | {"pid": 1} if found else {}), 0
        if fun in FUNCTIONS:
            return True, 0
        return f"'{fun}' is not available.", NOT_AVAILABLE


async def together(job: dict[str, Any], minions: list[Minion]) -> None:
    """Return the argument of *job* for all *minions* at once, as a syndic does."""
    result = {"return": job["arg"][0], "retcode": 0, "success": True}
    returns = {minion.id: result for minion in minions}
    load = {"jid": job["jid"], "id": "together", "fun": job["fun"], "return": returns}
    await minions[0].send({"cmd": "_syndic_return", "load": [load]})


def arguments(published: list[Any]) -> tuple[list[Any], dict[str, Any]]:
    """Return the positional and named arguments in the `arg` of a job."""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for arg in published:
        if isinstance(arg, dict) and arg.get("__kwarg__"):
            kwargs |= {name: value for name, value in arg.items() if name != "__kwarg__"}
        elif named := salt.utils.args.parse_input([arg], condition=False)[1]:
            kwargs |= named
        else:
            args.append(arg)
    return args, kwargs


class Subscription:
    """What the master publishes, decrypted once for all minions."""

    def __init__(self, port: int, minions: list[Minion], matchers: Any) -> None:
        self._socket = zmq.asyncio.Context.instance().socket(zmq.SUB)
        self._socket.reconnect_ivl = 50
        self._port = port
        self._minions = minions
        self._matchers = matchers
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, aes: str) -> None:
        """Hand every job to the minions that it is for; *aes* is the key of the publications."""
        crypticle = salt.crypt.Crypticle({}, aes)
        self._socket.subscribe(b"")
        self._socket.connect(f"tcp://127.0.0.1:{self._port}")
        while True:
            frames = await self._socket.recv_multipart()
            encrypted = salt.payload.loads(frames[-1])["load"]
            try:
                job = crypticle.loads(encrypted)
            except salt.crypt.AuthenticationError:  # a master that started again has a new key
                crypticle = salt.crypt.Crypticle({}, await self._minions[0].sign_in())
                with contextlib.suppress(salt.crypt.AuthenticationError):
                    self._dispatch(crypticle.loads(encrypted))
            else:
                self._dispatch(job)

    def _dispatch(self, job: dict[str, Any]) -> None:
        chosen = [minion for minion in self._minions if self._is_for(job, minion)]
        if job["fun"] == "sim.together" and chosen:
            self._start(together(job, chosen))
            return
        for minion in chosen:
            self._start(minion.run(job))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _is_for(self, job: dict[str, Any], minion: Minion) -> bool:
        matcher = f"{job.get('tgt_type', 'glob')}_match.match"
        if matcher not in self._matchers:
            return False
        return bool(self._matchers[matcher](job["tgt"], opts=minion.opts, minion_id=minion.id))

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if error := task.exception():
            sys.stderr.write(f"A job of the swarm failed: {error!r}\n")


async def serve(settings: dict[str, Any]) -> None:
    """Be the minions that *settings* describe."""
    master = Master(settings["request_port"], settings["request_seconds"])
    keys = Keys()
    behaviours: dict[str, str] = settings["behaviours"]

    def behaviour_of(minion: str) -> str:
        fitting = (what for glob, what in behaviours.items() if fnmatch.fnmatch(minion, glob))
        return next(fitting, "answer")

    opts = dict(salt.config.DEFAULT_MINION_OPTS) | {"grains": {}, "pillar": {}}
    for option in ("cachedir", "extension_modules", "pki_dir", "root_dir"):
        opts[option] = f"{settings['directory']}/{option}"
    minions = [
        Minion(opts | {"id": name}, behaviour_of(name), keys, master) for name in settings["ids"]
    ]
    aes = await asyncio.gather(*(minion.sign_in() for minion in minions))
    matchers = salt.loader.matchers(minions[0].opts)
    await Subscription(settings["publish_port"], minions, matchers).run(aes[-1])


if __name__ == "__main__":
    asyncio.run(serve(json.loads(Path(sys.argv[1]).read_text())))
