"""
Master config in, typed sections out.

The master's config file is read as Salt reads it (includes, `master.d`, defaults); what is
ours in it is checked here. Every option of this folder is described in `docs/configuration.md`.
"""

from saltapi.config.engine import FAST_FUNCTIONS, EngineConfig
from saltapi.config.files import ConfigFiles
from saltapi.config.modules import (
    AUDIT_REDACT,
    SECTIONS,
    AccessSection,
    HttpSection,
    PagesSection,
    ProtectionSection,
    RestAsgiConfig,
    RestCherrypyConfig,
    RestTornadoConfig,
    RestWsgiConfig,
    ServiceSection,
    TlsSection,
)
from saltapi.config.reading import (
    DEFAULT_CONFIG_DIR,
    SUPPORTED_SALT_LINES,
    load,
    require_supported_salt,
)
from saltapi.config.section import Section, nearest
from saltapi.config.values import KIB, MIB, EventAclOption, EventPolicy, ReturnerOption
from saltapi.config.wording import Problem, WrongConfig, dotted

__all__ = [
    "AUDIT_REDACT",
    "DEFAULT_CONFIG_DIR",
    "FAST_FUNCTIONS",
    "KIB",
    "MIB",
    "SECTIONS",
    "SUPPORTED_SALT_LINES",
    "AccessSection",
    "ConfigFiles",
    "EngineConfig",
    "EventAclOption",
    "EventPolicy",
    "HttpSection",
    "PagesSection",
    "Problem",
    "ProtectionSection",
    "RestAsgiConfig",
    "RestCherrypyConfig",
    "RestTornadoConfig",
    "RestWsgiConfig",
    "ReturnerOption",
    "Section",
    "ServiceSection",
    "TlsSection",
    "WrongConfig",
    "dotted",
    "load",
    "nearest",
    "require_supported_salt",
]
