"""Why a target did not match a minion: part by part, by what the master knows now."""

import json
import re
from typing import Any

from saltapi.bridge.fleet.minion_data import grain_at
from saltapi.bridge.jobs.registered import RegisteredJob
from saltapi.engine.fleet.listing import GRAINS, Minions, needed_to_match
from saltapi.engine.fleet.sight import Sight
from saltapi.errors import SaltApiError
from saltapi.types import MinionId, Session

PARTS_LIMIT = 10
TEXT_CHARACTERS = 200
WORDS = frozenset({"and", "or", "not", "(", ")"})
NAMES = re.compile(r"[LE]@|[^@]+$")
"""Parts of a compound target that are about names alone."""
GRAIN = {"grain": "", "compound": "G@"}
"""What stands in front of a grain, by the type of the target."""


async def parts_of(
    minions: Minions, session: Session, sight: Sight, job: RegisteredJob, minion: MinionId
) -> list[str]:
    """
    Return sentences that say which parts of a job's target match a minion.

    Args:
        minions: Knows whom a target matches.
        session: Who asks.
        sight: What that session may see.
        job: The job, which was not for the minion.
        minion: One that the session may see.
    """
    tgt, tgt_type = job.tgt, job.tgt_type or "glob"
    if tgt is None:
        return ["The target of the job is not known any more."]
    if not isinstance(tgt, str):
        return ["The target was a list of names without this one."]
    parts = [tgt]
    if tgt_type == "compound":
        parts = list(dict.fromkeys(word for word in tgt.split() if word not in WORDS))
    whole = [tgt] if len(parts) > 1 else []
    return [
        await _one(minions, session, sight, job, minion, part, tgt_type)
        for part in (*parts[:PARTS_LIMIT], *whole)
    ]


async def _one(
    minions: Minions,
    session: Session,
    sight: Sight,
    job: RegisteredJob,
    minion: MinionId,
    tgt: str,
    tgt_type: str,
) -> str:
    named = f"{tgt_type} {_short(tgt)}"
    by_name = tgt_type == "compound" and " " not in tgt and NAMES.match(tgt) is not None
    needed = () if by_name else needed_to_match(tgt, tgt_type)
    if not all(sight.may_run(fun, minion) for fun in needed):
        return f"Whether the {named} matches it, you may not know."
    try:
        matching = await minions.matching(session, tgt, tgt_type, delimiter=job.delimiter)
    except SaltApiError:
        return f"Whether the {named} matches it cannot be told."
    verb = "matches" if minion in matching else "does not match"
    return f"The {named} {verb} it now{await _grain(minions, sight, job, minion, tgt, tgt_type)}."


async def _grain(
    minions: Minions, sight: Sight, job: RegisteredJob, minion: MinionId, tgt: str, tgt_type: str
) -> str:
    """Return what a grain is that a target is about; nothing if it is about none."""
    mark, delimiter = GRAIN.get(tgt_type), str(job.delimiter or ":")
    path, parted, _ = tgt.removeprefix(mark or "").rpartition(delimiter)
    if mark is None or not tgt.startswith(mark) or " " in tgt or not parted:
        return ""
    if not sight.may_run(GRAINS, minion) or not minions.fleet.readable:
        return ""
    grains = (await minions.fleet.data.grains([minion])).get(minion, {})
    return f"; its {_short(path)} is {_short(grain_at(grains, path, delimiter))}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= TEXT_CHARACTERS else f"{text[:TEXT_CHARACTERS]}…"
