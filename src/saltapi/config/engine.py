"""The options of the engine."""

from typing import Literal, Self

from pydantic import Field

from saltapi.config.section import Section
from saltapi.config.values import (
    KIB,
    MIB,
    AbsolutePath,
    ClientNames,
    ReturnersOption,
    Seconds,
    SshDirectory,
)
from saltapi.types import Opts

FAST_FUNCTIONS = [
    "cache.cloud",
    "cache.fetch",
    "cache.grains",
    "cache.list",
    "cache.mine",
    "cache.pillar",
    "config.values",
    "jobs.active",
    "jobs.exit_success",
    "jobs.get_jid",
    "jobs.last_run",
    "jobs.list_job",
    "jobs.list_jobs",
    "jobs.list_jobs_filter",
    "jobs.lookup_jid",
    "jobs.print_job",
    "key.finger",
    "key.finger_master",
    "key.list",
    "key.list_all",
    "key.name_match",
    "manage.alived",
    "manage.allowed",
    "manage.not_alived",
    "manage.present",
    "minions.connected",
    "test.arg",
]
"""Functions that are quick and read only: they answer from a warm worker by default."""


class EngineConfig(Section):
    """Options of the engine: top-level options of the master config, shared by all modules."""

    netapi_enable_clients: ClientNames = []
    netapi_allow_raw_shell: bool = False
    netapi_returners: ReturnersOption = []
    netapi_ssh_keys: list[SshDirectory] = []
    rest_timeout: Seconds = 300
    function_workers: int = Field(default=4, ge=0, le=64)
    function_timeout: Seconds = 60
    function_worker_memory_mib: int = Field(default=1024, ge=128)
    fast_functions: list[str] = FAST_FUNCTIONS
    api_master_channels: int = Field(default=16, ge=1, le=256)
    api_master_queue_requests: int = Field(default=2000, ge=1)
    api_listener_queue_bytes: int = Field(default=8 * MIB, ge=64 * KIB)
    api_event_history_bytes: int = Field(default=16 * MIB, ge=0)
    api_session_cache_seconds: float = Field(default=1.0, ge=0, le=60)
    api_machine_token_max_seconds: Seconds = 7_776_000
    api_login_failures: int = Field(default=20, ge=0)
    api_unfinished_bytes: int = Field(default=64 * MIB, ge=64 * KIB)
    api_unfinished_bytes_per_address: int = Field(default=8 * MIB, ge=64 * KIB)
    api_connections_per_address: int = Field(default=10_000, ge=0)
    api_min_body_rate_bytes: int = Field(default=500, ge=0)
    api_stranger_body_bytes: int = Field(default=64 * KIB, ge=1)
    api_shutdown_timeout: Seconds = 20
    api_heartbeat_seconds: float = Field(default=30, ge=0)
    api_log_format: Literal["text", "json"] = "text"
    store_directory: AbsolutePath = ""

    @classmethod
    def of(cls, opts: Opts) -> Self:
        """Return the engine's options from the master's *opts*."""
        return cls.parse({name: opts[name] for name in cls.option_names() if name in opts})
