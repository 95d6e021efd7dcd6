"""
Random permissions and random commands: what ran must be what Salt allows, one function at a time.

`python -m tests.fuzz --help` says how to run it; `make fuzz` does so with 10,000 cases.
"""
