"""Sessions in a keyring, by the library `keyring` in processes of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.client.answers import Answers
from tests.client.conftest import CLIENT, environment, saltctl

PYTHONS = [
    os.environ.get("SALTAPI_KEYRING_PYTHON", sys.executable),
    str(CLIENT.parent / ".venv-package/bin/python"),
]
"""Where the library may be: the tests do without it."""
FOUND = next(
    (
        python
        for python in PYTHONS
        if os.path.exists(python)
        and subprocess.run([python, "-c", "import keyring"], capture_output=True).returncode == 0
    ),
    "",
)
BACKEND = """
import json, os, pathlib
from keyring.backend import KeyringBackend
from keyring.errors import PasswordDeleteError

class Backend(KeyringBackend):
    priority = 5
    path = pathlib.Path(os.environ["KEPT"])

    def read(self):
        return json.loads(self.path.read_text()) if self.path.exists() else {}

    def get_password(self, service, name):
        return self.read().get(f"{service}/{name}")

    def set_password(self, service, name, value):
        self.path.write_text(json.dumps({**self.read(), f"{service}/{name}": value}))

    def delete_password(self, service, name):
        found = self.read()
        if found.pop(f"{service}/{name}", None) is None:
            raise PasswordDeleteError("There is none.")
        self.path.write_text(json.dumps(found))
"""
TOKEN = "a" * 40

pytestmark = pytest.mark.skipif(not FOUND, reason="the library keyring is not here")


@pytest.mark.parametrize(
    ("backend", "is_kept"),
    [
        ("kept_in_file.Backend", True),
        ("keyring.backends.fail.Keyring", False),
    ],
)
def test_sessions(tmp_path: Path, backend: str, is_kept: bool) -> None:
    """A session is in a keyring that keeps a secret, and nowhere else; in a file without one."""
    (tmp_path / "kept_in_file.py").write_text(BACKEND)
    kept, file = tmp_path / "kept", tmp_path / "saltctl/state/sessions.json"
    env = environment(tmp_path) | {"PYTHON_KEYRING_BACKEND": backend, "KEPT": str(kept)}
    env["PYTHONPATH"] += f":{tmp_path}"
    del env["SALTCTL_KEYRING"]
    with Answers() as server:
        options = ("--url", server.url, "--user", "u", "--password-stdin")
        assert 0 == saltctl(env, "login", *options, stdin="p\n", python=FOUND).returncode
        assert 0 == saltctl(env, "whoami", python=FOUND).returncode
        assert is_kept == (kept.exists() and TOKEN in kept.read_text())
        assert is_kept != file.exists()
        assert 0 == saltctl(env, "logout", python=FOUND).returncode
        assert {} == json.loads((kept if is_kept else file).read_text())
        assert 4 == saltctl(env, "whoami", python=FOUND).returncode
        assert 1 == sum(path == "/login" for _, path, _ in server.asked)
