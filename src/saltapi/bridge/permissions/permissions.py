"""
Would the master allow it? Asked of Salt's own code in this process; nothing is run or published.

The answers follow `ClearFuncs.publish`, `.runner` and `.wheel` for somebody with a token. They
rest on the options that this process was started with, as the master's do on its own.
"""

import asyncio
import copy
import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Literal, TypeVar

import salt.acl
import salt.utils.user
from salt.defaults import DEFAULT_TARGET_DELIM

from saltapi.bridge.permissions import rules as rules_of
from saltapi.bridge.permissions import verdict
from saltapi.bridge.permissions.calls import ONE_LINE, Calls, open_to_all, permits_call, takes_long
from saltapi.bridge.permissions.narrowing import check_whole, makes_tokens, parts_of
from saltapi.bridge.permissions.verdict import Verdict
from saltapi.bridge.requests import arguments, targets
from saltapi.bridge.worker.authorizer import Authorizer, Refused
from saltapi.bridge.workers.functions import obstacle_to
from saltapi.bridge.workers.process import WorkerProcess
from saltapi.errors import InvalidChunk
from saltapi.types import Opts, Session

log = logging.getLogger(__name__)
T = TypeVar("T")

ANY_FUNCTION = "any.function"
"""Stands for a function that no rule but "any function" names."""
EXPANSION_SECONDS = 20.0
"""How long a target with a regular expression, or of many parts, may take: some never end."""
EXPANSION_MEMORY_MIB = 1024


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
        """
        Return the entries of `external_auth`, or of the token, that hold for the session.

        Raises:
            AuthorizationFailed: It is narrowed: two lists hold for it, which no list says.
        """
        check_whole(session, "see this")
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

        Of a list each function must be allowed, with its own arguments. What the master lets
        everybody run counts only where it stands alone.

        Args:
            session: Who asks.
            fun: The function, or a list of them.
            arg: Its arguments as they are published, named ones as a last `__kwarg__` mapping.
            tgt: The target, as in a chunk.
            tgt_type: How to read it.
            delimiter: What parts the levels of grains and pillars in it.

        Raises:
            InvalidChunk: There is no such nodegroup, which only those are told who may run it on
                all minions, or a function has no list of arguments.
            CommandTimeout, WorkerFailed: A target of many parts, or with a regular expression, is
                not matched in time.
        """
        return await self._judge(session, fun, arg, tgt, tgt_type, delimiter, lambda rules: rules)

    async def unlimited(
        self,
        session: Session,
        tgt: str | list[str],
        tgt_type: str = "glob",
        *,
        delimiter: str | None = None,
    ) -> bool:
        """
        Return whether the session may run every function on a target.

        Raises:
            What `local` raises.
        """
        found = await self._judge(
            session, ANY_FUNCTION, (), tgt, tgt_type, delimiter, rules_of.unlimited
        )
        return found.allowed

    async def everywhere(
        self, session: Session, fun: str | list[str], arg: Sequence[Any], tgt_type: str
    ) -> bool:
        """
        Return whether the session may run a function, or a list of them, on all minions.

        Where the master's files are closed to this process, a list takes a rule for everything.
        """
        calls = arguments.calls_of(fun, arg)
        listed = not isinstance(fun, str)
        blind = await asyncio.to_thread(obstacle_to, self._opts) is not None

        def ask_of(authorizer: Authorizer, part: Session) -> bool:
            rules = self._rules(authorizer, part)
            if listed and blind and not any(map(rules_of.opens_minions, rules)):
                return False
            return self._everywhere(authorizer, rules, calls, open_to_all(fun, tgt_type))

        parts = parts_of(session)
        return await self._call(lambda authorizer: all(ask_of(authorizer, p) for p in parts))

    async def has_conditions(self, session: Session, fun: str) -> bool:
        """Return whether a rule of the session is about the arguments of *fun*."""
        rules = [rule for part in parts_of(session) for rule in await self.rules(part)]
        return any(rules_of.is_conditional(rule, fun) for rule in rules)

    async def may_name(
        self, session: Session, fun: str | list[str], tgt: str | list[str], tgt_type: str
    ) -> bool:
        """
        Return whether the target names none but minions that the session has a rule for.

        Only then it may be told that there are no such minions, unless it may run the function
        on all minions. Only rules for names count, and a target that stands in a rule.
        """
        calls: Calls = [(name, []) for name in ([fun] if isinstance(fun, str) else fun)]

        def ask(authorizer: Authorizer) -> bool:
            return all(
                rules_of.names_own(self._rules(authorizer, part), name, tgt, tgt_type)
                for part in parts_of(session)
                for name, _ in calls
            )

        return await self._call(ask)

    async def _judge(
        self,
        session: Session,
        fun: str | list[str],
        arg: Sequence[Any],
        tgt: str | list[str],
        tgt_type: str,
        delimiter: str | None,
        chosen: Callable[[list[Any]], list[Any]],
    ) -> Verdict:
        """Same as `local`, by those of the session's rules that are *chosen*."""
        if session.narrowed is not None:
            found = [
                await self._judge(part, fun, arg, tgt, tgt_type, delimiter, chosen)
                for part in parts_of(session)
            ]
            return verdict.both(*found)
        calls = arguments.calls_of(fun, arg)
        try:
            tgt, tgt_type = await asyncio.to_thread(targets.resolve, self._opts, tgt, tgt_type)
        except targets.UnknownNodegroup:
            if await self.everywhere(session, fun, arg, tgt_type):
                raise
            return Verdict(False, reason=verdict.NO_RULE)
        if await asyncio.to_thread(obstacle_to, self._opts) is not None:
            return await self._call(
                lambda authorizer: self._without_files(
                    authorizer,
                    chosen(self._rules(authorizer, session)),
                    calls,
                    not isinstance(fun, str),
                )
            )
        request = {
            "tgt": tgt,
            "tgt_type": tgt_type,
            "delimiter": delimiter or DEFAULT_TARGET_DELIM,
            "fun": fun,
        }
        expanded: Mapping[str, Any] | None = None
        if takes_long(tgt, tgt_type):
            expanded = await self._expand_apart(request)
        return await self._call(
            lambda authorizer: self._local(
                authorizer, chosen(self._rules(authorizer, session)), request, calls, expanded
            )
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
        if session.narrowed is not None:
            return False
        rules = await self.rules(session)
        whole = (
            (rules_of.EVERYTHING, {"*"}),
            *(
                ({f"@{kind}", f"@{kind}s"}, {f"@{kind}", f"@{kind}s"})
                for kind in ("runner", "wheel")
            ),
        )
        return all(
            any(rules_of.opens(rule, texts, keys) for rule in rules) for texts, keys in whole
        )

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
            logging.getLogger("salt.utils.minions").addFilter(ONE_LINE)
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
        if session.only is not None:
            return copy.deepcopy(list(session.only))
        token: dict[str, Any] = {
            "name": session.name,
            "eauth": session.eauth,
            "groups": list(session.groups),
        }
        if session.auth_list is not None:
            token["auth_list"] = list(session.auth_list)
        elif self._opts.get("keep_acl_in_token") and session.token:
            # The token may hold that there are none, which is not the same as holding nothing.
            token = {**authorizer.auth.get_tok(session.token), **token}
        return authorizer.auth.get_auth_list({}, token=token) or []

    def _local(
        self,
        authorizer: Authorizer,
        rules: list[Any],
        request: Mapping[str, Any],
        calls: Calls,
        found: Mapping[str, Any] | None,
    ) -> Verdict:
        fun, tgt, tgt_type = request["fun"], request["tgt"], request["tgt_type"]
        if self._is_blacklisted(fun):
            return Verdict(False, reason=verdict.BLACKLISTED)
        open_functions = open_to_all(fun, tgt_type)
        everywhere = self._everywhere(authorizer, rules, calls, open_functions)
        if isinstance(fun, list) and self._opts.get("order_masters") and not everywhere:
            # Masters below this one check again, but only as Salt does.
            return Verdict(False, reason=verdict.NO_RULE)
        if found is None:
            found = authorizer.expand(**request)
        minions, missing = sorted(found["minions"]), tuple(sorted(found["missing"]))
        if not minions and not (everywhere or self._opts.get("order_masters")):
            # No minion at all passes any limit to some of them.
            own = all(rules_of.names_own(rules, name, tgt, tgt_type) for name, _ in calls)
            return Verdict(
                own, missing=missing, reason=verdict.NO_MINIONS if own else verdict.NO_RULE
            )

        def permits(rules: list[Any], some: list[str], calls: Calls = calls) -> bool:
            return all(
                permits_call(authorizer, rules, call, tgt, tgt_type, some, whitelist=())
                for call in calls
            )

        if fun in open_functions or permits(rules, minions):
            rule = next((rule for rule in rules if permits([rule], minions)), None)
            return Verdict(
                True,
                minions=tuple(minions),
                missing=missing,
                rule=copy.deepcopy(rule),
                reason=verdict.reason_allowed(rule, minions, fun in open_functions),
                everywhere=everywhere,
            )
        may = set(minions)
        for call in calls:
            may &= self._allowed_minions(authorizer, rules, partial(permits, calls=[call]))
        some = tuple(minion for minion in minions if minion in may)
        rest = tuple(minion for minion in minions if minion not in may)
        return Verdict(
            False,
            minions=some,
            refused=rest,
            missing=missing,
            reason=verdict.reason_refused(some, rules),
        )

    def _everywhere(
        self, authorizer: Authorizer, rules: list[Any], calls: Calls, open_functions: Sequence[str]
    ) -> bool:
        """Return whether all of *calls* are allowed on all minions that there may be."""
        wide = [rule for rule in rules if rules_of.is_wide(rule)]
        return all(
            permits_call(authorizer, wide, call, "*", "glob", [], open_functions) for call in calls
        )

    def _allowed_minions(
        self,
        authorizer: Authorizer,
        rules: list[Any],
        permits: Callable[[list[Any], list[str]], bool],
    ) -> set[str]:
        """Return the minions that a function is allowed on; more than one rule may do."""
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
        return found

    def _without_files(
        self, authorizer: Authorizer, rules: list[Any], calls: Calls, listed: bool
    ) -> Verdict:
        """Return what can be told without knowing the minions."""
        if self._is_blacklisted([name for name, _ in calls]):
            return Verdict(False, reason=verdict.BLACKLISTED)
        whole = [rule for rule in rules if rules_of.opens_minions(rule)] if listed else rules
        for rule in whole:
            if self._everywhere(authorizer, [rule], calls, ()):
                reason = (
                    "Allowed on all minions; which of them match, this process cannot read from"
                    " the master's files."
                )
                shown = copy.deepcopy(rule)
                return Verdict(True, rule=shown, reason=reason, unknown=True, everywhere=True)
        if listed:
            return Verdict(False, reason=verdict.LIST_WITHOUT_FILES)
        return Verdict(False, reason=verdict.WITHOUT_FILES, unknown=True)

    def _function(
        self,
        authorizer: Authorizer,
        client: Literal["runner", "wheel"],
        session: Session,
        fun: str,
        args: list[Any],
        kwargs: dict[str, Any],
    ) -> Verdict:
        if session.machine and makes_tokens(fun):
            return Verdict(False, reason="A token for machines makes no tokens.")
        if session.narrowed is not None:
            parts = parts_of(session)
            return verdict.both(
                *(self._function(authorizer, client, part, fun, args, kwargs) for part in parts)
            )
        rules = self._rules(authorizer, session)
        for rule in rules:
            if authorizer.permits_function(client, [rule], fun, args, kwargs):
                reason = "A rule of the user allows it."
                return Verdict(True, rule=copy.deepcopy(rule), reason=reason)
        return Verdict(False, reason=f"No rule of the user allows this {client} function.")

    def _is_blacklisted(self, fun: str | list[str]) -> bool:
        blacklist = salt.acl.PublisherACL(self._opts.get("publisher_acl_blacklist") or {})
        return bool(blacklist.user_is_blacklisted(self._user) or blacklist.cmd_is_blacklisted(fun))
