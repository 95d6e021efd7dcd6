"""Jobs as resources: list, record, wait, rerun and terminate.

They stand on the job registry of the bridge and on commands.
"""
