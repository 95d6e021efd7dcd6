"""
Salt's own `salt-api`, in whose rest_cherrypy a session is open already, for a token of Salt's.

    python -P seeded.py SESSION_FILE CONFIG_DIR

The file has the id of the session and the token, and is read before the daemon changes its user.
Salt's module takes a token of Salt's only at `/run`, and everywhere else the id of a session, which
it keeps in memory; this way nobody's password is needed.
"""

import datetime
import sys
from pathlib import Path


def main() -> None:
    """Open the session, and become `salt-api`."""
    session, token = Path(sys.argv[1]).read_text().split()
    try:
        from cherrypy.lib.sessions import RamSession
    except ImportError:
        pass  # rest_tornado, which has no sessions, needs no CherryPy
    else:
        ends = datetime.datetime.now() + datetime.timedelta(days=1)
        RamSession.cache[session] = ({"token": token}, ends)
    sys.argv = ["salt-api", "-c", sys.argv[2]]
    import salt.scripts

    salt.scripts.salt_api()


if __name__ == "__main__":
    main()
