"""
Would the master allow it? Asked of Salt's own code in this process; nothing is run or published.

The answers follow `ClearFuncs.publish`, `.runner` and `.wheel` for somebody with a token. They
rest on the options that this process was started with, as the master's do on its own.
"""

import asyncio
import copy
import logging
import re
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import salt.acl
import salt.utils.user
from salt.defaults import DEFAULT_TARGET_DELIM

from saltapi.bridge.requests import targets
from saltapi.bridge.worker.authorizer import Authorizer, Refused
from saltapi.bridge.workers.functions import obstacle_to
from saltapi.bridge.workers.process import WorkerProcess
from saltapi.errors import InvalidChunk
from saltapi.types import MinionId, Opts, Session

log = logging.getLogger(__name__)
T = TypeVar("T")

OPEN_FUNCTIONS = ["saltutil.find_job"]
"""What the master lets everybody publish."""
EVERYTHING = frozenset({".*", ".+", "^.*", "^.*$"})
"""How a rule says "any function"."""
REGEX_TARGET_TYPES = frozenset({"pcre", "grain_pcre", "pillar_pcre"})
REGEX_WORD = re.compile(r"[EPJ]@")
"""A part of a compound target that is a regular expression."""
EXPANSION_SECONDS = 20.0
"""How long a target with a regular expression may take: some of them never end."""
EXPANSION_MEMORY_MIB = 1024


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    What the master would say.

    Attributes:
        allowed: Whether it would run the function; False also where that is not known.
        minions: Those of the target that the function is allowed on. If `allowed`, all of them.
        refused: Those of the target that it is not allowed on.
        missing: Names in a list target that the master does not know.
        rule: The entry of the user's permissions that allows it; None if there is no such one.
        reason: Why, as a sentence.
        unknown: Whether this process cannot tell: what it says is what it knows for sure.
    """

    allowed: bool
    minions: tuple[MinionId, ...] = ()
    refused: tuple[MinionId, ...] = ()
    missing: tuple[MinionId, ...] = ()
    rule: Any = None
    reason: str = ""
    unknown: bool = False


class Permissions:
    """Makes the master's checks for sessions, one at a time in a thread of its own."""

    def __init__(self, opts: Opts) -> None:
        """
        Args:
            opts: The master's options; not changed.
        """
        self._opts = opts
        self._authorizer: Authorizer | None = None
        self._blind_authorizer: Authorizer | None = None
        self._nowhere: tempfile.TemporaryDirectory[str] | None = None
        self._user = salt.utils.user.get_specific_user()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="saltapi-permissions")
        self._expanding = asyncio.Semaphore(1)

    async def rules(self, session: Session) -> list[Any]:
        """Return the entries of `external_auth`, or of the token, that hold for the session."""
        return await self._call(lambda authorizer: copy.deepcopy(self._rules(authorizer, session)))

    async def local(
        self,
        session: Session,
        fun: str | list[str],
        arg: Sequence[Any],
        tgt: str | list[str],
        tgt_type: str = "glob",
        *,
        delimiter: str | None = None,
    ) -> Verdict:
        """
        Return whether the session may run an execution module function on a target.

        Args:
            session: Who asks.
            fun: The function, or a list of them.
            arg: Its arguments as they are published, named ones as a last `__kwarg__` mapping.
            tgt: The target, as in a chunk.
            tgt_type: How to read it.
            delimiter: What parts the levels of grains and pillars in it.

        Raises:
            InvalidChunk: There is no such nodegroup.
            CommandTimeout, WorkerFailed: A regular expression in the target takes too long.
        """
        tgt, tgt_type = await asyncio.to_thread(targets.resolve, self._opts, tgt, tgt_type)
        if await asyncio.to_thread(obstacle_to, self._opts) is not None:
            return await self._call(
                lambda authorizer: self._without_files(authorizer, session, fun, arg)
            )
        request = {
            "tgt": tgt,
            "tgt_type": tgt_type,
            "delimiter": delimiter or DEFAULT_TARGET_DELIM,
            "fun": fun,
        }
        found: Mapping[str, Any] | None = None
        if _has_regex(tgt, tgt_type):
            found = await self._expand_apart(request)
        return await self._call(
            lambda authorizer: self._local(authorizer, session, request, arg, found)
        )

    async def runner(
        self, session: Session, fun: str, kwargs: Mapping[str, Any], args: Sequence[Any] = ()
    ) -> Verdict:
        """
        Return whether the session may run a runner function with these arguments.

        Raises:
            InvalidChunk: *fun* is no `module.function`.
        """
        return await self._call(
            lambda authorizer: self._function(
                authorizer, "runner", session, fun, list(args), dict(kwargs)
            )
        )

    async def wheel(self, session: Session, fun: str, kwargs: Mapping[str, Any]) -> Verdict:
        """Same as `runner`, for a wheel function."""
        return await self._call(
            lambda authorizer: self._function(authorizer, "wheel", session, fun, [], dict(kwargs))
        )

    async def is_administrator(self, session: Session) -> bool:
        """Return whether the session may run every function, on all minions and the master."""
        rules = await self.rules(session)
        whole = (
            (EVERYTHING, {"*"}),
            *(
                ({f"@{kind}", f"@{kind}s"}, {f"@{kind}", f"@{kind}s"})
                for kind in ("runner", "wheel")
            ),
        )
        return all(any(_opens(rule, texts, keys) for rule in rules) for texts, keys in whole)

    def close(self) -> None:
        """Give the thread back; idempotent."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        if self._nowhere is not None:
            self._nowhere.cleanup()

    async def _call(self, function: Callable[[Authorizer], T]) -> T:
        def in_thread() -> T:
            return function(self._ready_authorizer())

        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, in_thread)
        except Refused as refusal:
            raise InvalidChunk(str(refusal), key="fun") from None

    def _ready_authorizer(self) -> Authorizer:
        """Return the authorizer; where the master's files are closed to us, one that sees none."""
        # Copies: Salt's code may add to its options, and these are everybody's.
        if obstacle_to(self._opts) is None:
            self._authorizer = self._authorizer or Authorizer(copy.deepcopy(self._opts))
            logging.getLogger("salt.utils.minions").addFilter(_ONE_LINE)
            return self._authorizer
        if self._blind_authorizer is None:
            # Salt makes directories that it does not find, and these are the master's.
            self._nowhere = tempfile.TemporaryDirectory(prefix="saltapi-")
            elsewhere = dict.fromkeys(("pki_dir", "cachedir", "token_dir"), self._nowhere.name)
            self._blind_authorizer = Authorizer({**copy.deepcopy(self._opts), **elsewhere})
        return self._blind_authorizer

    async def _expand_apart(self, request: dict[str, Any]) -> Mapping[str, Any]:
        """Expand a target in a process that can be ended, unlike a regular expression here."""
        async with self._expanding:
            worker = await WorkerProcess.start(
                "targets", self._opts, memory_limit_mib=EXPANSION_MEMORY_MIB
            )
            try:
                reply = await worker.ask(request, timeout_seconds=EXPANSION_SECONDS)
            finally:
                await asyncio.shield(worker.kill())
        return dict(reply["data"])

    def _rules(self, authorizer: Authorizer, session: Session) -> list[Any]:
        token: dict[str, Any] = {
            "name": session.name,
            "eauth": session.eauth,
            "groups": list(session.groups),
        }
        if session.auth_list is not None:
            token["auth_list"] = list(session.auth_list)
        elif self._opts.get("keep_acl_in_token"):
            # The token may hold that there are none, which is not the same as holding nothing.
            token = {**authorizer.auth.get_tok(session.token), **token}
        return authorizer.auth.get_auth_list({}, token=token) or []

    def _local(
        self,
        authorizer: Authorizer,
        session: Session,
        request: Mapping[str, Any],
        arg: Sequence[Any],
        found: Mapping[str, Any] | None,
    ) -> Verdict:
        fun, tgt, tgt_type = request["fun"], request["tgt"], request["tgt_type"]
        if self._is_blacklisted(fun):
            return Verdict(False, reason="publisher_acl_blacklist forbids it to everybody.")
        if found is None:
            found = authorizer.expand(**request)
        minions, missing = sorted(found["minions"]), tuple(sorted(found["missing"]))

        def permits(rules: list[Any], some: list[str], open_functions: Sequence[str] = ()) -> bool:
            return bool(
                authorizer.minions.auth_check(
                    rules, fun, list(arg), tgt, tgt_type, minions=some, whitelist=open_functions
                )
            )

        rules = self._rules(authorizer, session)
        if permits(rules, minions, OPEN_FUNCTIONS):
            rule = next((rule for rule in rules if permits([rule], minions)), None)
            return Verdict(
                True,
                minions=tuple(minions),
                missing=missing,
                rule=copy.deepcopy(rule),
                reason=_reason_allowed(rule, minions, fun),
            )
        may = self._allowed_minions(authorizer, rules, permits, minions)
        some = tuple(minion for minion in minions if minion in may)
        rest = tuple(minion for minion in minions if minion not in may)
        return Verdict(
            False, minions=some, refused=rest, missing=missing, reason=_reason_refused(some, rules)
        )

    def _allowed_minions(
        self,
        authorizer: Authorizer,
        rules: list[Any],
        permits: Callable[[list[Any], list[str]], bool],
        minions: list[str],
    ) -> set[str]:
        """Return those of *minions* that the function is allowed on; more than one rule may do."""
        found: set[str] = set()
        if self._opts.get("auth.enable_expanded_auth_matching"):
            return found  # Salt's other way of checking takes all rules together
        for rule in rules:
            # For no minion at all every target of a rule is good enough: only its functions and
            # arguments are looked at.
            if isinstance(rule, dict) and len(rule) == 1 and permits([rule], []):
                target = next(iter(rule))
                found.update(
                    authorizer.minions.check_minions(target, "compound").get("minions", [])
                )
        return found & set(minions)

    def _without_files(
        self, authorizer: Authorizer, session: Session, fun: str | list[str], arg: Sequence[Any]
    ) -> Verdict:
        """Return what can be told without knowing the minions."""
        if self._is_blacklisted(fun):
            return Verdict(False, reason="publisher_acl_blacklist forbids it to everybody.")
        for rule in self._rules(authorizer, session):
            whatever = isinstance(rule, str) or (isinstance(rule, dict) and set(rule) == {"*"})
            if whatever and authorizer.minions.auth_check([rule], fun, list(arg), "*", minions=[]):
                reason = (
                    "Allowed on all minions; which of them match, this process cannot read from"
                    " the master's files."
                )
                return Verdict(True, rule=copy.deepcopy(rule), reason=reason, unknown=True)
        reason = (
            "Not known: this process may not read the master's files, so that it cannot tell which"
            " minions match. Run it as the master's user."
        )
        return Verdict(False, reason=reason, unknown=True)

    def _function(
        self,
        authorizer: Authorizer,
        client: Literal["runner", "wheel"],
        session: Session,
        fun: str,
        args: list[Any],
        kwargs: dict[str, Any],
    ) -> Verdict:
        rules = self._rules(authorizer, session)
        for rule in rules:
            if authorizer.permits_function(client, [rule], fun, args, kwargs):
                reason = "A rule of the user allows it."
                return Verdict(True, rule=copy.deepcopy(rule), reason=reason)
        return Verdict(False, reason=f"No rule of the user allows this {client} function.")

    def _is_blacklisted(self, fun: str | list[str]) -> bool:
        blacklist = salt.acl.PublisherACL(self._opts.get("publisher_acl_blacklist") or {})
        return bool(blacklist.user_is_blacklisted(self._user) or blacklist.cmd_is_blacklisted(fun))


