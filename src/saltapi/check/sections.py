"""The sections of netapi modules: which of them would run, where, and with which files."""

import datetime
import ipaddress
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryptography import x509

from saltapi import config
from saltapi.check import running
from saltapi.check.line import Line
from saltapi.engine.sessions.user_names import UserNames
from saltapi.errors import CannotStart
from saltapi.process import daemonize, loader, tls
from saltapi.types import Opts

NETAPI_SECTIONS = {"rest_cherrypy", "rest_tornado", "rest_wsgi", "rest_asgi"}
SECTION_OPTIONS = {"api_acl", "authorized_ips"}
"""Options of any netapi section that are shown with who may log in."""

EVERY_ADDRESS = "0.0.0.0"  # noqa: S104 - it is compared, not bound
EXPIRES_SOON = datetime.timedelta(days=30)


def problems(error: config.WrongConfig) -> Iterator[Line]:
    """Return a line for each option that has a value that it cannot have."""
    for problem in error.problems:
        yield Line("error", f"{problem}", problem.path)


def modules(opts: Opts) -> Iterator[Line]:
    """Tell which modules would run, and where."""
    try:
        loaded = loader.load(opts)
    except CannotStart as error:
        yield Line("error", str(error))
        return
    for module in loaded.modules:
        yield from _module(module, opts)
    for skipped in loaded.skipped:
        level = "error" if skipped.configured else "note"
        yield Line(level, f"{skipped.name} ({skipped.source}) would not run: {skipped.reason}")
    found = {one.name for one in loaded.modules} | {one.name for one in loaded.skipped}
    for name in sorted(NETAPI_SECTIONS - found):
        if name in opts:
            yield Line("warning", f"{name} has a section, but there is no such netapi module here.")
    if not loaded.modules:
        yield Line(
            "error",
            f"No netapi module would run. Add a section to {opts['conf_file']},"
            " for example `rest_wsgi:` with `port: 8000`.",
        )


def _module(module: loader.Module, opts: Opts) -> Iterator[Line]:
    section = opts.get(module.name)
    options = dict(section) if isinstance(section, dict) else {}
    is_ours = module.reports and module.name in config.SECTIONS
    if is_ours:
        try:
            parsed = config.SECTIONS[module.name].parse(section)
            if isinstance(parsed, config.TlsSection) and not parsed.disable_ssl:
                tls.server_context(parsed, module.name)
        except CannotStart:
            return  # `sections` says what is wrong
        options = parsed.model_dump()
    host, port = options.get("host") or options.get("address"), options.get("port")
    has_tls = bool(options.get("ssl_crt") or options.get("ssl_cert"))
    has_tls = has_tls and not options.get("disable_ssl")
    if port is None:
        yield Line("ok", f"{module.name} would run ({module.source}).")
        return
    url = f"{'https' if has_tls else 'http'}://{_in_url(str(host or '*'))}:{port}"
    yield Line("ok", f"{module.name} would run at {url} ({module.source}).")
    if isinstance(port, int):
        yield from running.port(module.name, str(host or EVERY_ADDRESS), port, opts)
    if not has_tls and host is not None and not _is_loopback(str(host)):
        yield Line(
            "warning",
            f"{module.name} would send passwords and tokens over plain HTTP to other machines."
            " Use TLS, or `host: localhost` behind a proxy that does.",
        )


def sections(opts: Opts) -> Iterator[Line]:
    """Look at the sections of our own modules, whether these run or not."""
    for name, kind in config.SECTIONS.items():
        if name not in opts:
            continue
        try:
            section = kind.parse(opts[name])
        except config.WrongConfig as error:
            yield from problems(error)
        else:
            yield from _files(name, section, opts)
            if isinstance(section, config.ServiceSection):
                yield from _users(name, section, opts)
                yield from _services(name, section)
            if isinstance(section, config.HttpSection):
                yield from _hooks(name, section, opts)
        written = set(opts[name]) if isinstance(opts[name], dict) else set()
        for option in sorted(written - set(kind.option_names()) - SECTION_OPTIONS):
            like = config.nearest(option, kind.option_names())
            meant = f" Did you mean {like}?" if like else ""
            yield Line("warning", f"{name}.{option} is not an option.{meant}", (name, option))


