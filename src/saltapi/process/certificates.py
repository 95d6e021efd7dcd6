"""
`saltapi make-cert`: a self-signed certificate and its key, for a start with TLS.

The key is on the curve P-256. Clients that should trust the certificate get a copy of it
(`curl --cacert`, `verify=` in Python).
"""

import argparse
import datetime
import ipaddress
import os
import socket
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from saltapi import config
from saltapi.errors import CannotStart
from saltapi.process import daemonize

DEFAULT_NAME = "saltapi"
DEFAULT_DAYS = 825
LAST_DAYS = 36_500
SUBDIRECTORY = Path("pki", "api")
"""Where the files go, below the directory of the master config."""
KEY_MODE = 0o600
CERTIFICATE_MODE = 0o644
DIRECTORY_MODE = 0o755
COMMON_NAME_LIMIT = 64
BACKDATED = datetime.timedelta(hours=1)
"""For clients whose clock is behind."""

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, as PEM."""

    certificate: bytes
    key: bytes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `saltapi make-cert` to *parser*."""
    add = parser.add_argument
    add("--dir", type=Path, metavar="DIR", help="where to (default: pki/api in the config's)")
    add("--name", default=DEFAULT_NAME, help="of the files, without .crt and .key (saltapi)")
    add("--days", type=int, default=DEFAULT_DAYS, help=f"how long it is valid ({DEFAULT_DAYS})")
    add(
        "--host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name or an address that clients use; may be repeated. This machine's names and"
        " addresses, and localhost, are always in",
    )
    add("--force", action="store_true", help="replace files that exist")


def run(args: argparse.Namespace) -> int:
    """
    Make the files and print the lines that the config needs; return 0.

    Raises:
        CannotStart: An argument makes no sense, a file exists, or cannot be written.
    """
    if not args.name or "/" in args.name or args.name.startswith("."):
        raise CannotStart(f"--name {args.name!r} is no name of a file.")
    if not 1 <= args.days <= LAST_DAYS:
        raise CannotStart(f"--days must be 1 to {LAST_DAYS}.")
    config_dir = Path(args.config_dir).absolute()
    directory = args.dir.absolute() if args.dir else config_dir / SUBDIRECTORY
    crt, key = directory / f"{args.name}.crt", directory / f"{args.name}.key"
    if not args.force:
        for path in (crt, key):
            if path.exists():
                raise CannotStart(f"{path} exists; --force replaces it, --name makes another one.")
    names = list(dict.fromkeys([*args.host, *own_names(), *LOCAL_NAMES]))
    pair = make_pair(names, days=args.days)
    owner = _owner(config_dir)
    try:
        directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        _write(key, pair.key, KEY_MODE, owner)
        _write(crt, pair.certificate, CERTIFICATE_MODE, owner)
    except OSError as error:
        raise CannotStart(f"{error.filename} cannot be written: {error.strerror}.") from error
    sys.stdout.write(
        f"A self-signed certificate for {', '.join(names)}.\n"
        "Add these lines to the section of the netapi module in the master config:\n"
        f"\n  ssl_crt: {crt}\n  ssl_key: {key}\n"
    )
    return 0


def own_names() -> list[str]:
    """Return this machine's name and its addresses, as far as it knows them itself."""
    name = socket.gethostname()
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError:
        found = []
    addresses = [str(address[0]).partition("%")[0] for *_, address in found]
    return list(dict.fromkeys([name, socket.getfqdn(), *addresses]))


def make_pair(names: Iterable[str], *, days: int) -> Pair:
    """
    Return a new key and a certificate that it has signed itself.

    Args:
        names: Host names and addresses; the first one is the common name.
        days: How long the certificate is valid.

    Raises:
        CannotStart: A name can be neither a host's name nor an address.
    """
    subjects = [_general_name(name) for name in names]
    common_name = str(subjects[0].value)[:COMMON_NAME_LIMIT]
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    own_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    usage = {name: name == "digital_signature" for name in _KEY_USAGES}
    certificate = (
        x509.CertificateBuilder()
        .subject_name(issuer)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(subjects), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(own_id, critical=False)
        .sign(key, hashes.SHA256())
    )
    return Pair(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


_KEY_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        ascii_name = name.encode("idna").decode("ascii")
    except UnicodeError:
        ascii_name = ""
    if not ascii_name:
        raise CannotStart(f"{name!r} is neither a name of a host nor an address.")
    return x509.DNSName(ascii_name)


def _owner(config_dir: Path) -> daemonize.Account | None:
    """Return the user whom the daemon runs as, where that is not us and can be known."""
    if os.geteuid() != 0 or not (config_dir / "master").exists():
        return None
    return daemonize.account_for(config.load(config_dir)["user"])


def _write(path: Path, data: bytes, mode: int, owner: daemonize.Account | None) -> None:
    """Write a file that has its mode from the first moment, in the place of what was there."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(new, flags, mode)
    try:
        with open(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            if owner is not None:
                os.fchown(descriptor, owner.uid, owner.gid)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
