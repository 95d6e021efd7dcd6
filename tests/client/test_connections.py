"""Certificates and proxies, on the way to a server."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client.answers import Answers
from tests.client.inside import Run
from tests.client.proxies import Proxy
from tests.netapi.certificates import Certificates

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """An authority, and a server's certificate of it."""
    return Certificates(tmp_path)


@pytest.fixture
def context(certificates: Certificates) -> ssl.SSLContext:
    """What a server goes by."""
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found.load_cert_chain(certificates.crt, certificates.key)
    return found


@pytest.fixture(autouse=True)
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy; the environment says nothing of it yet."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    with Proxy() as found:
        yield found


def test_authority(run: Run, certificates: Certificates, context: ssl.SSLContext) -> None:
    """A server is believed whose certificate is of an authority that one trusts."""
    with Answers() as server:
        server.speak_tls(context)
        status, said = run(server, "whoami")
        assert 5 == status
        assert "certificate" in said
        assert [] == server.asked
        assert 0 == run(server, "whoami", "--ca", certificates.ca)[0]
        assert 0 == run(server, "whoami", "--insecure")[0]
        assert 2 == run(server, "whoami", "--ca", "nothing")[0]


def test_own_certificate(
    run: Run, certificates: Certificates, context: ssl.SSLContext, tmp_path: Path
) -> None:
    """A server that wants to know who asks is shown a certificate."""
    context.load_verify_locations(certificates.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    issued = certificates.authority.issue_cert("ops")
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "own.crt"))
    issued.private_key_pem.write_to_path(str(tmp_path / "own.key"))
    own = ("--cert", str(tmp_path / "own.crt"), "--cert-key", str(tmp_path / "own.key"))
    with Answers() as server:
        server.speak_tls(context)
        assert 5 == run(server, "whoami", "--ca", certificates.ca)[0]
        assert 0 == run(server, "whoami", "--ca", certificates.ca, *own)[0]


def test_proxy(run: Run, proxy: Proxy, certificates: Certificates, context: ssl.SSLContext) -> None:
    """Requests go through a proxy; those of TLS through a tunnel, in which it reads nothing."""
    with Answers() as server:
        assert 0 == run(server, "whoami", "--proxy", proxy.url)[0]
        assert ("GET", f"{server.url}/v1/whoami", None) in proxy.asked
        proxy.asked.clear()
        server.speak_tls(context)
        named = proxy.url.replace("http://", "http://who:it%20is@")
        assert 0 == run(server, "whoami", "--proxy", named, "--ca", certificates.ca)[0]
        place = server.url.partition("//")[2]
        assert {("CONNECT", place, "Basic d2hvOml0IGlz")} == set(proxy.asked)
    assert 5 == run(server, "whoami", "--proxy", "http://127.0.0.1:1")[0]


def test_variables(run: Run, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment says which proxy, and for whom none; `--proxy` says more."""
    with Answers() as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("http_proxy", proxy.url)
        assert 0 == run(server, "whoami")[0]
        assert proxy.asked
        proxy.asked.clear()
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert 0 == run(server, "whoami")[0]
        assert [] == proxy.asked
        assert 0 == run(server, "whoami", "--proxy", proxy.url)[0]
        assert proxy.asked
