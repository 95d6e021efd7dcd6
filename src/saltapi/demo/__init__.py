"""
`saltapi demo`: a private Salt master, its minions and the API, taken down on Ctrl-C.

`PrivateMaster` is what the tests use as well.
"""

from saltapi.demo.command import add_arguments, main, run
from saltapi.demo.master import PrivateMaster

__all__ = ["PrivateMaster", "add_arguments", "main", "run"]
