"""
TLS for modules that bind a port: from the options of a section to a context of Python's `ssl`.

TLS 1.2 is the oldest version that is spoken. Client certificates are asked for with the options
that Salt's main branch has: `ssl_ca_certs`, `ssl_cert_reqs`, `ssl_allowed_cn`.
"""

import re
import ssl
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from saltapi.config import TlsSection
from saltapi.errors import CannotStart, CertificateRefused

CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)

WITHOUT_TLS = (
    "{name} needs a certificate: set ssl_crt and ssl_key (`saltapi make-cert` makes a"
    " self-signed pair), or set disable_ssl: True to send credentials in the clear."
)


def context_of(section: TlsSection, name: str) -> ssl.SSLContext | None:
    """Same as `server_context`; None with `disable_ssl`."""
    return None if section.disable_ssl else server_context(section, name)


def server_context(section: TlsSection, name: str) -> ssl.SSLContext:
    """
    Return the context for connections that are accepted, with the files as they are now.

    Args:
        section: The module's options.
        name: The name of the section, for messages.

    Raises:
        CannotStart: An option is missing or contradicts another one, or a file cannot be used.
    """
    if not section.ssl_crt or not section.ssl_key:
        raise CannotStart(WITHOUT_TLS.format(name=name))
    _check_client_options(section, name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    load_pair(context, section, name)
    if section.ssl_ca_certs:
        try:
            context.load_verify_locations(section.ssl_ca_certs)
        except OSError as error:  # ssl.SSLError is one
            raise CannotStart(
                f"{name} cannot read ssl_ca_certs {section.ssl_ca_certs}:"
                f" {error.strerror or error}."
            ) from error
    context.verify_mode = getattr(ssl, section.ssl_cert_reqs)
    return context


def load_pair(context: ssl.SSLContext, section: TlsSection, name: str) -> None:
    """
    Let *context* have certificate and key of *section*, as the files are now.

    Raises:
        CannotStart: A file cannot be used.
    """
    try:
        _load_files(context, section.ssl_crt or "", section.ssl_key or "", section.ssl_chain)
    except (ssl.SSLError, ValueError) as error:
        raise CannotStart(
            f"{name} cannot use ssl_crt {section.ssl_crt} with ssl_key {section.ssl_key}: {error}"
        ) from error
    except OSError as error:
        raise CannotStart(f"{name} cannot read {error.filename}: {error.strerror}.") from error


def common_name(certificate: Mapping[str, Any] | None) -> str | None:
    """Return the common name in a client's certificate (`getpeercert`), if it has sent one."""
    for part in (certificate or {}).get("subject", ()):
        for name, value in part:
            if name == "commonName":
                return str(value)
    return None


def check_common_name(section: TlsSection, environ: Mapping[str, Any]) -> None:
    """
    Return if the client's certificate is one that `ssl_allowed_cn` lists, or it lists none.

    Args:
        section: The module's options.
        environ: The WSGI environ, with the names of Apache's mod_ssl.

    Raises:
        CertificateRefused: It has another common name, or there is none.
    """
    allowed = section.allowed_common_names
    if allowed and environ.get("SSL_CLIENT_S_DN_CN") not in allowed:
        raise CertificateRefused("Your client certificate is not one that may be used here.")


def _check_client_options(section: TlsSection, name: str) -> None:
    asks = section.ssl_cert_reqs != "CERT_NONE"
    if asks and not section.ssl_ca_certs:
        raise CannotStart(
            f"{name}.ssl_cert_reqs is {section.ssl_cert_reqs}: set ssl_ca_certs to the"
            " file with the certificates of those who sign your clients' certificates."
        )
    if section.allowed_common_names and not asks:
        raise CannotStart(
            f"{name}.ssl_allowed_cn lets nobody in as long as no certificate is asked"
            " for: set ssl_cert_reqs: CERT_REQUIRED."
        )


def _load_files(context: ssl.SSLContext, crt: str, key: str, chain: str | None) -> None:
    """Load certificate and key; Python takes the chain only from the certificate's file."""
    open(key, "rb").close()  # so that an error names the file
    certificates = Path(crt).read_bytes()
    if not chain:
        context.load_cert_chain(crt, key, password=_refuse_password)
        return
    certificates += b"\n" + Path(chain).read_bytes()
    with tempfile.NamedTemporaryFile(prefix="saltapi-", suffix=".crt") as joined:
        joined.write(b"\n".join(CERTIFICATE.findall(certificates)) + b"\n")
        joined.flush()
        context.load_cert_chain(joined.name, key, password=_refuse_password)


def _refuse_password() -> NoReturn:
    """Python would ask for it at the terminal."""
    raise ValueError("The key has a passphrase, and nobody is there to type it in.")
