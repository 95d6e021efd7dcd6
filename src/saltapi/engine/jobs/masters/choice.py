"""Whether a module knows other masters, by the option `saltapi_store`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saltapi.config.event_log import master_name_of
from saltapi.config.shared_store import store_of

if TYPE_CHECKING:  # it needs nats-py, which only those have who want it
    from saltapi.engine.jobs.masters.masters import Masters
    from saltapi.types import Opts


def masters_for(opts: Opts, module: str) -> Masters | None:
    """
    Return the other masters; None without servers, or without a secret that all of them have.

    Raises:
        CannotStart: An option is wrong, or names what is not there.
    """
    section = store_of(opts)
    if section is None or not section.secret_file:
        return None
    from saltapi.engine.jobs.masters.masters import Masters

    return Masters(section, module, master_name_of(opts))
