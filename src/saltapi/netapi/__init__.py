"""The netapi modules: each binds a port and translates; none decides anything about Salt."""
