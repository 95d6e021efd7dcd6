"""Configs that Salt's daemon runs with: ours runs with them too."""

from typing import Any

import pytest

from saltapi.demo import PrivateMaster
from tests.apis import OURS, SALTS, ApiServer
from tests.waiting import scaled

NULLS: dict[str, list[str]] = {
    "rest_cherrypy": [
        "debug",
        "log_access_file",
        "log_error_file",
        "thread_pool",
        "socket_queue_size",
        "max_request_body_size",
        "collect_stats",
        "stats_disable_auth",
        "expire_responses",
        "webhook_disable_auth",
        "enable_sessions",
        "static_path",
        "ssl_crt",
        "ssl_key",
        "ssl_chain",
        "api_acl",
        "authorized_ips",
    ],
    "rest_tornado": [
        "address",
        "debug",
        "websockets",
        "ssl_crt",
        "ssl_key",
        "cors_origin",
        "webhook_disable_auth",
        "max_request_body_size",
    ],
}
"""Options that Salt's modules start with when they have no value."""
CONFIGS: list[tuple[str, dict[str, Any]]] = [
    *((module, dict.fromkeys(names)) for module, names in NULLS.items()),
    ("rest_cherrypy", {"max_request_body_size": 0, "thread_pool": 0, "debug": 7}),
    ("rest_tornado", {"max_request_body_size": 0, "backlog": 0, "websockets": ""}),
]

pytestmark = [pytest.mark.long, pytest.mark.timeout(scaled(120))]


@pytest.mark.parametrize(("module", "section"), CONFIGS)
def test_both_run(master: PrivateMaster, module: str, section: dict[str, Any]) -> None:
    """A daemon of either kind answers, takes a login, and a body of 3 MiB where it has no limit."""
    chunk = [{"client": "runner", "fun": "test.arg", "arg": ["x" * (3 << 20)]}]
    for program in (SALTS, OURS):
        with ApiServer(master, program, section, module=module) as server:
            headers = {"X-Auth-Token": server.login()}
            assert 200 == server.send("GET", "/").status
            if section["max_request_body_size"] == 0:
                answer = server.send("POST", "/", headers=headers, json_body=chunk)
                assert 200 == answer.status
