"""A folder with a Debian of its own, changed in a copy, in namespaces that end with it."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.waiting import eventually, scaled

ROOT = Path(__file__).parents[2]
BASE = ROOT / ".chroot" / "forky"
PLAIN = ROOT / ".chroot" / "trixie"
MADE = ROOT / ".chroot" / "packages"
STAND_INS = {"3.11": MADE / "salt-master_3007.15.deb", "3.14": MADE / "salt-master_3008.3.deb"}
ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}
RUN_SECONDS = scaled(180)
START = """
source tests/chroot/folder.sh
mount -t overlay overlay -o "lowerdir=$BASE,upperdir=$TOP/upper,workdir=$TOP/work" "$TOP/root"
mount_folder "$TOP/root"
for volume in $VOLUMES; do
  target=$TOP/root${volume#*:}
  mkdir -p "${target%/*}"
  if [ -d "${volume%%:*}" ]; then mkdir -p "$target"; else touch "$target"; fi
  mount --bind "${volume%%:*}" "$target"
done
[ -z "$HOST_NAME" ] || hostname "$HOST_NAME"
[ -z "$OWN_NETWORK" ] || ip link set lo up
echo ready
# The first process takes in those whose parents have ended.
while true; do sleep 3600 & wait $!; done
"""


def missing() -> str | None:
    """Return what keeps folders from being made here; None if nothing does."""
    if shutil.which("debootstrap") is None:
        return "debootstrap is missing"
    if os.geteuid() != 0:
        return "only root can make a folder"
    absent = [path.name for path in (BASE, *STAND_INS.values(), PLAIN) if not path.exists()]
    absent += [kind for kind in ("deb", "rpm") if not list((ROOT / "dist").glob(f"*.{kind}"))]
    return f"`make test-packages` makes {absent[0]} first" if absent else None


class Folder:
    """A running copy of the folder, in namespaces of its own."""

    def __init__(
        self,
        top: Path,
        *,
        base: str = str(BASE),
        volumes: Mapping[Path, str] | None = None,
        host_name: str = "",
        network: "Folder | bool" = False,
        keep: bool = False,
    ) -> None:
        """
        Args:
            top: Holds what is changed; it must not lie on an overlay itself.
            base: What is copied: one folder, or several as overlays take them.
            volumes: Files and folders of this machine, and where they are inside.
            host_name: What it is called.
            network: That of another one, or that of this machine (true); by default it has none but
                a loopback interface of its own.
            keep: Leave what was changed where it is, in the folder `upper` of *top*.
        """
        self.top = top
        self.base = base
        self.volumes = volumes or {}
        self.host_name = host_name
        self.network = network
        self.keep = keep
        self.root = top / "root"
        self._init: subprocess.Popen[str]
        self.pid = 0
        self._enter: list[str] = []

    def __enter__(self) -> Self:
        for name in ("upper", "work", "root"):
            (self.top / name).mkdir()
        unshare = ["unshare", "--mount", "--pid", "--uts", "--fork", "--kill-child"]
        if isinstance(self.network, Folder):
            unshare = ["nsenter", f"--target={self.network.pid}", "--net", *unshare]
        elif not self.network:
            unshare.append("--net")
        self._init = subprocess.Popen(
            [*unshare, "bash", "-euc", START],
            cwd=ROOT,
            env={
                **os.environ,
                "BASE": self.base,
                "TOP": str(self.top),
                "VOLUMES": " ".join(f"{here}:{there}" for here, there in self.volumes.items()),
                "HOST_NAME": self.host_name,
                "OWN_NETWORK": "" if self.network else "yes",
            },
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._init.stdout is not None
        assert "ready\n" == self._init.stdout.readline()
        children = Path(f"/proc/{self._init.pid}/task/{self._init.pid}/children")
        self.pid = int(children.read_text())
        self._enter = ["nsenter", f"--target={self.pid}", "--mount", "--pid", "--uts", "--net"]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._init.kill()  # --kill-child ends the first process, and with it the namespace
        self._init.wait()
        assert self._init.stdout is not None
        self._init.stdout.close()
        if self.keep:
            return
        # Mounts go with the last process of the namespace.
        eventually(lambda: shutil.rmtree(self.top) or True, 20)  # type: ignore[func-returns-value]

    def run(self, command: str, *, check: bool = True, env: Mapping[str, str] | None = None) -> str:
        """Run a command of the shell inside, and return all that it prints."""
        done = subprocess.run(
            [*self._enter, "chroot", str(self.root), "bash", "-ec", command],
            env={**ENVIRONMENT, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )
        assert not check or done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}"
        return done.stdout

    def put(self, source: Path, place: str) -> None:
        """Copy a file to *place* inside."""
        target = self._seen(place)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)

    def write(self, place: str, text: str) -> None:
        """Write a file inside."""
        target = self._seen(place)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def read(self, place: str) -> bytes:
        """Return what a file inside holds."""
        return self._seen(place).read_bytes()

    def _seen(self, place: str) -> Path:
        """Return the path of *place* from here, where the mounts of the namespace are not seen."""
        return Path(f"/proc/{self.pid}/root{self.root}", place.lstrip("/"))

    def files(self) -> set[str]:
        """Return the files of the folder, without those of dpkg, apt, /proc and the like."""
        pruned = " -o ".join(f"-path {path}" for path in UNSEEN)
        listed = self.run(rf"find / \( {pruned} \) -prune -o -print")
        return set(listed.splitlines())


UNSEEN = [
    *("/proc", "/sys", "/dev", "/tmp", "/var/lib/dpkg", "/var/lib/rpm", "/var/log/dpkg.log"),
    *("/var/log/alternatives.log", "/var/log/apt", "/var/cache/apt", "/var/cache/man"),
    *("'*/__pycache__'", "/packages", "/run/salt"),
]
"""What is no trace of a package."""
