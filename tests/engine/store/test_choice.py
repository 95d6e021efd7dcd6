"""Which store a module has."""

import logging
import sys
from pathlib import Path

import pytest

from saltapi.engine.store import choice, mounts
from saltapi.engine.store.sqlite import SqliteStore
from saltapi.errors import CannotStart

LINES = """\
/dev/a / ext4 rw 0 0
filer:/x /srv/nfs nfs4 rw 0 0
/dev/b /srv/nfs/disk\\040one xfs rw 0 0
proc /proc proc rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/nfs/a/b", "nfs4"),
        ("/srv/nfs", "nfs4"),
        ("/srv/nfsx", None),
        ("/srv/nfs/disk one/a", None),
        ("/", None),
    ],
)
def test_kinds_of_file_systems(tmp_path: Path, path: str, kind: str | None) -> None:
    """The file system of a path is that of the mount that is nearest to it."""
    (tmp_path / "mounts").write_text(LINES)
    assert kind == mounts.network_file_system(Path(path), tmp_path / "mounts")
    assert mounts.network_file_system(Path(path), tmp_path / "none") is None


async def test_the_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The file is where `store_directory` says, and not on a network file system."""
    opts = {"cachedir": str(tmp_path / "cache")}
    store = choice.store_for(opts, "m")
    assert isinstance(store, SqliteStore)
    assert tmp_path / "cache" / "saltapi" / "m.sqlite" == store.path
    await store.close()
    monkeypatch.setattr(choice, "network_file_system", lambda _: "nfs4")
    caplog.set_level(logging.WARNING)
    choice.store_directory(opts)
    assert "it is on nfs4" in caplog.text
    with pytest.raises(CannotStart, match="nfs4"):
        choice.store_directory({**opts, "store_directory": str(tmp_path)})


def test_without_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said what to install where nats-py is missing."""
    monkeypatch.setitem(sys.modules, "nats", None)
    for name in [n for n in sys.modules if n.startswith(("nats.", "saltapi.bridge.nats"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "saltapi.engine.store.nats", raising=False)
    with pytest.raises(CannotStart, match="pip install"):
        choice.store_for({"cachedir": "/c", "saltapi_store": "nats://a"}, "m")
