"""Which store a module has, by the options `saltapi_store` and `store_directory`."""

import logging
from pathlib import Path

from saltapi.bridge.nats.sealing import Seal
from saltapi.config import EngineConfig
from saltapi.config.shared_store import OPTION, store_of
from saltapi.engine.store.mounts import network_file_system
from saltapi.engine.store.sealed import SealedStore
from saltapi.engine.store.sqlite import SqliteStore
from saltapi.engine.store.store import Store
from saltapi.errors import CannotStart
from saltapi.types import Opts

log = logging.getLogger(__name__)


def store_for(opts: Opts, name: str) -> Store:
    """
    Return the store of the module *name*; nothing is opened before it is needed.

    Raises:
        CannotStart: An option is wrong, or names what is not there.
    """
    directory, section = store_directory(opts), store_of(opts)
    if section is None:
        return SqliteStore(directory / f"{name}.sqlite")
    try:
        from saltapi.engine.store.nats import NatsStore
    except ModuleNotFoundError as error:
        raise CannotStart(f"{OPTION} needs nats-py: pip install 'saltapi[nats]'.") from error
    return NatsStore(section, name, directory)


def machine_store_for(opts: Opts, file: SqliteStore) -> Store:
    """
    Return what keeps tokens for machines: the shared store, where all machines have a secret.

    Args:
        opts: The master's options.
        file: What keeps them otherwise, of this machine alone.

    Raises:
        CannotStart: As `store_for`.
    """
    section = store_of(opts)
    if section is None or not section.secret_file:
        return file
    return SealedStore(store_for(opts, "tokens"), Seal(section.secret_file))


def is_shared(opts: Opts) -> bool:
    """Return whether other machines have the same store."""
    return store_of(opts) is not None


def store_directory(opts: Opts) -> Path:
    """
    Return where the files of stores are.

    Raises:
        CannotStart: The option names a directory of a network file system.
    """
    wanted = EngineConfig.of(opts).store_directory
    directory = Path(wanted) if wanted else Path(opts["cachedir"]) / "saltapi"
    kind = network_file_system(directory)
    if kind is not None and wanted:
        raise CannotStart(
            f"store_directory must be on a disk of this machine; {directory} is on {kind}."
        )
    if kind is not None and store_of(opts) is None:
        log.warning(
            "The files in %s are shared by the processes of this machine, and it is on %s, where"
            " SQLite may lose them; set store_directory to a directory on a disk.",
            directory,
            kind,
        )
    return directory