def _files(name: str, section: config.Section, opts: Opts) -> Iterator[Line]:
    """Tell which files of a section cannot be used, by the user whom the daemon runs as."""
    if isinstance(section, config.TlsSection) and not section.disable_ssl:
        try:
            tls.server_context(section, name)
        except CannotStart as error:
            yield Line("error", str(error))
        else:
            yield from _certificate(name, section)
    user = _account(opts)
    for option in ("ssl_crt", "ssl_key", "ssl_chain", "ssl_ca_certs"):
        path = getattr(section, option, None)
        if path and user and Path(path).exists() and not _can_read(user, Path(path)):
            yield Line(
                "error",
                f"{name}: user {user.name} cannot read {option} {path}. Give it to that user:"
                f" chown {user.name} {path}",
            )
    for option, is_there in (
        ("app", Path.is_file),
        ("favicon", Path.is_file),
        ("static", Path.is_dir),
    ):
        path = getattr(section, option, None)
        if path and not is_there(Path(path)):
            kind = "directory" if option == "static" else "file"
            yield Line("warning", f"{name}.{option}: there is no {kind} {path}.")
    for option in ("log_access_file", "log_error_file", "audit_log"):
        path = getattr(section, option, None)
        if path and not Path(path).absolute().parent.is_dir():
            yield Line("error", f"{name}.{option}: there is no directory for {path}.")


def _users(name: str, section: config.ServiceSection, opts: Opts) -> Iterator[Line]:
    """Tell whose names in options could be those of several users."""
    known = UserNames(opts)
    policies = section.event_acl
    named = {
        "administrators": section.administrators,
        "event_acl": [n for n in policies if n != "*"] if isinstance(policies, dict) else [],
    }
    for option, names in named.items():
        unclear = known.unclear(names)
        if unclear:
            yield Line("error", f"{name}.{option}: {known.advice(unclear)}")


def _services(name: str, section: config.ServiceSection) -> Iterator[Line]:
    """Tell what is noted and shown of the module's work, and which options do nothing in it."""
    written = section.model_fields_set
    if section.audit_required and not section.audit_log:
        yield Line("error", f"{name}.audit_required needs an audit_log: the path of a file.")
    elif section.audit_log:
        needed = "; without a line in it nothing runs" if section.audit_required else ""
        yield Line("ok", f"{name}: the audit log is {section.audit_log}{needed}.")
    if section.monitoring_urls and section.metrics_disable_auth:
        yield Line("ok", f"{name}: everybody may read /metrics.")
    idle = dict.fromkeys(
        () if section.monitoring_urls else ("metrics_addresses", "metrics_disable_auth"),
        "without monitoring_urls",
    )
    if not isinstance(section, config.RestAsgiConfig):
        idle |= dict.fromkeys(("job_book_bytes", "job_book_jobs"), "in this module")
    if not isinstance(section, config.HttpSection):
        without = ("administrators", "event_acl", "webhook_secrets")
        idle |= dict.fromkeys(without, "in this module")
    if isinstance(section, config.RestCherrypyConfig):
        idle["session_store"] = "here: sessions are the master's tokens, good in every process"
    for option in sorted(idle.keys() & written):
        yield Line("warning", f"{name}.{option} has no effect {idle[option]}.")


