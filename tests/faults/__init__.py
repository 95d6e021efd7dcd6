"""Faults made for real: what clients see, and how it recovers. `make faults` prints a table."""
