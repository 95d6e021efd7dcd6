"""
What tests of several modules share; and which promises a module keeps in its own way.

`OWN_WAY` lists tests of `conformance` that are not run for a module; its own tests say
what is promised instead.
"""

import re
from pathlib import Path

import pytest

from tests.netapi.certificates import Certificates

OWN_WAY = {
    # tests/netapi/rest_tornado/test_saltnado.py
    "rest_tornado": [
        r"test_welcome\[",
        r"test_login_page\[",
        r"test_command\[",  # YAML has the innermost collections on one line
        r"test_minions\[",
        r"test_start\[",
        r"test_start_nothing\[",
        r"test_start_ignores_the_client\[",
        r"test_jobs\[",
        r"test_unknown_job\[",
        r"test_run_does_not_look_at_the_session\[",
        r"test_login\[",  # no X-Auth-Token in the answer
        r"test_no_session\[(?!.*(GET-/keys|GET-/stats|POST-/logout))",  # sent to /login
        r"test_logout\[",
        r"test_token_of_the_session_wins\[",
        r"test_arguments_in_forms\[",
        r"test_errors\[.*GET-/minions-401",
        r"test_options\[",
        r"test_accept\[.*-application/x-yaml, application/json-",  # the first that is named
        r"test_trailing_slashes\[.*/login/",
        r"test_unknown_parameters\[",
    ]
}


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """Certificates in files."""
    return Certificates(tmp_path)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests in `OWN_WAY`."""

    def is_left_out(item: pytest.Item) -> bool:
        module = next((name for name in OWN_WAY if f"[{name}" in item.name), "")
        patterns = OWN_WAY.get(module, [])
        return item.path.parent.name == "conformance" and any(
            re.match(pattern, item.name) for pattern in patterns
        )

    left_out = [item for item in items if is_left_out(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