class _OneLine(logging.Filter):
    """Makes one line of what Salt logs of a target that cannot be matched: the user is told."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log *record*: yes, as an information without a traceback."""
        if record.exc_info and record.args:
            problem = record.exc_info[1]
            record.levelno, record.levelname = logging.INFO, "INFO"
            record.msg = f"{record.getMessage()!r:.500}: {problem!r:.500}"
            record.args = ()
            record.exc_info = record.exc_text = None
        return True


_ONE_LINE = _OneLine()


def _has_regex(tgt: str | list[str], tgt_type: str) -> bool:
    if tgt_type in REGEX_TARGET_TYPES:
        return True
    words = [tgt] if isinstance(tgt, str) else tgt
    return tgt_type.startswith("compound") and any(REGEX_WORD.search(word) for word in words)


def _opens(rule: Any, texts: Collection[str], keys: Collection[str]) -> bool:
    """Return whether *rule* is one of *texts*, or allows any function for one of *keys*."""
    if isinstance(rule, str):
        return rule in texts
    if not isinstance(rule, dict) or len(rule) != 1:
        return False
    ((key, functions),) = rule.items()
    listed = functions if isinstance(functions, list) else [functions]
    return key in keys and any(isinstance(f, str) and f in EVERYTHING for f in listed)


def _reason_allowed(rule: Any, minions: list[str], fun: str | list[str]) -> str:
    if not minions:
        return "No minion that the master knows matches the target; nothing would be published."
    if rule is None and (fun in OPEN_FUNCTIONS or isinstance(fun, list)):
        return "The master lets everybody run it."
    if rule is None:
        return "Several rules of the user together allow it."
    return "A rule of the user allows it on all minions of the target."


def _reason_refused(some: tuple[str, ...], rules: list[Any]) -> str:
    if not rules:
        return "The user has no permissions on this master."
    if some:
        return "Allowed on some minions of the target only; the master then runs it on none."
    return "No rule of the user allows this function with these arguments on these minions."
