"""The module of the master config that `SALT_MASTER_CONFIG` names, made with the first request."""

import functools
import os

from saltapi import config
from saltapi.netapi.rest_asgi.app import Application, create_app


@functools.cache
def shared() -> Application:
    """
    Return the application of this process.

    Raises:
        CannotStart: The master config cannot be read, or an option is wrong.
    """
    path = os.environ.get("SALT_MASTER_CONFIG", f"{config.DEFAULT_CONFIG_DIR}/master")
    return create_app(config.load(path))
