"""
The program inside a worker process: `python -P -m saltapi.bridge.worker`.

It talks frames (`saltapi.bridge.worker.frames`) over its standard input and output: first the
options and what kind of worker it is, then one request at a time. It ends with its parent, however
that one ends. Salt is imported only after the pipes are out of the reach of anything that prints.
"""

import ctypes
import fcntl
import logging
import os
import pickle
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, TextIO

from saltapi.bridge.worker import frames
from saltapi.bridge.worker.authorizer import Authorizer, Refused
from saltapi.bridge.worker.warm import keep_warm
from saltapi.formats import arguments
from saltapi.types import Opts

log = logging.getLogger("saltapi.worker")

PR_SET_PDEATHSIG = 1
NICENESS = 10
"""How far what nobody waits for stands back."""
MAX_REPEATS = 3
"""How often one request may write the same message to the log."""

Request = dict[str, Any]
Reply = dict[str, Any]


class Functions:
    """Runs runner and wheel functions as the master does, with loaders that stay warm."""

    def __init__(self, opts: Opts) -> None:
        import salt.runner
        import salt.wheel

        keep_warm(opts)
        self._authorizer = Authorizer(opts)
        runner = salt.runner.RunnerClient(opts)
        wheel = salt.wheel.WheelClient(opts)
        self._clients = {"runner": runner, "wheel": wheel}
        for client in self._clients.values():
            client.functions.keys()  # loads all modules
        # Salt makes it at the first call; both clients can use the same one.
        wheel._mminion = runner.mminion
        self._pristine: dict[str, list[Any]] = {}

    def __call__(self, request: Request) -> Reply:
        """
        Return `{"data": …, "retire": bool}`; `retire` asks for a fresh process.

        Raises:
            Refused: The caller is unknown, may not do this, or there is no such function.
        """
        client = self._clients[request["client"]]
        user, args, kwargs = self._permitted(request)
        function = client.functions[request["fun"]]
        module = f"{client.client}.{request['fun'].partition('.')[0]}"
        if module not in self._pristine:
            self._pristine[module] = self._state(client, function)
        # What a function leaves here is not for the next one: `retcode` decides on `success`.
        client.context.clear()
        try:
            data = self._run(client, request, user, args, kwargs)
        except Exception as error:
            log.debug("%s %s broke off.", client.client, request["fun"], exc_info=True)
            data = self._failed(client, request, user, error)
        retire = self._state(client, function) != self._pristine[module]
        return {"data": data, "retire": retire}

    def _permitted(self, request: Request) -> tuple[str, list[Any], dict[str, Any]]:
        """Return the user and the arguments after the checks of `ClearFuncs.runner`/`.wheel`."""
        name, fun = request["client"], request["fun"]
        functions = self._clients[name].functions
        load = {"cmd": name, "fun": fun, "kwarg": {}, **request["credentials"]}
        user, permissions, credentials = self._authorizer.identify(load)

        args, kwargs = request["args"], request["kwargs"]
        if name == "runner" and fun in functions:
            args, kwargs = _fitting(functions[fun], args, kwargs)
        if not self._authorizer.permits_function(name, permissions, fun, args, kwargs):
            raise Refused(
                "authorization",
                f'Authentication failure of type "{credentials}" occurred for user {user}.',
            )
        if fun not in functions:
            raise Refused("chunk", f"'{fun}' is not available.")
        return user, args, kwargs

    def _run(
        self, client: Any, request: Request, user: str, args: list[Any], kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        """Run the function as `SyncClientMixin.low` does, with its events and its job."""
        import salt.utils.args

        fun, jid = request["fun"], request["jid"]
        if client is self._clients["wheel"] and not args:
            # `low` would do it, but on 3008 it fails when an argument is missing or unknown.
            call = salt.utils.args.format_call(client.functions[fun], kwargs)
            args, kwargs = call["args"], call["kwargs"]
        low = {
            "arg": args,
            "kwarg": kwargs,
            "__jid__": jid,
            "__tag__": f"salt/{client.tag_prefix}/{jid}",
            "__user__": user,
        }
        return dict(client.low(fun, low, print_event=False, full_return=True))

    def _failed(self, client: Any, request: Request, user: str, error: Exception) -> dict[str, Any]:
        """Fire and return the `ret` event of a function that broke off, as `ClearFuncs.wheel`."""
        import salt.utils.event

        fun, jid, kind = request["fun"], request["jid"], client.client
        data = {
            "fun": f"{kind}.{fun}",
            "jid": jid,
            "user": user,
            "return": f"Exception occurred in {kind} {fun}: {type(error).__name__}: {error}",
            "success": False,
        }
        with salt.utils.event.get_event(
            "master", client.opts["sock_dir"], opts=client.opts, listen=False
        ) as event:
            event.fire_event(data, f"salt/{client.tag_prefix}/{jid}/ret")
        return data

    def _state(self, client: Any, function: Any) -> list[Any]:
        """Return what *function* can change for all later calls."""
        options = [client.opts, client.functions.pack["__opts__"]]
        own = function.__globals__.get("__opts__")
        if isinstance(own, dict):  # most modules have a copy of their own
            options.append(own)
        return [os.getcwd(), dict(os.environ), *map(frames.plain, options)]


class Ssh:
    """Runs one salt-ssh command after the checks that Salt's netapi makes for `ssh`."""

    def __init__(self, opts: Opts) -> None:
        # salt-ssh forks a process for each host, which must not outlive this one.
        os.register_at_fork(after_in_child=_die_with_parent)
        # Salt's own default is /etc/salt, wherever the config is.
        config_dir = os.path.dirname(opts["conf_file"])
        self._opts = {
            "config_dir": config_dir,
            **opts,
            "__disable_custom_roster": True,
            "rosters": opts.get("rosters") or [],  # Salt walks through it, set or not
        }

    def __call__(self, request: Request) -> Reply:
        """
        Return `{"data": {host: …}}`.

        Raises:
            Refused: The caller is unknown or may not do this, or salt-ssh cannot run.
        """
        import salt.client.ssh.client
        import salt.exceptions

        low = request["low"]
        self._permit(low, request["credentials"])
        _end_without_hosts()
        try:
            with salt.client.ssh.client.SSHClient(
                mopts=self._opts, disable_custom_roster=True
            ) as client:
                return {"data": client.cmd_sync(low)}
        except NoHosts:
            return {"data": {}}
        except (salt.exceptions.SaltException, OSError, SystemExit) as error:
            raise Refused("failed", f"salt-ssh failed: {error}") from error

    def _permit(self, low: dict[str, Any], credentials: dict[str, str]) -> None:
        """Check as `NetapiClient._authorize_ssh` does, but what is checked is what will run."""
        opts = {**self._opts, "enable_ssh_minions": True}
        opts.update((key, low[key]) for key in ("roster", "roster_file") if key in low)
        authorizer = Authorizer(opts)
        fun, tgt, tgt_type = low["fun"], low["tgt"], low["tgt_type"]
        _, permissions, _ = authorizer.identify({"cmd": "ssh", "fun": fun, **credentials})
        minions = authorizer.minions.check_minions(tgt, tgt_type)["minions"]
        if not minions:
            # Nothing matches any limit to certain minions, and an empty set passes all of them.
            permissions = [p for p in permissions if isinstance(p, str) or set(p) == {"*"}]
        arguments = _checkable(low["arg"], low["kwarg"])
        if not authorizer.minions.auth_check(
            permissions, fun, arguments, tgt, tgt_type, minions=minions
        ):
            raise Refused("authorization", "Authorization error occurred.")


class NoHosts(Exception):
    """No host matches the target of salt-ssh."""


class Targets:
    """Expands targets whose regular expressions may never end."""

    def __init__(self, opts: Opts) -> None:
        self._authorizer = Authorizer(opts)

    def __call__(self, request: Request) -> Reply:
        """Return `{"data": {"minions": [id, …], "missing": [id, …]}}`."""
        return {"data": self._authorizer.expand(**request)}


class Jobs:
    """Takes jobs into the index of the job cache, behind everybody else."""

    def __init__(self, opts: Opts) -> None:
        from saltapi.bridge.worker.job_index import JobIndex
        from saltapi.bridge.worker.job_loads import index_path
        from saltapi.bridge.worker.job_scan import JobScan

        os.nice(NICENESS)
        self._index = JobIndex(index_path(opts))
        self._scan = JobScan(self._index, opts)
        self._index.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._lock = os.open(f"{self._index.path}.lock", flags, 0o600)

    def __call__(self, request: Request) -> Reply:
        """Work for about `seconds`, unless another process does; return `{"done": bool}`."""
        until = time.monotonic() + request["seconds"]
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(request["seconds"])
            return {"done": self._index.complete}
        try:
            done = False
            while not done and time.monotonic() < until:
                done = self._scan.step()
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)
        return {"done": done}


