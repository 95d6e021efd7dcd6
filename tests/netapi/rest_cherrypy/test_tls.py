"""TLS on a real port: ssl_crt, ssl_key, ssl_chain, ssl_ca_certs, ssl_cert_reqs, ssl_allowed_cn."""

import http.client
import json
import signal
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509

from saltapi.config import RestCherrypyConfig
from saltapi.netapi.rest_cherrypy.app import get_app
from tests.daemons import Daemon, Home, free_port, wait_until
from tests.netapi.rest_cherrypy.doors import MASTERLESS, NAME, serving
from tests.waiting import scaled

HOST = "127.0.0.1"


class Files:
    """A certificate for loopback, the authority that signed it, and clients' certificates."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = trustme.CA()
        self.ca = str(directory / "ca.pem")
        self.authority.cert_pem.write_to_path(self.ca)
        self.crt, self.key = self.pair("server")
        self.options: dict[str, Any] = {
            "disable_ssl": False,
            "ssl_crt": self.crt,
            "ssl_key": self.key,
        }

    def pair(
        self, name: str, common_name: str | None = None, authority: trustme.CA | None = None
    ) -> tuple[str, str]:
        """Return the files of a new certificate, without what leads to its root, and its key."""
        issuer = authority or self.authority
        made = issuer.issue_cert("localhost", HOST, common_name=common_name)
        crt, key = self.directory / f"{name}.crt", self.directory / f"{name}.key"
        made.cert_chain_pems[0].write_to_path(crt)
        made.private_key_pem.write_to_path(key)
        return str(crt), str(key)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def trusting(authority: str, pair: tuple[str, str] | None = None) -> ssl.SSLContext:
    """Return the context of a client that trusts *authority* and shows *pair*."""
    context = ssl.create_default_context(cafile=authority)
    if pair:
        context.load_cert_chain(*pair)
    return context


def status_of(
    port: int, context: ssl.SSLContext, path: str = "/", headers: dict[str, str] | None = None
) -> int:
    """Return the status of a GET; errors are in JSON."""
    connection = http.client.HTTPSConnection(HOST, port, timeout=scaled(20), context=context)
    try:
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        body = json.loads(answer.read())
        assert answer.status == 200 or answer.status == body["status"]
        return answer.status
    finally:
        connection.close()


def serial_of(port: int) -> int:
    """Return the serial number of the certificate that new connections see."""
    pem = ssl.get_server_certificate((HOST, port), timeout=scaled(20))
    return x509.load_pem_x509_certificate(pem.encode()).serial_number


def test_client_that_trusts_the_authority(files: Files) -> None:
    """`ssl_crt` and `ssl_key` make HTTPS, of TLS 1.2 and 1.3, whichever the client speaks."""
    with serving(**files.options) as server:
        port = server.bind_addr[1]
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = trusting(files.ca)
            context.minimum_version = context.maximum_version = version
            assert 200 == status_of(port, context)
        with pytest.raises(ssl.SSLCertVerificationError):
            status_of(port, ssl.create_default_context())


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_old_versions(files: Files) -> None:
    """TLS 1.1 is refused, even to a client that would take it."""
    context = trusting(files.ca)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with serving(**files.options) as server, pytest.raises(ssl.SSLError):
        status_of(server.bind_addr[1], context)


def test_plain_http(files: Files) -> None:
    """Plain HTTP to the port of HTTPS gets an answer that says so."""
    with serving(**files.options) as server:
        connection = http.client.HTTPConnection(HOST, server.bind_addr[1], timeout=scaled(20))
        connection.request("GET", "/")
        answer = connection.getresponse()

        assert 400 == answer.status
        assert b"This port speaks HTTPS; use https:// here.\n" == answer.read()
        connection.close()


def test_client_that_does_not_shake_hands(files: Files) -> None:
    """Connections on which nothing comes keep nobody out, however few threads there are."""
    with serving(thread_pool=1, **files.options) as server:
        port = server.bind_addr[1]
        silent = [socket.create_connection((HOST, port)) for _ in range(20)]
        try:
            assert 200 == status_of(port, trusting(files.ca))
        finally:
            for connection in silent:
                connection.close()


def test_chain(files: Files) -> None:
    """`ssl_chain` is sent, so that a client needs to know only the root; it is not trusted."""
    middle = files.authority.create_child_ca()
    chain = files.directory / "chain.pem"
    middle.cert_pem.write_to_path(chain)
    crt, key = files.pair("leaf", authority=middle)
    options = {**files.options, "ssl_crt": crt, "ssl_key": key}
    with serving(**options) as server, pytest.raises(ssl.SSLCertVerificationError):
        status_of(server.bind_addr[1], trusting(files.ca))
    with serving(**options, ssl_chain=str(chain)) as server:
        assert 200 == status_of(server.bind_addr[1], trusting(files.ca))


def test_chain_does_not_sign_clients(files: Files) -> None:
    """Whoever signed the server's certificate has not thereby signed its clients' ones."""
    middle = files.authority.create_child_ca()
    chain = files.directory / "chain.pem"
    middle.cert_pem.write_to_path(chain)
    crt, key = files.pair("leaf", authority=middle)
    clients = trustme.CA()
    clients.cert_pem.write_to_path(files.directory / "clients.pem")
    options = {
        **files.options,
        "ssl_crt": crt,
        "ssl_key": key,
        "ssl_chain": str(chain),
        "ssl_ca_certs": str(files.directory / "clients.pem"),
        "ssl_cert_reqs": "CERT_REQUIRED",
    }
    known = files.pair("known", "alice", clients)
    stranger = files.pair("stranger", "alice", middle)
    with serving(**options) as server:
        port = server.bind_addr[1]
        assert 200 == status_of(port, trusting(files.ca, known))
        with pytest.raises(OSError):  # noqa: PT011 - whichever end closes first
            status_of(port, trusting(files.ca, stranger))


@pytest.mark.parametrize(
    ("required", "allowed", "shown", "expected"),
    [
        ("CERT_NONE", None, None, 200),
        ("CERT_OPTIONAL", None, None, 200),
        ("CERT_OPTIONAL", None, "alice", 200),
        ("CERT_REQUIRED", None, "alice", 200),
        ("CERT_REQUIRED", None, None, None),
        ("CERT_OPTIONAL", None, "foreign", None),
        ("CERT_OPTIONAL", "alice", None, 403),
        ("CERT_OPTIONAL", "alice", "mallory", 403),
        ("CERT_OPTIONAL", "alice", "alice", 200),
        ("CERT_REQUIRED", ["bob", "alice"], "alice", 200),
        ("CERT_REQUIRED", ["bob"], "alice", 403),
    ],
)
def test_client_certificates(
    files: Files, required: str, allowed: Any, shown: str | None, expected: int | None
) -> None:
    """`ssl_cert_reqs` asks for a certificate, `ssl_allowed_cn` says whose."""
    foreign = trustme.CA() if shown == "foreign" else None
    pair = files.pair("client", shown, foreign) if shown else None
    options = {
        **files.options,
        "ssl_ca_certs": files.ca,
        "ssl_cert_reqs": required,
        "ssl_allowed_cn": allowed,
    }
    lie = {"SSL-Client-S-DN-CN": "alice", "X-SSL-Client-CN": "alice"}
    with serving(**options) as server:
        port, context = server.bind_addr[1], trusting(files.ca, pair)
        if expected is None:
            with pytest.raises(OSError):  # noqa: PT011 - whichever end closes first
                status_of(port, context, headers=lie)
        else:
            for path in ("/", "/login"):
                assert expected == status_of(port, context, path, lie)
            if expected == 403:
                assert 403 == status_of(port, context, "/nope", lie)


def test_cookie_is_for_https_only(files: Files) -> None:
    """What the application is told of the connection makes cookies Secure."""
    schemes: list[Any] = []
    with serving(**files.options) as server:
        gateway: Any = server
        wrapped = gateway.wsgi_app

        def application(environ: Any, start: Any) -> Any:
            schemes.append(environ["wsgi.url_scheme"])
            return wrapped(environ, start)

        gateway.wsgi_app = application
        assert 200 == status_of(server.bind_addr[1], trusting(files.ca))

    assert ["https"] == schemes


def test_reload(files: Files, tmp_path: Path) -> None:
    """On SIGHUP new connections see the new certificate, and open ones go on with the old one."""
    home = home_of(tmp_path, files.options)
    port = home.opts[NAME]["port"]
    with Daemon(home) as daemon:
        daemon.wait_for_log(f"rest_cherrypy answers at https://{HOST}:{port}/")
        first = serial_of(port)
        context = trusting(files.ca)
        open_one = http.client.HTTPSConnection(HOST, port, timeout=scaled(20), context=context)
        open_one.request("GET", "/")
        assert b"Welcome" in open_one.getresponse().read()
        files.pair("server")
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_log("rest_cherrypy has reloaded.")

        assert first != serial_of(port)
        open_one.request("GET", "/")
        assert 200 == open_one.getresponse().status
        open_one.close()

        second = serial_of(port)
        Path(files.key).write_text("nonsense")
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_log("rest_cherrypy keeps what it had: reloading failed.")
        assert second == serial_of(port)
        assert 200 == status_of(port, context)


def home_of(root: Path, section: dict[str, Any]) -> Home:
    """Return the home of a daemon with a section for rest_cherrypy and no master."""
    home = Home(root)
    home.opts[NAME] = {"host": HOST, "port": free_port(), **section}
    return home


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({}, "rest_cherrypy needs a certificate: set ssl_crt and ssl_key (`saltapi make-cert`"),
        ({"ssl_crt": "/none"}, "or set disable_ssl: True to send credentials in the clear."),
        (
            {"ssl_crt": "/none", "ssl_key": "/none"},
            "rest_cherrypy cannot read /none: No such file or directory.",
        ),
    ],
)
def test_refusal_to_start(tmp_path: Path, section: dict[str, Any], said: str) -> None:
    """Without TLS and without `disable_ssl` the command ends with status 1 and both ways out."""
    with Daemon(home_of(tmp_path, section)) as daemon:
        assert 1 == daemon.wait()
        wait_until(lambda: said in daemon.home.log() + daemon.stderr())


@pytest.mark.long
def test_make_cert_is_a_way_out(tmp_path: Path) -> None:
    """The lines that `saltapi make-cert` prints, put into the section, make the module start."""
    home = home_of(tmp_path, {})
    home.write()
    done = home.run("make-cert", "-c", str(tmp_path))
    printed = (line.strip() for line in done.stdout.splitlines() if line.startswith("  "))
    lines = dict(line.split(": ") for line in printed)
    home.opts[NAME].update(lines)
    port = home.opts[NAME]["port"]
    with Daemon(home) as daemon:
        daemon.wait_for_log(f"rest_cherrypy answers at https://{HOST}:{port}/")
        assert 200 == status_of(port, trusting(lines["ssl_crt"]))


def test_a_section_needs_no_certificate_behind_another_server() -> None:
    """`get_app` is for servers that have TLS of their own: it asks for no certificate."""
    door = get_app({**MASTERLESS, NAME: {"port": 1}})

    assert RestCherrypyConfig.parse({"port": 1}) == door.section
