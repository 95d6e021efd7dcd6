"""
Master config in, typed sections out.

The master's config file is read as Salt reads it (includes, `master.d`, defaults); what is
ours in it is checked here. Every option of this file is described in `docs/configuration.md`.
"""

import difflib
import ipaddress
import re
import sys
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from saltapi.engine.webhooks.schemes import AnySecret
from saltapi.errors import CannotStart
from saltapi.types import Opts

KIB = 1024
MIB = 1024 * KIB

DEFAULT_CONFIG_DIR = "/etc/salt"
SUPPORTED_SALT_LINES = (3007, 3008)


def _absolute(path: str) -> str:
    if path and not Path(path).is_absolute():
        raise ValueError("must be an absolute path")
    return path


def _proxy(entry: str) -> str:
    """Return an address, a network, or `unix`; it is no place for a mistake."""
    if entry != "unix":
        ipaddress.ip_network(entry, strict=False)
    return entry


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value or []


Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0)]
SshDirectory = Annotated[str, AfterValidator(lambda path: _absolute(str(Path(path).expanduser())))]
"""A directory of keys; `~` is the home of the user of this process."""
BodyLimit = Annotated[int, Field(ge=0), AfterValidator(lambda limit: limit or sys.maxsize)]
"""How many bytes a body may have; 0 is no limit, as CherryPy has it."""
UrlPath = Annotated[str, AfterValidator(lambda path: "/" + path.strip("/"))]
"""A path in URLs: with a slash in front of it and none behind."""
AbsolutePath = Annotated[str, AfterValidator(_absolute)]
ClientNames = Annotated[
    list[str],
    BeforeValidator(lambda value: re.findall(r"\w+", value) if isinstance(value, str) else value),
]
"""A list; Salt takes a text with names in it, too."""
EventPolicy = Literal["own", "permitted", "all"] | list[str]
"""Which events a user sees: a word of `saltapi.engine.events.acl`, or globs of tags."""
ReturnerOption = str | Annotated[dict[str, list[str]], Field(min_length=1)]
"""The name of a returner, or the name with the keyword arguments that it may have."""
EventAclOption = EventPolicy | dict[str, EventPolicy]
HookSecrets = Annotated[
    list[AnySecret],
    BeforeValidator(lambda value: value if isinstance(value, list) else [value]),
    Field(min_length=1),
]
"""The secrets of one path: one, or several while they are changed."""

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


AUDIT_REDACT = [
    "*auth*",
    "*credential*",
    "*key",
    "*passphrase*",
    "*passw*",
    "*secret*",
    "*token*",
    "env",
    "pillar",
    "pwd",
    "stdin",
    "*chpass*:*",
    "*passw*:*",
    "*secret*:*",
    "shadow.*:*",
    "vault.*:*",
]
"""What the audit log hides by default: arguments by name, and all of some functions."""


NOT_NUMBERS = frozenset({"string_type", "list_type", "dict_type"})
"""What the validation library says of a number where there should be something else."""


