"""All scenarios, in the order in which they are done and shown."""

from bench.scenario import Scenario
from bench.scenarios.burst import BURST
from bench.scenarios.commands import ASYNC, COMMAND
from bench.scenarios.functions import FUNCTIONS_SCENARIO
from bench.scenarios.growth import GROWTH
from bench.scenarios.hooks import HOOK
from bench.scenarios.ingest import INGEST
from bench.scenarios.listeners import LISTENERS
from bench.scenarios.sessions import SESSIONS
from bench.scenarios.start import START
from bench.scenarios.waiting import WAITING
from bench.scenarios.wide import WIDE

SCENARIOS: list[Scenario] = [
    START,
    COMMAND,
    ASYNC,
    FUNCTIONS_SCENARIO,
    SESSIONS,
    HOOK,
    WIDE,
    WAITING,
    LISTENERS,
    BURST,
    INGEST,
    GROWTH,
]
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
