"""The sections of the netapi modules, and what several of them have in common."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, model_validator

from saltapi.config.section import Section
from saltapi.config.values import (
    KIB,
    MIB,
    AbsolutePath,
    BodyLimit,
    EventAclOption,
    HookSecrets,
    OneOrMore,
    Port,
    Seconds,
    UrlPath,
    as_list,
    proxy,
)
from saltapi.types import Opts

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


class AccessSection(Section):
    """Base of our modules' sections: who may come from where (`engine.sessions.addresses`)."""

    authorized_ips: OneOrMore = None
    api_acl: dict[str, Any] | None = None
    trusted_proxies: Annotated[
        list[Annotated[str, AfterValidator(proxy)]], BeforeValidator(as_list)
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
    batches_at_once: int = Field(default=100, ge=0)
    audit_log: AbsolutePath = ""
    audit_required: bool = False
    audit_arguments: Literal["none", "redacted", "all"] = "redacted"
    audit_redact: list[str] = AUDIT_REDACT
    monitoring_urls: bool = False
    metrics_disable_auth: bool = False
    metrics_addresses: list[str] = []

    @classmethod
    def behind_server(cls, opts: Opts, name: str) -> Self:
        """Return the options of the section *name*, whose port may be another server's affair."""
        return cls.parse({"port": 1, **(opts.get(name) or {})})

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
    ssl_allowed_cn: OneOrMore = None
    disable_ssl: bool = False

    @property
    def allowed_common_names(self) -> list[str]:
        """The names that `ssl_allowed_cn` lists."""
        return as_list(self.ssl_allowed_cn)


class HttpSection(TlsSection):
    """Base of the sections of modules with URLs: what these have in common."""

    debug: bool = False
    log_access_file: str = ""
    log_error_file: str = ""
    webhook_disable_auth: bool = False
    max_request_body_size: BodyLimit = MIB
    collect_stats: bool = False
    stats_disable_auth: bool = False
    cors_origin: OneOrMore = None
    token_in_url: bool = True

    @property
    def cors_origins(self) -> list[str]:
        """The origins that `cors_origin` lists."""
        return as_list(self.cors_origin)


class PagesSection(HttpSection):
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


class RestCherrypyConfig(PagesSection):
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
    session_store: str | None = None
    """Salt's, for sessions of several processes; ours are the master's tokens and need none."""


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


class ProtectionSection(PagesSection):
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
    console: bool = True
    console_path: UrlPath = "/"

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
