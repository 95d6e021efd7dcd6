"""Whether a module has an event log, by the options `saltapi_event_log` and `saltapi_store`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saltapi.bridge.bus.hub import Hub
from saltapi.config.event_log import OPTION, event_log_of
from saltapi.config.shared_store import store_of
from saltapi.engine.events.subjects import Subjects
from saltapi.errors import CannotStart
from saltapi.types import Opts

if TYPE_CHECKING:  # it needs nats-py, which only those have who want it
    from saltapi.engine.events.log.log import EventLog


def event_log_for(opts: Opts, hub: Hub, subjects: Subjects | None = None) -> EventLog | None:
    """
    Return the log that *opts* want; None if they want none. Nothing is opened before it starts.

    Args:
        opts: The master's options.
        hub: The events of this master.
        subjects: Tells what they are about; made here if there is none.

    Raises:
        CannotStart: An option is wrong, or names what is not there.
    """
    section, store = event_log_of(opts), store_of(opts)
    if section is None or store is None:
        return None
    try:
        from saltapi.engine.events.log.log import EventLog
    except ModuleNotFoundError as error:
        raise CannotStart(f"{OPTION} needs nats-py: pip install 'saltapi[nats]'.") from error
    if subjects is None:
        subjects = Subjects(hub.starts)
        hub.observe(subjects.note)
    return EventLog(hub, subjects, store, section)
