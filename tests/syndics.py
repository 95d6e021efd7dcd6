"""A master of masters: a real master, another one below it, and the syndic between them."""

import sys
from types import TracebackType
from typing import Self

from saltapi.demo import PrivateMaster
from saltapi.demo.master import HOST, write_yaml
from saltapi.process.programs import Program
from tests.conftest import MINION_OPTIONS, PATIENT, USERS
from tests.waiting import scaled

START_SECONDS = 60.0
SYNDIC_ID = "syndic-1"
# Salt 3008.4 cancels the task of a syndic's connection after its first message, and the syndic
# hangs at the next; where Salt has no such method it is not needed.
START = """\
import salt.utils.asynchronous as a
if hasattr(a.SyncWrapper, "_task_is_orphan"):
    a.SyncWrapper._task_is_orphan = classmethod(lambda *_: False)
import sys
sys.argv[0] = "salt-syndic"
import salt.scripts
salt.scripts.salt_syndic()
"""


class MasterOfMasters:
    """
    Two masters, their minions, and a syndic.

    Attributes:
        top: The master of masters, with `top-1`.
        below: The master below it, with `far-1` and `far-2`.
        syndic: The syndic `SYNDIC_ID` of `below`.
    """

    def __init__(self) -> None:
        # The master of masters waits for the syndic as for a minion, so its patience is short.
        seconds = round(scaled(2))
        wait = {"syndic_wait": seconds, "timeout": seconds, "gather_job_timeout": seconds}
        self.top = PrivateMaster(
            minions=["top-1"],
            users=USERS,
            options={"order_masters": True, **wait},
            minion_options=MINION_OPTIONS,
        )
        above = {"syndic_master": HOST, "syndic_master_port": self.top.request_port}
        self.below = PrivateMaster(
            minions=["far-1", "far-2"],
            options={**PATIENT, **above, "syndic_event_forward_timeout": 0.1},
            minion_options=MINION_OPTIONS,
        )
        self.syndic = self._syndic()

    def _syndic(self) -> Program:
        own = self.below.directory / "syndic"
        for folder in ("pki", "cache", "s"):
            (own / folder).mkdir(parents=True)
        # What a syndic has of a minion: its id and its keys at the master above.
        options = {
            "id": SYNDIC_ID,
            "root_dir": str(own),
            "pki_dir": str(own / "pki"),
            "cachedir": str(own / "cache"),
            "publish_port": self.top.publish_port,
            "acceptance_wait_time": 1,
        }
        write_yaml(self.below.config_dir / "minion", options)
        command = [sys.executable, "-P", "-c", START, "-c", str(self.below.config_dir)]
        return self.below.program("syndic", command)

    def __enter__(self) -> Self:
        try:
            for master in (self.top, self.below):
                master.start()
            for master in (self.top, self.below):
                master.wait_ready(timeout=scaled(START_SECONDS))
            self.syndic.start()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End everything."""
        self.syndic.kill()
        self.below.stop()
        self.top.stop()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
