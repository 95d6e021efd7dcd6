"""
Wait until a master answers and minions too, saying so line by line.

Run as a script (`python probe.py CONFIG_DIR MINION…`), in a process of its own because Salt's
blocking clients leave loops and sockets behind. Prints `master` when the master answers and
`minion <id>` for every minion that does, then ends with status 0. It never gives up: whoever
started it has the deadline.

A slow machine is not given more to do: a `test.ping` stays open until it is answered, however late,
and another one goes out only to a minion that has just started, or after a pause that doubles.
"""

import socket
import sys
import time
from typing import Any

import salt.channel.client
import salt.client
import salt.config
import salt.exceptions
import salt.utils.jid

FIRST_PAUSE_SECONDS = 2.0
"""How long the first `test.ping` is waited for before there is another; each one doubles it."""
LONGEST_PAUSE_SECONDS = 60.0
PAUSE_SECONDS = 0.2
REQUEST_SECONDS = 2
PUBLISH_SECONDS = 30


def main(argv: list[str]) -> int:
    """Wait for the master of *argv[1]*, then for the minions named after it."""
    opts = salt.config.master_config(f"{argv[1]}/master")
    opts["request_channel_timeout"] = REQUEST_SECONDS
    opts["request_channel_tries"] = 1
    missing = set(argv[2:])
    while not master_answers(opts):
        time.sleep(PAUSE_SECONDS)
    say("master")
    # Not before: a client reads the key that a master makes when it starts.
    with salt.client.LocalClient(mopts=opts) as client:
        Pings(client, missing).run()
    return 0


def say(line: str) -> None:
    """Print *line* at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def master_answers(opts: dict[str, Any]) -> bool:
    """Tell whether the master answers a request."""
    address = ("127.0.0.1", opts["ret_port"])
    try:
        socket.create_connection(address, REQUEST_SECONDS).close()
        uri = "tcp://{}:{}".format(*address)
        channel = salt.channel.client.ReqChannel.factory(opts, crypt="clear", master_uri=uri)
        with channel:
            return bool(channel.send({"cmd": "ping"}, timeout=REQUEST_SECONDS, tries=1))
    except (OSError, salt.exceptions.SaltException):
        return False


class Pings:
    """Jobs that ask minions whether they are there, until all have answered."""

    def __init__(self, client: salt.client.LocalClient, missing: set[str]) -> None:
        self._client = client
        self._missing = missing
        self._jids: set[str] = set()
        self._next_at = time.monotonic()
        self._pause = FIRST_PAUSE_SECONDS

    def run(self) -> None:
        """Return when none is missing; each one that answers is told."""
        while self._missing:
            if time.monotonic() >= self._next_at:
                self._publish(self._missing)
                self._next_at = time.monotonic() + self._pause
                self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)
            event = self._client.event.get_event(wait=0.5, tag="salt/", full=True)
            if event:
                self._take(event["tag"].split("/"))

    def _take(self, tag: list[str]) -> None:
        """Look at an event: the answer to any of our jobs, or the start of a minion."""
        match tag:
            case ["salt", "job", jid, "ret", minion] if jid in self._jids:
                if minion in self._missing:
                    self._missing.discard(minion)
                    say(f"minion {minion}")
            case ["salt", "minion", minion, "start"] if minion in self._missing:
                self._publish({minion})

    def _publish(self, minions: set[str]) -> None:
        """Ask *minions*; that the master's own answer is late or wrong changes nothing."""
        jid = salt.utils.jid.gen_jid(self._client.opts)
        self._jids.add(jid)
        options = {"tgt_type": "list", "jid": jid, "listen": True, "timeout": PUBLISH_SECONDS}
        try:
            self._client.pub(sorted(minions), "test.ping", **options)
        except salt.exceptions.SaltException:
            return


if __name__ == "__main__":
    sys.exit(main(sys.argv))
