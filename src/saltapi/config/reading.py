"""The master's config, read as Salt reads it."""

from pathlib import Path

from saltapi.config.files import ConfigFiles
from saltapi.errors import CannotStart
from saltapi.types import Opts

DEFAULT_CONFIG_DIR = "/etc/salt"
SUPPORTED_SALT_LINES = (3007, 3008)


def require_supported_salt() -> str:
    """
    Return the version of the installed Salt.

    Raises:
        CannotStart: There is none, or it is of a line that is not supported.
    """
    lines = " and ".join(map(str, SUPPORTED_SALT_LINES))
    try:
        from salt.version import __saltstack_version__ as version
    except ImportError as error:
        raise CannotStart(f"Salt is not installed; saltapi needs Salt {lines}.") from error
    if version.major not in SUPPORTED_SALT_LINES:
        raise CannotStart(f"saltapi supports Salt {lines}; installed is {version}.")
    return str(version)


def load(config_dir: str | Path = DEFAULT_CONFIG_DIR) -> Opts:
    """
    Return the master's options as Salt's own `salt-api` loads them.

    Args:
        config_dir: The directory that holds the file `master`, or that file itself.

    Raises:
        CannotStart: The file is missing, unreadable or no valid master config, or the
            installed Salt is not supported.
    """
    require_supported_salt()
    import salt.config
    import salt.exceptions

    path = Path(config_dir)
    if path.is_dir():
        path = path / "master"
    try:
        path.open("rb").close()
    except OSError as error:
        raise CannotStart(
            f"The master config {path} cannot be read: {error.strerror}."
            " Name its directory with -c."
        ) from error
    try:
        opts = salt.config.api_config(str(path))
    except salt.exceptions.SaltConfigurationError as error:
        raise CannotStart(f"The master config {path} is wrong: {error}") from error
    except (SystemExit, UnicodeDecodeError) as error:  # Salt ends where a file is no valid YAML
        raise CannotStart(_problem(path)) from error
    return dict(opts)


def _problem(path: Path) -> str:
    """Return what keeps the master config at *path* from being read, with its place."""
    return next(iter(ConfigFiles(path).problems()), f"The master config {path} cannot be read.")
