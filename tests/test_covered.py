"""The figures of `make coverage`."""

from tests.covered import percents


def test_percents() -> None:
    """Lines and branches count alike, for each folder of the package."""
    files = {
        "src/saltapi/types.py": (8, 10, 0, 0),
        "src/saltapi/bridge/bus.py": (10, 10, 5, 10),
        "src/saltapi/bridge/hub.py": (10, 10, 10, 10),
        "src/saltapi/netapi/rest_asgi/app.py": (1, 2, 0, 2),
        "src/saltapi/netapi/rest_wsgi.py": (1, 1, 0, 0),
        "src/saltapi/netapi/rest_asgi/docs/__init__.py": (0, 0, 0, 0),
    }
    keys = ("covered_lines", "num_statements", "covered_branches", "num_branches")
    report = {
        "files": {
            path: {"summary": dict(zip(keys, counts, strict=True))}
            for path, counts in files.items()
        }
    }
    expected = {"(root)": 80.0, "bridge": 87.5, "netapi": 100.0, "netapi/rest_asgi": 25.0}
    assert expected == percents(report)
