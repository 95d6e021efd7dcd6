"""How far the minions of one job are with their states, within bounds."""

from collections import OrderedDict

from saltapi.bridge.bus.events import Event
from saltapi.bridge.jobs.state_results import Counts, StateResult
from saltapi.types import MinionId

OVERHEAD_BYTES = 400
"""What is known of one minion takes about so much."""


class MinionProgress:
    """How far one minion is."""

    __slots__ = ("counts", "ended", "events", "heard", "last", "number", "of", "version")

    def __init__(self) -> None:
        self.number = 0
        """The state that was told of last, from 1; 0 while none was."""
        self.of: int | None = None
        """How many there are; None if it is not known."""
        self.last: tuple[object, object, str | None] = (None, None, None)
        """Its id, name and function."""
        self.counts = Counts()
        self.events: dict[int, Event] = {}
        """The events of states that the minion has told of, by number, until it returns."""
        self.heard = 0
        """One bit for each state that was told of."""
        self.ended = False
        """Whether the minion has returned; its return has all states."""
        self.version = 0
        """`JobProgress.version` when it last changed."""


class JobProgress:
    """The minions of a job that have told of states."""

    def __init__(self) -> None:
        self.minions: OrderedDict[MinionId, MinionProgress] = OrderedDict()
        """Those that changed last at the end."""
        self.version = 0
        """Grows with every change."""

    def happened(
        self,
        minion: MinionId,
        of: int | None,
        state: StateResult,
        event: Event,
        room_bytes: int,
    ) -> int:
        """
        Note that *minion* has told of a state; the first event of each counts.

        Args:
            minion: The minion.
            of: How many states it runs.
            state: What *event* says.
            event: The event.
            room_bytes: How much of it may be kept; of more there are only counts.

        Returns:
            How many bytes are kept more.
        """
        grown = 0
        known = self.minions.get(minion)
        if known is None:
            known = self.minions[minion] = MinionProgress()
            grown = OVERHEAD_BYTES
        bit = 1 << (state.number - 1)
        if known.ended or known.heard & bit:
            return grown
        known.heard |= bit
        known.of = max(of or 0, known.of or 0, state.number)
        known.number = state.number
        known.last = (state.id, state.name, state.fun)
        known.counts.add(state.result, state.changes)
        if grown + event.size_bytes <= room_bytes:
            known.events[state.number] = Event(event.id, event.tag, event.payload)
            grown += event.size_bytes
        self._touch(minion, known)
        return grown

    def ended(self, minion: MinionId, counts: Counts) -> int:
        """Note that *minion* has returned its states; return how many bytes are kept more."""
        known = self.minions.get(minion)
        grown = 0
        if known is None:
            known = self.minions[minion] = MinionProgress()
            grown = OVERHEAD_BYTES
        grown -= sum(event.size_bytes for event in known.events.values())
        known.ended, known.counts, known.events = True, counts, {}
        self._touch(minion, known)
        return grown

    def changed_since(self, version: int) -> list[MinionId]:
        """Return the minions that have changed since then, in the order of their last change."""
        found: list[MinionId] = []
        for minion, known in reversed(self.minions.items()):
            if known.version <= version:
                break
            found.append(minion)
        return found[::-1]

    def totals(self) -> Counts | None:
        """Return the counts of all minions together; None if none has told of a state."""
        if not self.minions:
            return None
        counts = Counts()
        for known in self.minions.values():
            counts.add_all(known.counts)
        return counts

    def _touch(self, minion: MinionId, known: MinionProgress) -> None:
        self.version += 1
        known.version = self.version
        self.minions.move_to_end(minion)
