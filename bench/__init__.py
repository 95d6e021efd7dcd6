"""
How fast saltapi is, beside Salt's own netapi modules and beside the bare master.

    python -m bench [NAME…] [--quick] [--json FILE] [--svg FILE]

`docs/performance.md` says what is measured and how.
"""
