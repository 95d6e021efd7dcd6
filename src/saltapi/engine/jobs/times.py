"""Times as records and documents have them."""

import datetime


def time_text(moment: float | None) -> str | None:
    """Return seconds since the epoch in ISO 8601, UTC."""
    if moment is None:
        return None
    found = datetime.datetime.fromtimestamp(moment, datetime.UTC)
    return found.isoformat(timespec="milliseconds").replace("+00:00", "Z")
