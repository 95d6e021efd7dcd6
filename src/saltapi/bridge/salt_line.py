"""The line of the installed Salt: what differs between two of them is decided by it."""

from salt.version import __saltstack_version__ as salt_version

SALT_LINE: int = salt_version.major
