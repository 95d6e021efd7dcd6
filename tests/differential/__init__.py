"""
Our netapi modules against Salt's own: the same requests to both, on the same master.

`corpus` has the requests. `saltapi.check.against` sends them, finds what differs in the answers,
and knows which differences are meant, each by its line in `docs/compatibility.md`.
"""