def _hooks(name: str, section: config.HttpSection, opts: Opts) -> Iterator[Line]:
    """Tell which web hooks are signed, and whether others are open to everybody."""
    user = _account(opts)
    url = section.webhook_url if isinstance(section, config.PagesSection) else "/hook"
    for pattern, secrets in section.webhook_secrets.items():
        for secret in secrets:
            path = secret.secret_file
            try:
                secret.read()
            except CannotStart as error:
                yield Line("error", f"{name}.webhook_secrets: {error}")
            else:
                if path and user and not _can_read(user, Path(path)):
                    yield Line(
                        "error",
                        f"{name}.webhook_secrets: user {user.name} cannot read {path}. Give it to"
                        f" that user: chown {user.name} {path}",
                    )
        kinds = _names(sorted({secret.type for secret in secrets}))
        where = f"{url}/{pattern.strip('/')}"
        yield Line("ok", f"{name}: web hooks at {where} must be signed ({kinds}).")
    if section.webhook_disable_auth and "*" not in section.webhook_secrets:
        others = "other " if section.webhook_secrets else ""
        yield Line(
            "warning",
            f"{name}: webhook_disable_auth lets everybody fire events at all {others}paths of"
            f" {url}. Name them in webhook_secrets, or require a session.",
        )


def _certificate(name: str, section: config.TlsSection) -> Iterator[Line]:
    """Tell until when the certificate is valid."""
    pem = Path(str(section.ssl_crt)).read_bytes()
    ends = x509.load_pem_x509_certificate(pem).not_valid_after_utc
    day = f"{ends:%Y-%m-%d}"
    left = ends - datetime.datetime.now(datetime.UTC)
    if left < datetime.timedelta():
        yield Line("warning", f"{name}: the certificate {section.ssl_crt} expired on {day}.")
    elif left < EXPIRES_SOON:
        yield Line("warning", f"{name}: the certificate {section.ssl_crt} expires on {day}.")
    else:
        yield Line("ok", f"{name}: the certificate is valid until {day}.")


def _account(opts: Opts) -> daemonize.Account | None:
    """Return the user whom the daemon becomes, if that is somebody else."""
    try:
        return daemonize.account_for(opts["user"])
    except CannotStart:
        return None  # said already


def _can_read(user: daemonize.Account, path: Path) -> bool:
    """Return whether *user*, who is not root, may read *path*, by the modes on the way to it."""
    path = path.resolve()
    needed = [(path, stat.S_IROTH), *((parent, stat.S_IXOTH) for parent in path.parents)]
    groups = {user.gid, *os.getgrouplist(user.name, user.gid)}
    for place, bit in needed:
        status = place.stat()
        if status.st_uid == user.uid:
            bit <<= 6
        elif status.st_gid in groups:
            bit <<= 3
        if not status.st_mode & bit:
            return False
    return True


def limits(opts: Opts) -> Iterator[Line]:
    """Tell which modules look at the address of whoever logs in."""
    for name, section in opts.items():
        if not isinstance(section, dict) or "port" not in section:
            continue
        users = (section.get("api_acl") or {}).get("users")
        if users:
            yield Line("ok", f"{name}: api_acl limits {_names(users)} to certain addresses.")
            known = UserNames(opts)
            unclear = known.unclear(user for user in map(str, users) if user != "*")
            if unclear:
                yield Line("warning", f"{name}.api_acl: {known.advice(unclear)}")
        elif "api_acl" in section:
            yield Line("error", f"{name}.api_acl has no `users`: it limits nobody.")
        if section.get("authorized_ips"):
            yield Line("ok", f"{name}: only {_names(section['authorized_ips'])} may connect.")
        proxies = section.get("trusted_proxies")
        if proxies and "/0" in _names(proxies):
            yield Line(
                "warning",
                f"{name}.trusted_proxies names everybody, so that anybody can take any address:"
                " name the proxies alone.",
            )
        elif proxies:
            yield Line("ok", f"{name}: {_names(proxies)} may say whose a request is.")


def _names(values: Any) -> str:
    return ", ".join(map(str, values)) if isinstance(values, list | dict | tuple) else str(values)


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
