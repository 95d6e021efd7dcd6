"""
What malloc of the C library keeps that the program has given back.

It has an area of its own for every thread, up to eight for each processor, takes memory from one
and frees it to one; what is free in one is of no use to the others, and hardly ever goes back to
the system. A process with a hundred threads grew by 10 MiB a minute so, while what it used stayed
the same. Python's lock lets one thread at a time ask anyway, so two areas are enough.
"""

import ctypes
import os

M_ARENA_MAX = -8
M_MMAP_THRESHOLD = -3
ARENAS = 2
ARENAS_VARIABLE = "MALLOC_ARENA_MAX"
MMAP_THRESHOLD_VARIABLE = "MALLOC_MMAP_THRESHOLD_"
MMAP_FROM_BYTES = 128 * 1024
"""Pieces from this size on go back to the system at once; the library would raise it by itself."""


def keep_less() -> None:
    """Let malloc keep little of what is freed; what the environment says to it holds."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # another C library, which has no such areas
        return
    if ARENAS_VARIABLE not in os.environ:
        mallopt(M_ARENA_MAX, ARENAS)
    if MMAP_THRESHOLD_VARIABLE not in os.environ:
        mallopt(M_MMAP_THRESHOLD, MMAP_FROM_BYTES)
