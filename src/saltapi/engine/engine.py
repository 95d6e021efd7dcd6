"""
The engine: builds, starts and closes every service of one netapi module in one process.

Modules are handed one, with their section of the config, and construct no service themselves.
"""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Generic, TypeVar

from saltapi import trace
from saltapi.bridge.fleet.keys import KeyStore
from saltapi.bridge.oidc.verifier import SYSTEM, verifier_of
from saltapi.config import EngineConfig, ProtectionSection, ServiceSection
from saltapi.config.oidc import issuers_of
from saltapi.engine.audit.audit_log import AuditLog
from saltapi.engine.batches.batches import Batches
from saltapi.engine.commands.asynchronous import AsyncAPIClient
from saltapi.engine.events.acl import EventAcl
from saltapi.engine.events.durable import DurableCursors
from saltapi.engine.events.log.choice import event_log_for
from saltapi.engine.fleet.fleet import Fleet
from saltapi.engine.fleet.functions import Functions
from saltapi.engine.fleet.highstates import Highstates
from saltapi.engine.fleet.keys import Keys
from saltapi.engine.fleet.listing import Minions
from saltapi.engine.fleet.sight import Sights
from saltapi.engine.fleet.why import Whys
from saltapi.engine.jobs.masters.choice import masters_for
from saltapi.engine.jobs.masters.lost import LostJobs
from saltapi.engine.jobs.service import JobService
from saltapi.engine.limits.requests import Limits
from saltapi.engine.monitoring.health import Health
from saltapi.engine.monitoring.metrics import Metrics
from saltapi.engine.monitoring.shared import SharedMetrics
from saltapi.engine.operations.api import Api
from saltapi.engine.operations.event_cursors import EventCursorOperations
from saltapi.engine.operations.machine_tokens import MachineTokenOperations
from saltapi.engine.operations.replay import Replays
from saltapi.engine.operations.runs import Runs
from saltapi.engine.sessions.administrators import Administrators
from saltapi.engine.sessions.bearers import Bearers
from saltapi.engine.sessions.browser_logins import BrowserLogins
from saltapi.engine.sessions.login_proxies import LoginProxy, login_proxy_of
from saltapi.engine.sessions.machine_tokens import MachineTokens
from saltapi.engine.sessions.tickets import Tickets
from saltapi.engine.sessions.user_names import UserNames
from saltapi.engine.store.choice import (
    is_shared,
    machine_store_for,
    store_directory,
    store_for,
)
from saltapi.engine.store.idempotency import Idempotency
from saltapi.engine.store.sqlite import SqliteStore
from saltapi.engine.webhooks.secrets import HookSecrets
from saltapi.types import Jid, Opts

SectionT = TypeVar("SectionT", bound=ServiceSection)


