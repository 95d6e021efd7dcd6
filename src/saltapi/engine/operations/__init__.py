"""The operations: what can be asked of a master through any module, over plain values; and runs.

They use the rooms beside them; nothing below knows them.
"""
