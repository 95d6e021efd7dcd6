"""Who we are for the servers, and what is said to whom."""

import asyncio
import base64
import json
import logging
import time
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from saltapi.bridge.nats.bucket import Bucket
from saltapi.config.shared_store import StoreSection
from saltapi.errors import CannotStart, StoreUnavailable
from tests.nats_servers import NatsServers

LATER = time.time() + 3600
PASSWORD = "a-pass-word"
RIGHTS = {
    "publish": [
        "$KV.saltapi.>",
        "$JS.API.STREAM.*.KV_saltapi",
        "$JS.API.STREAM.MSG.GET.KV_saltapi",
    ],
    "subscribe": ["_INBOX.>"],
}


async def works(**options: Any) -> bool:
    """Return whether a value can be kept with these options."""
    bucket = Bucket(StoreSection(**options), "test")
    try:
        await bucket.put("a", value=b"1", expire=LATER)
        return b"1" == await bucket.get("a") and b"1" == await bucket.take("a")
    except StoreUnavailable:
        return False
    finally:
        await bucket.close()


def tls_files(directory: Path) -> dict[str, str]:
    """Make a certificate for loopback, and return the paths of what there is."""
    authority = trustme.CA()
    made = authority.issue_cert("127.0.0.1")
    paths = {name: str(directory / name) for name in ("ca", "cert", "key")}
    authority.cert_pem.write_to_path(paths["ca"])
    made.cert_chain_pems[0].write_to_path(paths["cert"])
    made.private_key_pem.write_to_path(paths["key"])
    return paths


async def test_tls_password_and_rights(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With TLS, a certificate of ours, a password and the rights that the page names it works."""
    caplog.set_level(logging.DEBUG)
    paths, good = tls_files(tmp_path), tmp_path / "good"
    good.write_text(f"saltapi:{PASSWORD}\n")
    (tmp_path / "bad").write_text("saltapi:another")
    options: dict[str, Any] = {
        "authorization": {
            "users": [
                {"user": "saltapi", "password": PASSWORD, "permissions": RIGHTS},
                {"user": "admin", "password": "admin"},
            ]
        },
        "tls": {
            "cert_file": paths["cert"],
            "key_file": paths["key"],
            "ca_file": paths["ca"],
            "verify": True,
        },
    }
    with NatsServers(tmp_path / "nats", **options) as servers:
        ours: dict[str, Any] = {
            "ca_file": paths["ca"],
            "cert_file": paths["cert"],
            "key_file": paths["key"],
        }
        context = StoreSection(url=servers.url, **ours)
        assert context.must_be_encrypted("127.0.0.1")
        await servers.listening()
        assert await works(url=servers.url, credentials_file=str(good), **ours)
        assert "does not take our credentials" not in caplog.text
        assert not await works(url=servers.url, credentials_file=str(tmp_path / "bad"), **ours)
        assert "does not take our credentials" in caplog.text
        assert not await works(url=servers.url, credentials_file=str(good))  # another authority
        assert not await works(url=servers.url, credentials_file=str(good), ca_file=paths["ca"])
    assert PASSWORD not in caplog.text


async def test_a_credentials_file(tmp_path: Path) -> None:
    """A credentials file of NATS's answers the challenge of a server that knows the operator."""
    operator, account, system, user = (Key(kind) for kind in "OAAU")
    limits = {"mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1, "conn": -1}
    limits |= {"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "leaf": -1}
    names: dict[str, dict[str, Any]] = {
        "account": {"limits": limits, "type": "account", "version": 2},
        "user": {"subs": -1, "data": -1, "payload": -1, "type": "user", "version": 2},
    }
    options: dict[str, Any] = {
        "operator": operator.sign(operator, {"type": "operator", "version": 2}),
        "resolver": "MEMORY",
        "resolver_preload": {
            account.name: operator.sign(account, names["account"]),
            system.name: operator.sign(system, {"type": "account", "version": 2}),
        },
        "system_account": system.name,
    }
    path = tmp_path / "user.creds"
    path.write_text(
        "-----BEGIN NATS USER JWT-----\n"
        f"{account.sign(user, names['user'])}\n------END NATS USER JWT------\n\n"
        "************************* IMPORTANT *************************\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n"
    )
    with NatsServers(tmp_path / "nats", **options) as servers:
        await servers.listening()
        assert await works(url=servers.url, credentials_file=str(path)), servers.log
        assert not await works(url=servers.url)


async def test_nothing_is_said_in_the_clear(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that offers no TLS where it must learns nothing of us, whatever it says."""
    said: list[bytes] = []

    async def pretend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.15.1","headers":true}\r\n')
        said.append(await reader.read())
        writer.close()

    server = await asyncio.start_server(pretend, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    (tmp_path / "p").write_text(f"saltapi:{PASSWORD}")
    assert not await works(url=f"tls://127.0.0.1:{port}", credentials_file=str(tmp_path / "p"))
    server.close()
    assert {b""} == set(said)
    assert "it speaks no TLS" in caplog.text


@pytest.mark.parametrize(
    "text",
    ["", "only-a-name", "a:b\nc", "-----BEGIN NATS USER JWT-----\nx\n-----END NATS USER JWT-----"],
)
def test_credentials_that_are_none(tmp_path: Path, text: str) -> None:
    """A file that holds something else stops the start, and is not quoted."""
    path = tmp_path / "credentials"
    path.write_text(text)
    with pytest.raises(CannotStart) as caught:
        Bucket(StoreSection(url="nats://h", credentials_file=str(path)), "test")
    assert "only-a-name" not in str(caught.value)


@pytest.mark.parametrize("option", ["credentials_file", "ca_file", "cert_file"])
def test_files_that_are_not_there(tmp_path: Path, option: str) -> None:
    """So does a file that is not there."""
    with pytest.raises(CannotStart):
        Bucket(StoreSection.parse({"url": "nats://h", option: str(tmp_path / "no")}), "test")


class Key:
    """A key of NATS's, as `nsc` makes them."""

    KINDS = {"O": 14 << 3, "A": 0, "U": 20 << 3}  # noqa: RUF012 - a table

    def __init__(self, kind: str) -> None:
        self._key = Ed25519PrivateKey.generate()
        number = self.KINDS[kind]
        raw = self._key.public_key().public_bytes(
            serialization.Encoding.Raw, serialization.PublicFormat.Raw
        )
        self.name = _coded(bytes([number]) + raw)
        private = self._key.private_bytes_raw()
        seed = 18 << 3
        self.seed = _coded(bytes([seed | (number >> 5), (number & 31) << 3]) + private)

    def sign(self, subject: "Key", claims: dict[str, Any]) -> str:
        """Return a statement of ours about *subject*."""
        body = {"jti": "x", "iat": int(time.time()), "iss": self.name, "name": "n"}
        body |= {"sub": subject.name, "nats": claims}
        parts = [_json({"typ": "JWT", "alg": "ed25519-nkey"}), _json(body)]
        signed = ".".join(parts)
        return f"{signed}.{_base64(self._key.sign(signed.encode()))}"


def _json(value: dict[str, Any]) -> str:
    return _base64(json.dumps(value).encode())


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _coded(raw: bytes) -> str:
    """Return *raw* with its checksum (CRC-16/XMODEM), in base32."""
    check = 0
    for byte in raw:
        check ^= byte << 8
        for _ in range(8):
            check = ((check << 1) ^ 0x1021 if check & 0x8000 else check << 1) & 0xFFFF
    return base64.b32encode(raw + check.to_bytes(2, "little")).decode().rstrip("=")
