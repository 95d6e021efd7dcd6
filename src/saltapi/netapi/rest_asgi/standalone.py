"""The module of the master config that `SALT_MASTER_CONFIG` names, made with the first request."""

from saltapi.netapi.rest_asgi.app import create_app
from saltapi.process.module import Standalone

shared = Standalone(create_app).get
"""Return the application of this process."""
