"""
Our netapi modules against Salt's own: the same requests to both, on the same master.

`corpus` has the requests, `compare` finds what differs in the answers, `expected.yaml` says which
differences are meant, each with the line of `docs/compatibility.md` that gives the reason.
"""
