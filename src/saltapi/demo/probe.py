"""
Wait until a master answers and minions too, saying so line by line.

Run as a script (`python probe.py CONFIG_DIR MINION…`), in a process of its own because Salt's
blocking clients leave loops and sockets behind. Prints `master` when the master answers and
`minion <id>` for every minion that does, then ends with status 0. It never gives up: whoever
started it has the deadline.
"""

import socket
import sys
import time
from typing import Any

import salt.channel.client
import salt.client
import salt.config
import salt.exceptions

ANSWER_SECONDS = 1.0
"""The wait for the answers to the first `test.ping`; each that nobody answers doubles it."""
LONGEST_SECONDS = 16.0
PAUSE_SECONDS = 0.2
REQUEST_SECONDS = 2


def main(argv: list[str]) -> int:
    """Wait for the master of *argv[1]*, then for the minions named after it."""
    opts = salt.config.master_config(f"{argv[1]}/master")
    opts["request_channel_timeout"] = REQUEST_SECONDS
    opts["request_channel_tries"] = 1
    missing = set(argv[2:])
    seconds = ANSWER_SECONDS
    while not master_answers(opts):
        time.sleep(PAUSE_SECONDS)
    say("master")
    # Not before: a client reads the key that a master makes when it starts.
    with salt.client.LocalClient(mopts=opts) as client:
        while missing:
            try:
                answered = ping(client, missing, seconds)
            except salt.exceptions.SaltException:
                answered = set()
            for minion in sorted(answered):
                say(f"minion {minion}")
            missing -= answered
            if missing and not answered:
                seconds = min(seconds * 2, LONGEST_SECONDS)
                time.sleep(PAUSE_SECONDS)
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


def ping(client: salt.client.LocalClient, minions: set[str], seconds: float) -> set[str]:
    """Return those of *minions* that answer a `test.ping` within *seconds*."""
    job = client.pub(sorted(minions), "test.ping", tgt_type="list", listen=True)
    answered: set[str] = set()
    deadline = time.monotonic() + seconds
    while job and answered < set(job["minions"]) and time.monotonic() < deadline:
        event = client.event.get_event(wait=0.2, tag=f"salt/job/{job['jid']}/ret")
        if event:
            answered.add(event["id"])
    return answered


if __name__ == "__main__":
    sys.exit(main(sys.argv))