class Section(BaseModel):
    """Base of every part of the config that is ours; unknown keys are kept for `unknown`."""

    model_config = ConfigDict(extra="allow", frozen=True)

    title: ClassVar[str] = ""
    """Where the options stand, for messages: the name of a section, or "" for the top level."""

    @model_validator(mode="before")
    @classmethod
    def _null_is_default(cls, values: dict[str, Any]) -> dict[str, Any]:
        """An option without a value (`debug:`) is as good as none, as in Salt's modules."""
        return {name: value for name, value in values.items() if value is not None}

    @field_validator("*", mode="wrap")
    @classmethod
    def _empty_is_default(
        cls, value: Any, validate: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> Any:
        """Take what Salt's modules take for "not set", and every number as yes or no."""
        field = cls.model_fields[str(info.field_name)]
        if field.annotation is bool and isinstance(value, int | float):
            return bool(value)
        try:
            return validate(value)
        except ValidationError as error:
            kinds = {found["type"] for found in error.errors()}
            is_empty = value in ("", [], {}) or (value == 0 and not kinds.isdisjoint(NOT_NUMBERS))
            if is_empty and not field.is_required():
                return field.get_default(call_default_factory=True)
            raise

    @classmethod
    def parse(cls, values: Any) -> Self:
        """
        Return the section made of *values*.

        Raises:
            CannotStart: An option has a value that it cannot have; the text names each of them.
        """
        if not isinstance(values, dict):
            raise CannotStart(f"{cls.title} must be a mapping of options, not {values!r}.")
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            prefix = f"{cls.title}." if cls.title else ""
            problems = "; ".join(
                f"{prefix}{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()
            )
            raise CannotStart(f"The master config is wrong: {problems}.") from error

    def unknown(self) -> dict[str, str | None]:
        """Return the options that do not exist, each with the nearest name that does."""
        return {name: nearest(name, self.option_names()) for name in self.model_extra or {}}

    @classmethod
    def option_names(cls) -> list[str]:
        """Return the names of all options, as they are written in the config."""
        names: list[str] = []
        for name, field in cls.model_fields.items():
            choices = field.validation_alias
            names += map(str, choices.choices) if isinstance(choices, AliasChoices) else [name]
        return names


class EngineConfig(Section):
    """Options of the engine: top-level options of the master config, shared by all modules."""

    netapi_enable_clients: ClientNames = []
    netapi_allow_raw_shell: bool = False
    netapi_returners: list[ReturnerOption] = []
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
    api_login_failures: int = Field(default=20, ge=0)
    api_unfinished_bytes: int = Field(default=64 * MIB, ge=64 * KIB)
    api_unfinished_bytes_per_address: int = Field(default=8 * MIB, ge=64 * KIB)
    api_connections_per_address: int = Field(default=200, ge=0)
    api_min_body_rate_bytes: int = Field(default=500, ge=0)
    api_stranger_body_bytes: int = Field(default=64 * KIB, ge=1)
    api_shutdown_timeout: Seconds = 20
    api_heartbeat_seconds: float = Field(default=30, ge=0)
    api_log_format: Literal["text", "json"] = "text"

    @classmethod
    def of(cls, opts: Opts) -> Self:
        """Return the engine's options from the master's *opts*."""
        return cls.parse({name: opts[name] for name in cls.option_names() if name in opts})


class AccessSection(Section):
    """Base of our modules' sections: who may come from where (`saltapi.access`)."""

    authorized_ips: list[str] | str | None = None
    api_acl: dict[str, Any] | None = None
    trusted_proxies: Annotated[
        list[Annotated[str, AfterValidator(_proxy)]], BeforeValidator(_listed)
    ] = []


class ServiceSection(AccessSection):
    """Base of our modules' sections: what the engine does for each of them."""

    port: Port | None = None
    administrators: list[str] = []
    event_acl: EventAclOption = "all"
    webhook_secrets: dict[str, HookSecrets] = {}
    idempotency_seconds: Seconds = 86_400
    job_book_jobs: int = Field(default=2000, ge=1)
    job_book_bytes: int = Field(default=64 * MIB, ge=1 * MIB)
    audit_log: AbsolutePath = ""
    audit_required: bool = False
    audit_arguments: Literal["none", "redacted", "all"] = "redacted"
    audit_redact: list[str] = AUDIT_REDACT
    monitoring_urls: bool = False
    metrics_disable_auth: bool = False
    metrics_addresses: list[str] = []

    @property
    def processes(self) -> int:
        """How many processes serve the module; 0 for one on each core."""
        return 1


class RestWsgiConfig(ServiceSection):
    """Options of `rest_wsgi` (0.8.4, "rest_wsgi")."""

    title = "rest_wsgi"

    port: Port
    host: str = "localhost"
    threads: int = Field(default=50, ge=1, le=1000)
    socket_queue_size: int = Field(default=30, ge=1)
    max_request_body_size: BodyLimit = MIB


class TlsSection(ServiceSection):
    """Base of the sections of modules that speak TLS themselves (`saltapi.process.tls`)."""

    ssl_crt: str | None = Field(default=None, validation_alias=AliasChoices("ssl_crt", "ssl_cert"))
    ssl_key: str | None = None
    ssl_chain: str | None = None
    ssl_ca_certs: str | None = None
    ssl_cert_reqs: Literal["CERT_NONE", "CERT_OPTIONAL", "CERT_REQUIRED"] = "CERT_NONE"
    ssl_allowed_cn: list[str] | str | None = None
    disable_ssl: bool = False

    @property
    def allowed_common_names(self) -> list[str]:
        """The names that `ssl_allowed_cn` lists."""
        return _as_list(self.ssl_allowed_cn)


class HttpSection(TlsSection):
    """Base of the sections of modules with URLs: what these have in common."""

    debug: bool = False
    log_access_file: str = ""
    log_error_file: str = ""
    webhook_disable_auth: bool = False
    max_request_body_size: BodyLimit = MIB
    collect_stats: bool = False
    stats_disable_auth: bool = False
    cors_origin: list[str] | str | None = None
    token_in_url: bool = True

    @property
    def cors_origins(self) -> list[str]:
        """The origins that `cors_origin` lists."""
        return _as_list(self.cors_origin)


class SiteSection(HttpSection):
    """Base of the sections of modules that also serve files and pages."""

    host: str = "0.0.0.0"  # noqa: S104 - what 0.8.4 documents
    webhook_url: UrlPath = "/hook"
    static: AbsolutePath | None = None
    static_path: UrlPath = "/static"
    app: AbsolutePath | None = None
    app_path: UrlPath = "/app"
    root_prefix: UrlPath = "/"
    enable_sessions: bool = True
    favicon: AbsolutePath | None = None


class RestCherrypyConfig(SiteSection):
    """Options of `rest_cherrypy` (0.8.4, "rest_cherrypy", and Salt's own module)."""

    title = "rest_cherrypy"

    port: Port
    thread_pool: Annotated[int, BeforeValidator(lambda value: value or 100)] = Field(
        default=100, ge=1, le=1000
    )
    socket_queue_size: int = Field(
        default=30, validation_alias=AliasChoices("socket_queue_size", "queue_size")
    )
    expire_responses: bool = True


class RestTornadoConfig(HttpSection):
    """Options of `rest_tornado` (0.8.4, "rest_tornado", and Salt's own module)."""

    title = "rest_tornado"

    port: Port
    address: str | None = Field(default=None, validation_alias=AliasChoices("address", "host"))
    backlog: int = 128
    websockets: bool = False
    num_processes: int = Field(default=1, le=256)

    @property
    def processes(self) -> int:
        """How many processes serve the module; 0 for one on each core."""
        return self.num_processes

    @model_validator(mode="before")
    @classmethod
    def _find_key(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Without `ssl_key` the key is in the certificate's file (0.8.4, "rest_tornado")."""
        certificate = values.get("ssl_crt") or values.get("ssl_cert")
        return {**values, "ssl_key": values.get("ssl_key") or certificate}


class ProtectionSection(SiteSection):
    """Base of the sections of modules that limit users; 0 is no limit."""

    user_requests_per_minute: int = Field(default=0, ge=0)
    address_requests_per_minute: int = Field(default=60_000, ge=0)
    logins_at_once: int = Field(default=4, ge=0)
    user_logins_at_once: int = Field(default=3, ge=0)
    commands_at_once: int = Field(default=5000, ge=0)
    user_commands_at_once: int = Field(default=4000, ge=0)
    reads_at_once: int = Field(default=1000, ge=0)
    user_reads_at_once: int = Field(default=500, ge=0)
    streams_at_once: int = Field(default=20_000, ge=0)
    user_streams_at_once: int = Field(default=10_000, ge=0)
    queue_requests: int = Field(default=4000, ge=0)
    user_queue_requests: int = Field(default=2000, ge=0)
    queue_seconds: Seconds = 30


class RestAsgiConfig(ProtectionSection):
    """Options of `rest_asgi`; those that rest_cherrypy has too mean the same."""

    title = "rest_asgi"

    port: Port | None = None
    socket: AbsolutePath | None = None
    systemd_socket: str | None = None
    workers: int = Field(default=1, ge=0, le=256)
    socket_queue_size: int = Field(
        default=1024, ge=1, validation_alias=AliasChoices("socket_queue_size", "queue_size")
    )
    max_request_head_size: int = Field(default=64 * KIB, ge=1 * KIB)
    server_header: bool = True
    event_acl: EventAclOption = "permitted"
    monitoring_urls: bool = True

    @property
    def processes(self) -> int:
        """How many processes serve the module; 0 for one on each core."""
        return self.workers


SECTIONS: dict[str, type[Section]] = {
    "rest_wsgi": RestWsgiConfig,
    "rest_cherrypy": RestCherrypyConfig,
    "rest_tornado": RestTornadoConfig,
    "rest_asgi": RestAsgiConfig,
}
"""Our netapi modules by the name of their section."""


def _as_list(value: list[str] | str | None) -> list[str]:
    return [value] if isinstance(value, str) else value or []


def nearest(name: str, names: list[str]) -> str | None:
    """Return the one of *names* that somebody who wrote *name* most likely meant, or None."""
    return next(iter(difflib.get_close_matches(name, names, n=1, cutoff=0.6)), None)


def require_supported_salt() -> str:
    """
    Return the version of the installed Salt.

    Raises:
        CannotStart: There is none, or it is of a line that is not supported.
    """
    lines = " and ".join(map(str, SUPPORTED_SALT_LINES))
    try:
        from salt.version import __saltstack_version__ as version
    except ImportError as error:
        raise CannotStart(f"Salt is not installed; saltapi needs Salt {lines}.") from error
    if version.major not in SUPPORTED_SALT_LINES:
        raise CannotStart(f"saltapi supports Salt {lines}; installed is {version}.")
    return str(version)


def load(config_dir: str | Path = DEFAULT_CONFIG_DIR) -> Opts:
    """
    Return the master's options as Salt's own `salt-api` loads them.

    Args:
        config_dir: The directory that holds the file `master`, or that file itself.

    Raises:
        CannotStart: The file is missing, unreadable or no valid master config, or the
            installed Salt is not supported.
    """
    require_supported_salt()
    import salt.config
    import salt.exceptions

    path = Path(config_dir)
    if path.is_dir():
        path = path / "master"
    try:
        path.open("rb").close()
    except OSError as error:
        raise CannotStart(
            f"The master config {path} cannot be read: {error.strerror}."
            " Name its directory with -c."
        ) from error
    try:
        opts = salt.config.api_config(str(path))
    except salt.exceptions.SaltConfigurationError as error:
        raise CannotStart(f"The master config {path} is wrong: {error}") from error
    except SystemExit as error:  # Salt's way of saying that a file is no valid YAML
        raise CannotStart(f"The master config {path} is no valid YAML.") from error
    except UnicodeDecodeError as error:
        raise CannotStart(f"The master config {path}, or an include, is not UTF-8.") from error
    return dict(opts)
