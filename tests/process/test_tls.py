"""TLS: from the options of a section to a context."""

import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from saltapi.config import RestCherrypyConfig
from saltapi.errors import CannotStart, CertificateRefused
from saltapi.process import tls

NAME = "rest_cherrypy"


class Files:
    """A certificate of an authority of our own, as files."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        authority = trustme.CA()
        self.ca = directory / "ca.pem"
        authority.cert_pem.write_to_path(self.ca)
        made = authority.issue_cert("localhost")
        self.crt, self.key = directory / "server.crt", directory / "server.key"
        made.cert_chain_pems[0].write_to_path(self.crt)
        made.private_key_pem.write_to_path(self.key)

    def section(self, **options: Any) -> RestCherrypyConfig:
        """Return a section with these files, and *options*."""
        given = {"port": 1, "ssl_crt": str(self.crt), "ssl_key": str(self.key), **options}
        return RestCherrypyConfig.parse({k: v for k, v in given.items() if v is not None})


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def problem(section: RestCherrypyConfig) -> str:
    """Return why *section* cannot be used."""
    with pytest.raises(CannotStart) as refused:
        tls.server_context(section, NAME)
    return str(refused.value)


def test_versions(files: Files) -> None:
    """TLS 1.2 is the oldest version that is spoken, and no certificate is asked for."""
    context = tls.server_context(files.section(), NAME)

    assert ssl.TLSVersion.TLSv1_2 == context.minimum_version
    assert ssl.CERT_NONE == context.verify_mode


@pytest.mark.parametrize("missing", [["ssl_crt"], ["ssl_key"], ["ssl_crt", "ssl_key"]])
def test_missing_certificate(files: Files, missing: list[str]) -> None:
    """Without a certificate both ways out are named."""
    said = problem(files.section(**dict.fromkeys(missing)))

    assert "set ssl_crt and ssl_key (`saltapi make-cert` makes a self-signed pair)" in said
    assert "or set disable_ssl: True" in said


@pytest.mark.parametrize("option", ["ssl_crt", "ssl_key", "ssl_chain"])
def test_missing_file(files: Files, option: str) -> None:
    """A file that is not there is named with the reason."""
    path = str(files.directory / "none")

    assert f"rest_cherrypy cannot read {path}: No such file or directory." == problem(
        files.section(**{option: path})
    )


def test_unusable_files(files: Files) -> None:
    """Files that do not belong together, or hold something else, are named."""
    other = trustme.CA().issue_cert("localhost")
    other.private_key_pem.write_to_path(files.directory / "other.key")
    mixed = files.section(ssl_key=str(files.directory / "other.key"))
    (files.directory / "text").write_text("hello")
    text = files.section(ssl_crt=str(files.directory / "text"))

    assert "rest_cherrypy cannot use ssl_crt" in problem(mixed)
    assert "rest_cherrypy cannot use ssl_crt" in problem(text)
    no_authority = files.section(ssl_ca_certs=str(files.directory / "text"))
    assert "rest_cherrypy cannot read ssl_ca_certs" in problem(no_authority)


def test_key_with_passphrase(files: Files) -> None:
    """A key with a passphrase is refused in words; nobody is asked at the terminal."""
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )

    assert "The key has a passphrase" in problem(files.section())


def test_contradicting_options(files: Files) -> None:
    """Client certificates need authorities; a list of names needs certificates."""
    assert "set ssl_ca_certs" in problem(files.section(ssl_cert_reqs="CERT_REQUIRED"))
    ca = str(files.ca)
    assert "set ssl_cert_reqs: CERT_REQUIRED" in problem(
        files.section(ssl_allowed_cn="alice", ssl_ca_certs=ca)
    )
    both = files.section(ssl_allowed_cn="alice", ssl_ca_certs=ca, ssl_cert_reqs="CERT_OPTIONAL")
    assert ssl.CERT_OPTIONAL == tls.server_context(both, NAME).verify_mode


def test_second_name_of_the_certificate(files: Files) -> None:
    """`ssl_cert`, as the 0.8.4 documentation has it, is `ssl_crt`."""
    tls.server_context(files.section(ssl_crt=None, ssl_cert=str(files.crt)), NAME)


@pytest.mark.parametrize(
    ("allowed", "shown", "let_in"),
    [
        (None, None, True),
        ([], "mallory", True),
        ("alice", "alice", True),
        (["bob", "alice"], "alice", True),
        ("alice", "Alice", False),
        ("alice", "alice,mallory", False),
        ("alice", "", False),
        ("alice", None, False),
    ],
)
def test_common_names(allowed: Any, shown: str | None, let_in: bool) -> None:
    """Only the listed common names are let in, whole and exact; everybody without a list."""
    section = RestCherrypyConfig.parse({"port": 1, "ssl_allowed_cn": allowed})
    environ = {} if shown is None else {"SSL_CLIENT_S_DN_CN": shown}
    if let_in:
        tls.check_common_name(section, environ)
    else:
        with pytest.raises(CertificateRefused):
            tls.check_common_name(section, environ)
