"""What somebody without a session may send to the modules of asyncio, and hold there."""

from collections.abc import Iterator

import pytest

from tests.netapi.rest_asgi.running import RunningServer as RunningAsgi
from tests.netapi.rest_tornado.running import RunningServer as RunningTornado
from tests.netapi.running import TOKEN, RunningServer, read_all

MODULES = [RunningAsgi, RunningTornado]


@pytest.fixture(scope="module", params=MODULES, ids=lambda kind: kind.name)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """A module as it comes."""
    with request.param(tmp_path_factory.mktemp("api")) as running:
        yield running


def test_tokens_behind_a_body(server: RunningServer) -> None:
    """A token in a trailer logs nobody in, and does not reach the next request (RFC 9110)."""
    data = (
        b"POST /hook/x HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX-Auth-Token: "
        + TOKEN.encode()
        + b"\r\n\r\nGET /jobs HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    with server.connect() as connection:
        connection.sendall(data)
        answers = read_all(connection)
    assert b"HTTP/1.1 2" not in answers
    assert b"HTTP/1.1 " in answers
