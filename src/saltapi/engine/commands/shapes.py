"""What the client interfaces show of a job, in the shapes of the installed Salt."""

from collections.abc import Mapping
from typing import Any

from saltapi.bridge.jobs.jobs import Return
from saltapi.bridge.jobs.states import MinionState
from saltapi.bridge.salt_line import SALT_LINE


def shape(found: Return, full_return: bool) -> Any:
    """
    Return what a local client shows for one minion, as the installed Salt does.

    Salt 3007 shows `false` for a minion that stayed silent, 3008 a sentence; both show the
    sentence for a name in a list target that the master does not know.
    """
    if not found.silent:
        if not full_return:
            return found.data["return"]
        full = {"ret": found.data["return"]}
        full.update({k: found.data[k] for k in ("out", "retcode", "jid") if k in found.data})
        return full
    if SALT_LINE < 3008 and not found.missing:
        return False
    sentence = _silent_sentence(found)
    if full_return:
        return {"out": "no_return", "ret": sentence, "retcode": 1}
    return sentence


def wheel_shape(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return of the event of a wheel function what the installed Salt's master answers."""
    stamp = ("_stamp",) if SALT_LINE < 3008 else ()
    keys = ("fun", "jid", "tag", "user", *stamp, "return", "success")
    return {key: data[key] for key in keys if key in data}


def _silent_sentence(found: Return) -> str:
    if found.state == MinionState.NOT_CONNECTED:
        return "Minion did not return. [Not connected]"
    return (
        "Minion did not return. [No response]\n"
        "The minions may not have all finished running and any remaining minions will return upon"
        " completion. To look up the return data for this job later, run the following command:"
        f"\n\nsalt-run jobs.lookup_jid {found.jid}"
    )