class Engine(Generic[SectionT]):
    """
    The services of one module. Start it on the loop that serves, and close it there.

    It may be made before a fork: nothing runs, and no file is open, before `start`.
    """

    def __init__(
        self,
        opts: Opts,
        section: SectionT,
        name: str,
        *,
        watches_jobs: bool = False,
        processes: Callable[[], tuple[int, int]] = lambda: (0, 0),
    ) -> None:
        """
        Args:
            opts: The master's options; not changed.
            section: The module's options.
            name: The name of the section.
            watches_jobs: Whether jobs are to be had as resources, so that what the bus says of
                every job is kept from the start.
            processes: Says how many processes of the module have ended, and how many do not
                answer now.

        Raises:
            CannotStart: An option is wrong, or a file that one names cannot be read.
        """
        UserNames(opts).check(f"{name}.administrators", section.administrators)
        directory = Path(opts["cachedir"]) / "saltapi"
        self.opts = opts
        self.section = section
        self.name = name
        self.client = AsyncAPIClient(opts)
        self.store = store_for(opts, name)
        """What all processes of the module share, on this machine or on several."""
        # A file, wherever the rest is: what is in it opens this master's own sessions.
        self.token_store = SqliteStore(store_directory(opts) / "tokens.sqlite")
        """What all modules of this machine share: tokens of identity providers."""
        self.machine_store = machine_store_for(opts, self.token_store)
        """What all modules share, here or on all machines: tokens for machines."""
        self.machine_tokens = MachineTokens(
            opts,
            self.machine_store,
            self.client.token_store,
            cache_seconds=self.client.config.api_session_cache_seconds,
        )
        issuers = issuers_of(opts)
        self.bearers: Bearers | None = None
        self.login_proxy: LoginProxy | None = None
        """Whose names of users count, beside tokens; None for nobody's."""
        if issuers and SYSTEM in (opts.get("external_auth") or {}):
            self.login_proxy = login_proxy_of(issuers, name, section.trusted_proxies)
            self.bearers = Bearers(
                verifier_of(opts), self.client.sessions, self.token_store, self.login_proxy
            )
        if self.bearers is None:
            self.client.sessions.take([], self.machine_tokens)
        else:
            self.client.sessions.take([self.bearers], self.machine_tokens, self.bearers)
        if section.processes != 1 or is_shared(opts):
            self.client.login_throttle.share(self.store)
        self.administrators = Administrators(opts, self.client.permissions, section.administrators)
        self.event_acl = self._event_acl()
        subjects = None if self.event_acl is None else self.event_acl.subjects
        self.event_log = event_log_for(opts, self.client.hub, subjects)
        """The events of all masters, where there is a log of them."""
        self.hook_secrets = HookSecrets(
            section.webhook_secrets, once=self.store, throttle=self.client.login_throttle
        )
        self.api = Api(self.client, section, self.administrators, self.event_acl, self.hook_secrets)
        self.audit = AuditLog(section)
        self.tickets = Tickets(self.store)
        self.idempotency = Idempotency(
            self.store,
            seconds=section.idempotency_seconds,
            new_jid=self.client.jobs.new_jid,
            master_listens=self.client.channels.master_listens,
            doubt_seconds=self.client.token_store.lent_seconds,
        )
        self.metrics = Metrics(
            self.client, processes=processes, store_lost=lambda: self.idempotency.lost
        )
        self.metrics.event_log = self.event_log
        # Of this service alone: another one on the same master may have a section of this name.
        service = name if section.port is None else f"{name}-{section.port}"
        self.shared_metrics = SharedMetrics(self.metrics, directory / f"{service}.metrics")
        self.health = Health(self.client, self.idempotency)
        # A file, wherever the rest is: they belong to this master, and their tokens stay here.
        self._batch_store = SqliteStore(store_directory(opts) / "batches.sqlite")
        # So are these: they are of this master's minions.
        self._highstate_store = SqliteStore(store_directory(opts) / "highstates.sqlite")
        self.api.listening.log = self.event_log
        self.api.start_batch = lambda command: self.batches.start_async(command)
        self._started = False
        self.masters = masters_for(opts, name) if watches_jobs else None
        """The other masters, where they can be asked for their jobs."""
        if self.masters is not None:
            self.jobs.owners.master = self.masters.name
        self.metrics.masters = self.masters
        if watches_jobs:
            self.jobs.silence.started_at = self.minions.fleet.started_at
            self.shared_metrics.before = self._count_minions
            _ = self.batches, self.highstates
        self.lost_jobs: LostJobs | None = None
        """Jobs of masters that are lost, where there is a log that knows them."""
        if self.masters is not None and self.event_log is not None:
            self.lost_jobs = LostJobs(self.masters, self.event_log, self.jobs)

    @property
    def config(self) -> EngineConfig:
        """The options that all modules share."""
        return self.client.config

    @cached_property
    def browser_logins(self) -> BrowserLogins | None:
        """Logs browsers in at identity providers; None without any."""
        if self.bearers is None:
            return None
        return BrowserLogins(self.bearers, self.client.login_throttle, self.token_store)

    @cached_property
    def token_operations(self) -> MachineTokenOperations:
        """What people do with tokens for machines."""
        return MachineTokenOperations(
            self.machine_tokens,
            self.administrators,
            max_seconds=self.config.api_machine_token_max_seconds,
            lets_make=lambda session: (
                self.bearers is None or self.bearers.lets_make_tokens(session)
            ),
        )

    @cached_property
    def event_cursors(self) -> EventCursorOperations:
        """What consumers of events do with durable cursors."""
        return EventCursorOperations(
            self.client.hub,
            self.client.sessions,
            self.api.listening,
            DurableCursors(self.store),
            self.administrators,
        )

    @cached_property
    def limits(self) -> Limits:
        """The limits of a module that has the options for them."""
        assert isinstance(self.section, ProtectionSection)  # noqa: S101 - no other module asks
        return Limits(self.section)

    @cached_property
    def jobs(self) -> JobService:
        """Jobs as resources."""
        return JobService(
            self.client,
            self.store,
            jobs=self.section.job_book_jobs,
            limit_bytes=self.section.job_book_bytes,
            administrators=self.administrators,
        )

    @cached_property
    def batches(self) -> Batches:
        """Changes in stages, of all modules of the master on this machine."""
        made = Batches(
            self.jobs,
            self._batch_store,
            limit=self.section.batches_at_once,
            begin_audit=self._begin_audit,
        )
        self.metrics.batches = lambda: made.driven
        return made

    @cached_property
    def keys(self) -> Keys:
        """The minions' keys."""
        return Keys(self.client, self.api, self.key_store)

    @cached_property
    def minions(self) -> Minions:
        """The fleet as sessions see it."""
        fleet = Fleet(self.client, self.key_store, self.event_acl)
        sights = Sights(self.opts, self.client.permissions, self.administrators, self.event_acl)
        return Minions(self.client, fleet, sights)

    @cached_property
    def highstates(self) -> Highstates:
        """The last highstates of minions, kept."""
        registry, jobs = self.minions.fleet.registry, self.jobs
        return Highstates(registry, self._highstate_store, jobs.past_jobs, jobs.cache)

    @cached_property
    def whys(self) -> Whys:
        """Why minions are silent."""
        return Whys(self.client, self.minions, self.jobs)

    @cached_property
    def functions(self) -> Functions:
        """What can be run."""
        return Functions(self.client, self.minions, self.administrators)

    @cached_property
    def key_store(self) -> KeyStore:
        """Reads the keys."""
        return KeyStore(self.opts)

    @cached_property
    def runs(self) -> Runs:
        """Lowstates that are seen through, whether their client stays or not."""
        return Runs(self.api, self.jobs, self.batches)

    @cached_property
    def replays(self) -> Replays:
        """Runs with an idempotency key."""
        return Replays(self.runs, self.jobs)

    async def start(self) -> None:
        """Connect to the master; idempotent."""
        if not self._started:
            self._started = True
            self.audit.start()
            await self.client.start()
            if self.event_log is not None:
                self.event_log.start()
            if "jobs" in self.__dict__:
                self.jobs.start()
            if "highstates" in self.__dict__:
                self.highstates.start()
            if "batches" in self.__dict__ or self._batch_store.path.exists():
                self.batches.open()
            if self.masters is not None:
                self.masters.start()
            if self.section.monitoring_urls:
                await self.shared_metrics.start()

    def reload(self) -> None:
        """
        Read the files that options name again.

        Raises:
            CannotStart: One cannot be read; everything stays as it was.
        """
        self.hook_secrets.reload()

    def end_streams(self) -> None:
        """End all streams: the service stops, and is not ready for more."""
        self.health.stopping = True
        self.api.end_streams()
        if "jobs" in self.__dict__:
            self.jobs.end_streams()
        if "runs" in self.__dict__:
            self.runs.end_streams()

    async def close(self) -> None:
        """End the streams and let go of the master; idempotent."""
        self.end_streams()
        self.health.close()
        await self.shared_metrics.close()
        if self.masters is not None:
            await self.masters.close()
        for name in ("batches", "runs", "replays", "functions", "highstates", "jobs"):
            if name in self.__dict__:
                await getattr(self, name).close()
        if "minions" in self.__dict__:
            self.minions.close()
        if "key_store" in self.__dict__:
            self.key_store.close()
        if self.event_log is not None:
            await self.event_log.close()
        await self.client.close()
        if self.event_acl is not None:
            self.event_acl.close()
        if self.bearers is not None:
            await self.bearers.close()
        await self.token_store.close()
        await self.machine_store.close()
        await self.store.close()
        await self._batch_store.close()
        await self._highstate_store.close()
        await self.audit.close()

    def _begin_audit(self, jid: Jid) -> None:
        """Let this task write into the audit log what it does for a change that it took over."""
        current = trace.Trace()
        trace.current.set(current)
        self.audit.record(current, module=self.name, address="", method="", path=f"/v1/jobs/{jid}")

    async def _count_minions(self) -> None:
        self.metrics.minions = await self.minions.fleet.tally()

    def _event_acl(self) -> EventAcl | None:
        """Return who sees which events; None where everybody sees all of them, as in Salt."""
        if self.section.event_acl == "all":
            return None
        return EventAcl(
            self.opts,
            self.client.hub,
            self.client.permissions,
            self.administrators,
            option=self.section.event_acl,
        )
