"""Sessions in a keyring, by the library `keyring` in processes of their own."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which

import pytest

from tests.client.answers import Answers
from tests.client.conftest import CLIENT, environment, saltctl
from tests.waiting import eventually

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
FAILING = """
import os
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked

class Backend(KeyringBackend):
    priority = 5

    def fails(self, *_):
        if os.environ["WAY"] == "locked":
            raise KeyringLocked("Failed to unlock the collection!")
        raise OSError(2, "No such bus\x1b[31m")

    get_password = set_password = delete_password = fails
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


@pytest.mark.parametrize("way", ["locked", "broken"])
def test_failing(tmp_path: Path, way: str) -> None:
    """Where the keyring fails, the session is in a private file, and that is said once."""
    (tmp_path / "failing.py").write_text(FAILING)
    env = environment(tmp_path) | {"PYTHON_KEYRING_BACKEND": "failing.Backend", "WAY": way}
    env["PYTHONPATH"] += f":{tmp_path}"
    del env["SALTCTL_KEYRING"]
    file = tmp_path / "saltctl/state/sessions.json"
    with Answers() as server:
        options = ("--url", server.url, "--user", "u", "--password-stdin")
        found = saltctl(env, "login", *options, stdin="p\n", python=FOUND)
        assert 0 == found.returncode, found
        assert 1 == found.stderr.count("The keyring fails")
        assert str(file) in found.stderr
        assert "\x1b" not in found.stderr
        assert 0o600 == stat.S_IMODE(file.stat().st_mode)
        found = saltctl(env, "whoami", python=FOUND)
        assert (0, "") == (found.returncode, found.stderr)
        assert 0 == saltctl(env, "logout", python=FOUND).returncode
        assert {} == json.loads(file.read_text())
        found = saltctl(env, "whoami", python=FOUND)
        assert 4 == found.returncode
        assert "The keyring cannot be read" in found.stderr


@pytest.fixture
def secret_service(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Have a bus and a Secret Service of the test's own; yield the variables that lead there."""
    home, runtime = tmp_path / "home", tmp_path / "run"
    (home / ".local/share/keyrings").mkdir(parents=True, mode=0o700)
    runtime.mkdir(mode=0o700)
    env = {**os.environ, "HOME": str(home), "XDG_RUNTIME_DIR": str(runtime)}
    bus = subprocess.Popen(
        ["dbus-daemon", "--session", "--nofork", "--print-address"],
        env=env, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert bus.stdout is not None
        env["DBUS_SESSION_BUS_ADDRESS"] = bus.stdout.readline().strip()
        with gnome_keyring(env, "--unlock"):
            yield {name: env[name] for name in ("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")}
    finally:
        bus.kill()
        bus.communicate()


@contextmanager
def gnome_keyring(env: dict[str, str], way: str) -> Iterator[None]:
    """Have GNOME's keyring while something is done."""
    daemon = subprocess.Popen(
        ["gnome-keyring-daemon", way, "--foreground", "--components=secrets"],
        env=env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert daemon.stdin is not None
        daemon.stdin.write(b"password")
        daemon.stdin.close()
        eventually(lambda: asked(env, "keyring.set_password('test', 'x', 'y')"))
        yield
    finally:
        daemon.kill()
        daemon.wait()


def asked(env: dict[str, str], expression: str) -> bool:
    """Return whether an expression with the library has a value, and raises nothing."""
    words = [FOUND, "-c", f"import keyring; print({expression})"]
    return subprocess.run(words, env=env, capture_output=True).returncode == 0


@pytest.mark.long
@pytest.mark.skipif(
    not (which("gnome-keyring-daemon") and which("dbus-daemon")),
    reason="GNOME's keyring is not here",
)
def test_secret_service(tmp_path: Path, secret_service: dict[str, str]) -> None:
    """A session is kept by GNOME's keyring, read from there, and gone with a logout."""
    env = {**environment(tmp_path), **secret_service}
    del env["SALTCTL_KEYRING"]
    file = tmp_path / "saltctl/state/sessions.json"
    with Answers() as server:
        kept = f"keyring.get_password('saltctl', '{server.url} pam u').index('{TOKEN}')"
        options = ("--url", server.url, "--user", "u", "--password-stdin")
        found = saltctl(env, "login", *options, stdin="p\n", python=FOUND)
        assert (0, "") == (found.returncode, found.stderr)
        assert asked(env, kept)
        assert not file.exists()
        assert 0 == saltctl(env, "whoami", python=FOUND).returncode
        assert 0 == saltctl(env, "logout", python=FOUND).returncode
        assert not asked(env, kept)
        assert 4 == saltctl(env, "whoami", python=FOUND).returncode
        assert 1 == sum(path == "/login" for _, path, _ in server.asked)
