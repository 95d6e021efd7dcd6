"""What a worker keeps between functions."""

import socket
from pathlib import Path
from typing import Any

import msgpack
import pytest

from saltapi.bridge.worker import warm
from saltapi.bridge.worker.warm import Pusher
from tests.waiting import scaled


def listening(directory: Path) -> socket.socket:
    """Return a socket that is where a master takes events."""
    path = directory / "master_event_pull.ipc"
    path.unlink(missing_ok=True)
    server = socket.socket(socket.AF_UNIX)
    server.settimeout(scaled(10))
    server.bind(str(path))
    server.listen()
    return server


def fired(connection: socket.socket) -> bytes:
    """Return the body of the next event."""
    connection.settimeout(scaled(10))
    size = int.from_bytes(connection.recv(4, socket.MSG_WAITALL))
    body: bytes = msgpack.unpackb(connection.recv(size, socket.MSG_WAITALL))["body"]
    return body


def test_events(tmp_path: Path) -> None:
    """All events go through one connection, in order; a master that came back gets the next."""
    pusher = Pusher({"sock_dir": str(tmp_path)})
    with listening(tmp_path) as server:
        assert pusher.connect()
        for body in (b"one", b"two"):
            pusher.publish(body)
            pusher.close()
        connection, _ = server.accept()
        with connection:
            assert [b"one", b"two"] == [fired(connection), fired(connection)]
    with listening(tmp_path) as server:
        assert pusher.connect()
        pusher.publish(b"three")
        connection, _ = server.accept()
        with connection:
            assert b"three" == fired(connection)


def test_no_master(tmp_path: Path) -> None:
    """Without a master there is no connection, and nothing passes for fired."""
    pusher = Pusher({"sock_dir": str(tmp_path)})
    assert not pusher.connect()
    with pytest.raises(OSError, match="No such file"):
        pusher.publish(b"lost")


def test_tcp() -> None:
    """With `ipc_mode: tcp` events go to the master's port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        pusher = Pusher({"ipc_mode": "tcp", "tcp_master_pull_port": port})
        assert pusher.connect()
        pusher.publish(b"one")
        connection, _ = server.accept()
        with connection:
            assert b"one" == fired(connection)


def test_kept() -> None:
    """The same options give the same result; others, or more arguments, give a new one."""
    made: list[Any] = []

    def make(*args: Any, **kwargs: Any) -> object:
        made.append((args, kwargs))
        return object()

    kept = warm._kept(make)
    opts: dict[str, Any] = {"a": 1}
    first = kept(opts)

    assert first is kept(opts)
    assert first is not kept(dict(opts))
    assert first is not kept(opts, whitelist=["x"])
    assert [((opts,), {}), ((opts,), {}), ((opts,), {"whitelist": ["x"]})] == made


def test_kept_is_bounded() -> None:
    """What was used longest ago is let go, and no new options pass for old ones."""
    kept = warm._kept(lambda opts: list(opts))
    for number in range(10 * warm.LOADERS_KEPT):
        assert [number] == kept({number: None})
