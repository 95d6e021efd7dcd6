"""How the children of a process are, for the children themselves to see."""

import mmap
import struct


class Tally:
    """What a process knows of its children, shown to them: they share the memory."""

    _FORM = struct.Struct("QQ")

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, self._FORM.size)

    @property
    def ended(self) -> int:
        """How many have ended without being asked to."""
        return int(self._FORM.unpack(self._memory)[0])

    @property
    def missing(self) -> int:
        """How many do not answer now."""
        return int(self._FORM.unpack(self._memory)[1])

    def set(self, *, ended: int, missing: int) -> None:
        """Show other numbers."""
        self._FORM.pack_into(self._memory, 0, ended, missing)
