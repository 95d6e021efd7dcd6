"""What all requests of one application share: the engine, the options, the services."""

from saltapi.config import EngineConfig, RestAsgiConfig
from saltapi.engine.audit.audit_log import AuditLog
from saltapi.engine.commands.asynchronous import AsyncAPIClient
from saltapi.engine.events.acl import EventAcl
from saltapi.engine.jobs.service import JobService
from saltapi.engine.limits.requests import Limits
from saltapi.engine.monitoring.health import Health
from saltapi.engine.monitoring.metrics import Metrics
from saltapi.engine.monitoring.shared import SharedMetrics
from saltapi.engine.operations.replay import Replays
from saltapi.engine.operations.runs import Runs
from saltapi.engine.services import Services
from saltapi.engine.sessions.tickets import Tickets
from saltapi.engine.store.idempotency import Idempotency
from saltapi.process import lifecycle
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
        self.opts = opts
        self.section = section
        self.name = name
        self.client = AsyncAPIClient(opts)
        self.services = Services(opts, section, name)
        self.administrators = self.services.administrators(self.client)
        self.event_acl = EventAcl(
            opts,
            self.client.hub,
            self.client.permissions,
            self.administrators,
            option=section.event_acl,
        )
        self.api = self.services.bind(self.client, self.administrators, self.event_acl)
        self.audit = AuditLog(section)
        self.limits = Limits(section)
        self.store = self.services.store
        self.tickets = Tickets(self.store)
        self.jobs = JobService(
            self.client,
            self.store,
            jobs=section.job_book_jobs,
            limit_bytes=section.job_book_bytes,
            administrators=self.administrators,
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
        self.metrics = Metrics(self.client, processes=lifecycle.processes)
        # Of this service alone: another one on the same master may have a section of this name.
        service = name if section.port is None else f"{name}-{section.port}"
        self.shared_metrics = SharedMetrics(
            self.metrics, self.store.path.with_name(f"{service}.metrics")
        )
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
        await self.services.close()
        await self.audit.close()
