"""Certificates in files, and clients that speak TLS, for modules that run in this process."""

import http.client
import ssl
from pathlib import Path
from typing import Any

import trustme

from tests.netapi.running import HOST, TOKEN, RunningServer
from tests.waiting import scaled

SECONDS = 20.0


class Certificates:
    """A certificate authority, and a server's certificate of it in files."""

    def __init__(self, directory: Path) -> None:
        self.authority = trustme.CA()
        self.ca, self.crt, self.key, self.both = (
            str(directory / name) for name in ("ca.pem", "server.crt", "server.key", "both.pem")
        )
        self.authority.cert_pem.write_to_path(self.ca)
        self.write_server()

    def write_server(self, **options: Any) -> None:
        """Write a new certificate for the server."""
        issued = self.authority.issue_cert(HOST, "localhost", **options)
        issued.private_key_pem.write_to_path(self.key)
        issued.private_key_and_cert_chain_pem.write_to_path(self.both)
        Path(self.crt).write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))

    def client(self, common_name: str | None = None) -> ssl.SSLContext:
        """Return the context of a client, perhaps with a certificate of its own."""
        context = ssl.create_default_context(cafile=self.ca)
        if common_name:
            self.authority.issue_cert("client", common_name=common_name).configure_cert(context)
        return context


def get(server: RunningServer, context: ssl.SSLContext, path: str = "/") -> tuple[int, bytes]:
    """Return status and body of what is at *path*, through TLS."""
    connection = http.client.HTTPSConnection(
        HOST, server.port, context=context, timeout=scaled(SECONDS)
    )
    try:
        connection.request("GET", path, headers={"X-Auth-Token": TOKEN})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def served_certificate(server: RunningServer, context: ssl.SSLContext) -> bytes:
    """Return the certificate that the server shows."""
    with context.wrap_socket(server.connect(), server_hostname=HOST) as connection:
        found = connection.getpeercert(binary_form=True)
    assert found
    return found
