"""Jobs: who is expected, who answered, who is missing, and what has been seen of late.

It puts requests and bus together.
"""
