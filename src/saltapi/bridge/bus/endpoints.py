"""Where the two ends of the master's event bus are: `pub` gives events, `pull` takes them."""

import os

from saltapi.types import Opts


def unix_end(opts: Opts, kind: str) -> str:
    """Return the path of the bus's `pub` or `pull` socket."""
    return os.path.join(opts["sock_dir"], f"master_event_{kind}.ipc")


def tcp_end(opts: Opts, kind: str) -> tuple[str, int]:
    """Return host and port of the bus's `pub` or `pull` end for `ipc_mode: tcp`."""
    return "127.0.0.1", int(opts[f"tcp_master_{kind}_port"])