KINDS: dict[str, Callable[[Opts], Callable[[Request], Reply]]] = {
    "functions": Functions,
    "ssh": Ssh,
    "targets": Targets,
    "jobs": Jobs,
}


def _end_without_hosts() -> None:
    """Let salt-ssh raise `NoHosts` before it makes keys and archives for nobody."""
    import salt.client.ssh

    find = salt.client.ssh.SSH._update_targets  # what it does when the roster has no such host

    def find_or_end(self: Any) -> None:
        find(self)
        if not self.targets:
            raise NoHosts

    salt.client.ssh.SSH._update_targets = find_or_end


def _fitting(
    function: Any, args: list[Any], kwargs: dict[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments without those that *function* does not take, as a runner's are."""
    import salt.minion

    packed = [*args, {"__kwarg__": True, **kwargs}]
    fitting, named = salt.minion.load_args_and_kwargs(function, packed, ignore_invalid=True)
    return list(fitting), dict(named)


def _checkable(args: list[Any], kwargs: dict[str, Any]) -> list[Any]:
    """Return the arguments as `auth_check` reads them: salt-ssh makes `a=b` a named one."""
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for arg in args:
        pair = arguments.read([arg])[1] if _is_text(arg) else {}
        if pair:
            named.update(pair)
        else:
            positional.append(arg)
    named.update(kwargs)
    return [*positional, {"__kwarg__": True, **named}] if named else positional


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


class _Log(logging.StreamHandler[TextIO]):
    """Writes to standard error, without credentials, and no message without end."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("worker %(process)d: %(levelname)s: %(message)s"))
        self._secrets: list[str] = []
        self._seen: Counter[str] = Counter()

    def begin(self, request: Request) -> None:
        """Start afresh for *request*."""
        self._secrets = _secrets(request)
        self._seen.clear()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to write *record*: salt-ssh can say the same for ever."""
        self._seen[str(record.msg)] += 1
        return bool(super().filter(record)) and self._seen[str(record.msg)] <= MAX_REPEATS

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of *record* without the credentials of the request."""
        text = super().format(record)
        for secret in self._secrets:
            text = text.replace(secret, "******")
        return text


def _secrets(request: Request) -> list[str]:
    """Return every credential of *request* that no log may show."""
    found = [request.get("credentials", {}).get(key) for key in ("token", "password")]
    found += [request.get("low", {}).get(key) for key in ("ssh_passwd", "ssh_priv_passwd")]
    return [secret for secret in found if secret]


def take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Return the pipes to the parent; what reads or prints from now on finds nothing there."""
    pipes = os.dup(0), os.dup(1)
    _point_to_nothing(0, 1)
    # A child of Salt's that fell back into our loop would answer a second time.
    os.register_at_fork(after_in_child=lambda: _point_to_nothing(*pipes))
    requests, replies = pipes
    return os.fdopen(requests, "rb"), os.fdopen(replies, "wb")


def _point_to_nothing(*descriptors: int) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in descriptors:
        os.dup2(nowhere, descriptor, inheritable=descriptor <= 1)
    os.close(nowhere)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _answer(handle: Callable[[Request], Reply], request: Request) -> Reply:
    try:
        return handle(request)
    except Refused as refusal:
        return {"error": refusal.kind, "message": str(refusal)}
    except Exception:
        log.exception("A request failed in the worker.")
        return {"error": "failed", "message": "The function could not be run; see the log."}


def _packed(reply: Reply) -> bytes:
    import salt.payload

    try:
        return frames.pack(salt.payload.dumps(reply, use_bin_type=True))
    except frames.FrameTooLarge:
        problem = "The function's result is too large."
    except Exception:
        log.exception("A result cannot be serialized.")
        problem = "The function's result cannot be serialized."
    refusal = {"error": "failed", "message": problem}
    return frames.pack(bytes(salt.payload.dumps(refusal, use_bin_type=True)))


def serve(requests: BinaryIO, replies: BinaryIO) -> None:
    """Answer the parent's requests until it closes the pipe."""
    opening = frames.read(requests)
    if opening is None:
        return
    hello: Mapping[str, Any] = pickle.loads(opening)  # noqa: S301 (from our own parent)
    _die_with_parent()
    if os.getppid() != hello["parent"]:
        return

    import salt.payload

    output = _Log()
    logging.basicConfig(level=logging.WARNING, handlers=[output], force=True)

    handle = KINDS[hello["kind"]](hello["opts"])
    replies.write(_packed({"ready": True}))
    replies.flush()
    while (frame := frames.read(requests)) is not None:
        request = salt.payload.loads(frame, encoding="utf-8")
        output.begin(request)
        replies.write(_packed(_answer(handle, request)))
        replies.flush()
    # Not by returning: Salt's clients complain about their end, and some wait for something.
    os._exit(0)
