"""`saltapi make-cert`, and that its certificates can be used."""

import datetime
import os
import ssl
import stat
from pathlib import Path

import pytest
import yaml
from cryptography import x509

from saltapi.cli import main
from saltapi.config import RestCherrypyConfig
from saltapi.process import certificates, tls

SELF_SIGNED_CHECKS = ssl.VERIFY_X509_STRICT


def make(directory: Path, *arguments: str) -> int:
    """Run `saltapi make-cert` with a config directory that has no config."""
    return main(["make-cert", "-c", str(directory), *arguments])


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_defaults(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The pair is below the config directory, and the lines it prints are what the config needs."""
    before = os.umask(0)
    try:
        assert 0 == make(tmp_path)
    finally:
        os.umask(before)
    directory = tmp_path / "pki" / "api"
    crt, key = directory / "saltapi.crt", directory / "saltapi.key"
    _, _, lines = capsys.readouterr().out.partition("\n\n")

    assert {"ssl_crt": str(crt), "ssl_key": str(key)} == yaml.safe_load(lines)
    assert [crt, key] == sorted(directory.iterdir())
    assert 0o600 == mode_of(key)
    assert 0o644 == mode_of(crt)
    section = RestCherrypyConfig.parse({"port": 1, **yaml.safe_load(lines)})
    tls.server_context(section, "rest_cherrypy")


def test_what_is_in_it(tmp_path: Path) -> None:
    """Names and addresses are those given, the machine's, and loopback; days are days."""
    options = ["--host", "salt.example.com", "--host", "192.0.2.7", "--host", "bücher.example"]
    assert 0 == make(tmp_path, "--dir", str(tmp_path), "--name", "x", "--days", "10", *options)
    certificate = x509.load_pem_x509_certificate((tmp_path / "x.crt").read_bytes())
    extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    names = extension.get_values_for_type(x509.DNSName)
    addresses = [str(one) for one in extension.get_values_for_type(x509.IPAddress)]

    assert {"salt.example.com", "xn--bcher-kva.example", "localhost"} <= set(names)
    assert {"192.0.2.7", "127.0.0.1", "::1"} <= set(addresses)
    assert set(certificates.own_names()) <= {*names, *addresses}
    ends = certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    assert 9 == ends.days
    usage = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert usage.ca is False


def test_client_that_trusts_it(tmp_path: Path) -> None:
    """A client that has a copy connects by name, with the strictest checks there are."""
    make(tmp_path, "--dir", str(tmp_path))
    pair = {name: str(tmp_path / f"saltapi.{name}") for name in ("crt", "key")}
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pair["crt"], pair["key"])
    client = ssl.create_default_context(cafile=pair["crt"])
    client.verify_flags |= SELF_SIGNED_CHECKS
    for name in ("localhost", "127.0.0.1"):
        shake_hands(client, server, name)


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> None:
    """Let both ends talk in memory until they agree; a certificate that is refused raises."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    while ends:
        for end in tuple(ends):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            ends.remove(end)


def test_existing_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither file is replaced without `--force`, and with it both are, with new modes."""
    key = tmp_path / "saltapi.key"
    key.write_text("precious")
    key.chmod(0o644)

    assert 1 == make(tmp_path, "--dir", str(tmp_path))
    assert f"{key} exists; --force replaces it" in capsys.readouterr().err
    assert "precious" == key.read_text()
    assert not (tmp_path / "saltapi.crt").exists()

    assert 0 == make(tmp_path, "--dir", str(tmp_path), "--force")
    assert key.read_text().startswith("-----BEGIN PRIVATE KEY-----")
    assert 0o600 == mode_of(key)


def test_link_in_its_place(tmp_path: Path) -> None:
    """A link with the name of the key is replaced, not followed."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("somebody else's")
    (tmp_path / "saltapi.key").symlink_to(elsewhere)

    assert 0 == make(tmp_path, "--dir", str(tmp_path), "--force")
    assert "somebody else's" == elsewhere.read_text()
    assert not (tmp_path / "saltapi.key").is_symlink()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--name", "../x"], "--name '../x' is no name of a file."),
        (["--name", ""], "--name '' is no name of a file."),
        (["--days", "0"], "--days must be 1 to"),
        (["--host", "a" * 64], "is neither a name of a host nor an address."),
        (["--host", ""], "'' is neither a name of a host nor an address."),
        (["--dir", "/proc/none"], "cannot be written"),
    ],
)
def test_wrong_arguments(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    """What makes no sense ends in a sentence, and no file."""
    assert 1 == make(tmp_path, *arguments)
    assert said in capsys.readouterr().err
    assert [] == [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_owner(tmp_path: Path) -> None:
    """Made by root, the files belong to the user whom the daemon becomes."""
    (tmp_path / "master").write_text(f"user: nobody\nroot_dir: {tmp_path}\n")
    assert 0 == make(tmp_path)
    key = tmp_path / "pki" / "api" / "saltapi.key"

    assert "nobody" == key.owner()
    assert 0o600 == mode_of(key)
