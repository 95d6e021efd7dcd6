"""`sessions`: logins, and requests that do nothing but need a session."""

from collections.abc import Iterator

from bench.contestants import Contestant
from bench.http11 import request
from bench.scenario import RATE_FIGURES, Figure, Scenario, Visit
from bench.worlds import REAL

CLIENTS = 10


def sessions(visit: Visit) -> Iterator[Figure]:
    """Log in again and again; then run an empty lowstate again and again."""
    more = {
        "clients": CLIENTS,
        "seconds": visit.pick(full=1.0, quick=0.4, tiny=0.2),
        "warm_up_seconds": visit.pick(full=0.2, quick=0.1, tiny=0.0),
    }
    if visit.contestant.is_bare:
        yield from visit.bare("login", "login", **more)
        return
    login = request("POST", "/login", visit.world.master.credentials())
    yield from visit.load("login", login, expect='"token"', **more)
    nothing = request("POST", "/", [], visit.headers)
    yield from visit.load("empty lowstate", nothing, expect='{"return": []}', **more)


def can_log_in(contestant: Contestant, _world: str) -> bool:
    """Return whether *contestant* makes tokens."""
    return contestant.login or contestant.is_bare


SESSIONS = Scenario(
    name="sessions",
    title=f"logins, and an empty lowstate with a session, {CLIENTS} clients",
    run=sessions,
    figures=RATE_FIGURES,
    worlds=(REAL,),
    contestants=can_log_in,
)
