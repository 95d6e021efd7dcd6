"""On what kind of file system a path is."""

from pathlib import Path

NETWORK = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "fuse.ceph", "fuse.glusterfs", "fuse.sshfs", "gfs2"}
    | {"glusterfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "smb3", "smbfs"}
)
"""Their locks do not hold what SQLite needs of them (https://sqlite.org/wal.html)."""
MOUNTS = Path("/proc/self/mounts")


def network_file_system(path: Path, mounts: Path = MOUNTS) -> str | None:
    """Return the kind of network file system that *path* is on; None if it is on a disk."""
    try:
        lines = mounts.read_text().splitlines()
    except OSError:
        return None
    real, best, kind = path.resolve(), Path(), ""
    for line in lines:
        _, place, name, *_ = line.split(" ")
        mount = Path(place.replace("\\040", " "))
        if real.is_relative_to(mount) and len(mount.parts) >= len(best.parts):
            best, kind = mount, name
    return kind if kind in NETWORK else None
