"""What all requests of one application share: the engine, the options, the services."""

from pathlib import Path

from saltapi.config import EngineConfig, RestAsgiConfig
from saltapi.engine.audit.audit_log import AuditLog
from saltapi.engine.commands.asynchronous import AsyncAPIClient
from saltapi.engine.events.acl import EventAcl
from saltapi.engine.jobs.service import JobService
from saltapi.engine.limits.requests import Limits
from saltapi.engine.monitoring.health import Health
from saltapi.engine.monitoring.metrics import Metrics
from saltapi.engine.monitoring.shared import SharedMetrics
from saltapi.engine.operations.api import Api
from saltapi.engine.operations.replay import Replays
from saltapi.engine.operations.runs import Runs
from saltapi.engine.sessions.tickets import Tickets
from saltapi.engine.store.idempotency import Idempotency
from saltapi.engine.store.sqlite import Store
from saltapi.engine.webhooks.secrets import HookSecrets
from saltapi.types import Opts


class Door:
    """The module of one master config. Start it on the loop that serves, and close it there."""

    def __init__(self, opts: Opts, section: RestAsgiConfig, name: str) -> None:
        """
        Args:
            opts: The master's options; not changed.
            section: The module's options.
            name: The name of the section.
        """
        directory = Path(opts["cachedir"]) / "saltapi"
        self.opts = opts
        self.section = section
        self.name = name
        self.client = AsyncAPIClient(opts)
        self.event_acl = EventAcl(
            opts,
            self.client.hub,
            self.client.permissions,
            option=section.event_acl,
            administrators=section.administrators,
        )
        self.api = Api(self.client, section, self.event_acl)
        self.audit = AuditLog(section)
        self.limits = Limits(section)
        self.store = Store(directory / f"{name}.sqlite")
        self.tickets = Tickets(self.store)
        self.jobs = JobService(
            self.client,
            self.store,
            jobs=section.job_book_jobs,
            limit_bytes=section.job_book_bytes,
            administrators=section.administrators,
        )
        self.runs = Runs(self.api, self.jobs)
        self.replays = Replays(self.runs, self.jobs)
        if section.workers != 1:
            self.client.login_throttle.share(self.store)
        self.idempotency = Idempotency(
            self.store,
            seconds=section.idempotency_seconds,
            new_jid=self.client.jobs.new_jid,
            master_listens=self.client.channels.master_listens,
        )
        self.hook_secrets = HookSecrets(
            section.webhook_secrets, once=self.store, throttle=self.client.login_throttle
        )
        self.metrics = Metrics(self.client)
        # Of this service alone: another one on the same master may have a section of this name.
        service = name if section.port is None else f"{name}-{section.port}"
        self.shared_metrics = SharedMetrics(self.metrics, directory / f"{service}.metrics")
        self.health = Health(self.client)
        self._started = False

    @property
    def engine(self) -> EngineConfig:
        """The engine's options."""
        return self.client.config

    async def start(self) -> None:
        """Connect to the master; idempotent."""
        if not self._started:
            self._started = True
            self.audit.start()
            await self.client.start()
            await self.shared_metrics.start()

    def end_streams(self) -> None:
        """End all streams: the service stops, and is not ready for more."""
        self.health.stopping = True
        self.api.end_streams()
        self.jobs.end_streams()
        self.runs.end_streams()

    async def close(self) -> None:
        """End the streams and let go of the master; idempotent."""
        self.end_streams()
        self.health.close()
        await self.shared_metrics.close()
        await self.runs.close()
        await self.replays.close()
        await self.jobs.close()
        await self.client.close()
        self.event_acl.close()
        await self.store.close()
        await self.audit.close()
