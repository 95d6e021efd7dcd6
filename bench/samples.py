"""What the load generators tell of many times: how many, and how they are spread."""

from collections.abc import Sequence
from typing import Any


def percentile(sorted_values: Sequence[float], share: float) -> float:
    """Return the value below which *share* (0 to 1) of the values are; 0.0 if there are none."""
    if not sorted_values:
        return 0.0
    return sorted_values[min(len(sorted_values) - 1, int(share * len(sorted_values)))]


def latency(seconds: Sequence[float]) -> dict[str, Any]:
    """Return median, 99th percentile and worst of *seconds*, in milliseconds."""
    ordered = sorted(seconds)
    return {
        "median_ms": 1000 * percentile(ordered, 0.5),
        "p99_ms": 1000 * percentile(ordered, 0.99),
        "worst_ms": 1000 * (ordered[-1] if ordered else 0.0),
    }
