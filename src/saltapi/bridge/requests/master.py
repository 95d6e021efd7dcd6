"""
What can be asked of the master, and what its answers mean.

The loads and answers are those of `salt.master.ClearFuncs`. The master answers some failures
with a dict, some with an empty string and some with a sentence; here each becomes one typed
error.

The one retry rule: a request that only reads (`ping`, `get_token`) is sent a second time when
the master could not be reached. Anything else is sent once, because it may have been done.
"""

import logging
from typing import Any

import salt.utils.user

from saltapi.bridge.external_auth import problems
from saltapi.bridge.requests.channels import Channels
from saltapi.errors import (
    AuthenticationFailed,
    AuthorizationFailed,
    BadRequest,
    InvalidChunk,
    MalformedAnswer,
    MasterUnavailable,
    NoMinionsMatched,
)
from saltapi.lowstate import WHEEL_KEYS
from saltapi.trace import carried
from saltapi.types import Credentials, Jid, Opts, Published, Token

log = logging.getLogger(__name__)

AUTHENTICATION_NAMES = frozenset(
    {
        "AuthenticationError",
        "EauthAuthenticationError",
        "TokenAuthenticationError",
        "UserAuthenticationError",
    }
)
PING_TIMEOUT_SECONDS = 5.0
GET_TOKEN_TIMEOUT_SECONDS = 15.0


class Master:
    """The master's requests as coroutines."""

    def __init__(self, opts: Opts, channels: Channels) -> None:
        self._opts = opts
        self._channels = channels
        self._user = salt.utils.user.get_specific_user()
        self._timeout_seconds = float(opts.get("request_channel_timeout", 60))
        self._publish_timeout_seconds = float(opts["publish_timeout"])

    async def ping(self) -> None:
        """
        Return when the master answers.

        Raises:
            MasterUnavailable: It does not.
        """
        await self._read({"cmd": "ping"}, PING_TIMEOUT_SECONDS)

    async def mk_token(self, load: dict[str, Any]) -> dict[str, Any]:
        """
        Return a new token's data (`token`, `start`, `expire`, `name`, `eauth`, …).

        Args:
            load: `eauth`, `username`, `password`, and `token_expire` in seconds, which the
                master takes only from whom `token_expire_user_override` names.

        Raises:
            AuthenticationFailed: The master does not accept the credentials.
        """
        answer = await self._send({**load, "cmd": "mk_token"}, self._timeout_seconds)
        if not answer:
            raise AuthenticationFailed("Could not authenticate using provided credentials")
        data = _token_data(answer, self._opts)
        if not isinstance(data.get("token"), str):
            raise _malformed(answer, self._opts)
        return data

    async def get_token(self, token: Token) -> dict[str, Any]:
        """
        Return what the master knows of *token*.

        Raises:
            AuthenticationFailed: There is no such token, or it has expired.
        """
        answer = await self._read({"cmd": "get_token", "token": token}, GET_TOKEN_TIMEOUT_SECONDS)
        if not answer:
            raise AuthenticationFailed("The token is unknown or has expired.")
        return _token_data(answer, self._opts)

    async def publish(
        self,
        *,
        jid: Jid,
        tgt: str | list[str],
        tgt_type: str,
        fun: str | list[str],
        arg: list[Any],
        credentials: Credentials,
        ret: str = "",
        extra: dict[str, Any] | None = None,
        to_seconds: float | None = None,
    ) -> Published:
        """
        Publish a job under *jid* and return what the master expects of it.

        Args:
            jid: The job's id, made by us so that returns are awaited before they can come.
            tgt: The target, without nodegroups (`bridge.targets`).
            tgt_type: How *tgt* is to be read.
            fun: The function, or a list of them with a list of argument lists in *arg*.
            arg: Positional arguments; keyword arguments as a last `{"__kwarg__": True, …}`.
            credentials: Whose command it is; they travel inside `kwargs`.
            ret: Returners, separated by commas.
            extra: What else the master takes from `kwargs` (`metadata`, `delimiter`, …).
            to_seconds: The timeout for syndics, with `order_masters`.

        Raises:
            NoMinionsMatched: No minion that the master knows matches the target.
            AuthenticationFailed, AuthorizationFailed, MasterUnavailable, MalformedAnswer
        """
        load: dict[str, Any] = {
            "cmd": "publish",
            "tgt": tgt,
            "fun": fun,
            "arg": arg,
            "key": "",
            "tgt_type": tgt_type,
            "ret": ret,
            "jid": jid,
            "user": self._user,
            "kwargs": {**(extra or {}), **credentials.as_load()},
            **carried(self._opts),
        }
        if to_seconds is not None:
            load["to"] = to_seconds
        answer = await self._send(load, self._publish_timeout_seconds)
        if not answer:
            raise AuthenticationFailed.of_command("The Salt master did not accept the credentials.")
        job = _checked(answer, self._opts).get("load")
        if not isinstance(job, dict) or not isinstance(job.get("minions"), list):
            raise _malformed(answer, self._opts)
        if not job.get("jid"):
            raise NoMinionsMatched(
                "No minions matched the target. No command was sent, no jid was assigned."
            )
        missing = job.get("missing")
        return Published(
            str(job["jid"]),
            tuple(job["minions"]),
            tuple(missing) if isinstance(missing, list) else (),
        )

    async def runner(
        self, fun: str, arg: list[Any], kwarg: dict[str, Any], credentials: Credentials
    ) -> Jid:
        """
        Start a runner function on the master and return its jid.

        Raises:
            AuthenticationFailed, AuthorizationFailed, BadRequest, MasterUnavailable,
            MalformedAnswer
        """
        load = {
            "cmd": "runner",
            "fun": fun,
            "kwarg": {"arg": arg, "kwarg": kwarg},
            **credentials.as_load(),
            **carried(self._opts),
        }
        answer = _checked(await self._send(load, self._timeout_seconds), self._opts)
        jid = answer.get("jid")
        if not isinstance(jid, str):
            raise _malformed(answer, self._opts)
        return jid

    async def wheel(
        self, fun: str, kwarg: dict[str, Any], credentials: Credentials
    ) -> dict[str, Any]:
        """
        Run a wheel function in the master and return `{"tag": …, "data": {…}}`.

        What the master checks (`kwarg`) and what it runs (the keys beside it) are the same
        here; a caller cannot show it one and have it run the other. Names that the master reads
        beside them go as Salt's clients send them, `arg` and `kwarg`, where the check sees no
        arguments at all: a rule about arguments then refuses.

        Raises:
            AuthenticationFailed, AuthorizationFailed, BadRequest, MasterUnavailable,
            MalformedAnswer
        """
        arguments: dict[str, Any] = {**kwarg, "kwarg": {"kwarg": kwarg}}
        if not WHEEL_KEYS.isdisjoint(kwarg):
            arguments = {"arg": [], "kwarg": kwarg}
        load = {
            **arguments,
            "cmd": "wheel",
            "fun": fun,
            **credentials.as_load(),
        }
        answer = _checked(await self._send(load, self._timeout_seconds), self._opts)
        if not isinstance(answer.get("data"), dict) or "tag" not in answer:
            raise _malformed(answer, self._opts)
        return answer

    async def _send(self, load: dict[str, Any], timeout_seconds: float) -> Any:
        answer = await self._channels.send(load, timeout_seconds=timeout_seconds)
        inner = answer.get("load", answer) if isinstance(answer, dict) else None
        if isinstance(inner, dict) and inner.get("cluster_retry"):  # `_cluster_is_ready`
            error = MasterUnavailable("The cluster of Salt masters is not ready yet.")
            error.sent = False
            raise error
        return answer

    async def _read(self, load: dict[str, Any], timeout_seconds: float) -> Any:
        try:
            return await self._send(load, timeout_seconds)
        except MasterUnavailable:
            return await self._send(load, timeout_seconds)


