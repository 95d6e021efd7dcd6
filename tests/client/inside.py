"""`saltctl` in the process of the tests: its commands, and a terminal."""

import io
from collections.abc import Callable

Run = Callable[..., tuple[int, str]]
COMMANDS = {
    "whoami": ["whoami"],
    "salt": ["*", "test.ping"],
    "run": ["run", "jobs.active"],
    "wheel": ["wheel", "key.list_all"],
    "jobs": ["jobs"],
    "job": ["job", "1"],
    "diff": ["job", "1", "--diff", "2"],
    "follow": ["follow", "1"],
    "rerun": ["rerun", "1"],
    "stop": ["stop", "1"],
    "pause": ["pause", "1"],
    "resume": ["resume", "1"],
    "events": ["events", "--count", "1"],
    "minions": ["minions"],
    "why": ["why", "m"],
    "keys": ["keys"],
    "accept": ["keys", "accept", "a", "--yes"],
    "check": ["check", "*", "test.ping"],
    "hook": ["hook", "x"],
    "api": ["api", "GET", "/v1/x"],
    "docs": ["docs", "x"],
}


class Terminal(io.StringIO):
    """Standard output that says it is a terminal."""

    def isatty(self) -> bool:
        """Return that it is one."""
        return True
