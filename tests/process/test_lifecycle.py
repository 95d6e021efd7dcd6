"""What a process that has become ready does with its memory."""

import subprocess
import sys

PROGRAM = """
import gc
from collections import deque
from saltapi.process import lifecycle

loaded = [[] for _ in range(1_000_000)]  # what modules are made of
lifecycle._announce("http://x")

class Request:
    def __init__(self):
        self.itself = self

recent = deque(maxlen=5_000)  # old enough not to be found among the young
most = 0
for number in range(300_000):
    recent.append(Request())
    if number % 10_000 == 0:
        most = max(most, sum(isinstance(found, Request) for found in gc.get_objects()))
print(most)
"""


def test_old_garbage_is_found() -> None:
    """However much was loaded before, what has ended later is looked for."""
    found = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True)
    assert int(found.stdout) < 150_000  # not a quarter of what was loaded