def _checked(answer: Any, opts: Opts) -> dict[str, Any]:
    """Return *answer* if it is a dict without an error in it, raise the error's type otherwise."""
    if answer in ("", None, {}, False):
        raise AuthenticationFailed.of_command("The Salt master did not accept the credentials.")
    if not isinstance(answer, dict):
        raise _malformed(answer, opts)
    error = answer.get("error")
    if error is None:
        return answer
    if not isinstance(error, dict):
        raise _malformed(answer, opts)
    name = str(error.get("name", ""))
    message = str(error.get("message", "")) or name
    if name == "AuthorizationError" or (
        # The master calls a refused runner or wheel function an authentication failure too,
        # but names the user only when it knows one.
        name in AUTHENTICATION_NAMES and " occurred for user " in message
    ):
        raise AuthorizationFailed(message)
    if name in AUTHENTICATION_NAMES:
        raise AuthenticationFailed.of_command(message)
    if name == "SaltInvocationError":
        raise InvalidChunk(message, key="fun")
    raise BadRequest(f"The Salt master refused the command: {message}")


def _token_data(answer: Any, opts: Opts) -> dict[str, Any]:
    if (
        isinstance(answer, dict)
        and isinstance(answer.get("name"), str)
        and isinstance(answer.get("expire"), int | float)
    ):
        return answer
    raise _malformed(answer, opts)


def _malformed(answer: Any, opts: Opts) -> MalformedAnswer:
    # A sentence of the master's is safe to log; a structure might hold anything.
    log.error(
        "The master's answer is malformed: %.200s",
        answer if isinstance(answer, str) else type(answer),
    )
    problem = next(problems(opts.get("external_auth")), None)
    if problem is not None:
        return MalformedAnswer(f"The Salt master could not process the request: {problem}")
    return MalformedAnswer("The Salt master could not process the request; its log says why.")
