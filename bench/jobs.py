"""
A program: fill a job cache, as Salt's `local_cache` writes it.

    python -m bench.jobs CONFIG_DIR COUNT DIRECTORY
"""

import sys

import salt.config
import salt.returners.local_cache as cache

FIRST_JID = 20260101000000000000
MINION = "sim-0"


def main(config_dir: str, count: int, directory: str) -> None:
    """Put *count* jobs, each with one return, into *directory*."""
    opts = salt.config.master_config(f"{config_dir}/master")
    cache.__opts__ = opts
    cache._job_dir = lambda: directory
    for number in range(count):
        jid = str(FIRST_JID + number)
        load = {"tgt": MINION, "tgt_type": "glob", "fun": "test.ping", "arg": [], "user": "root"}
        cache.prep_jid(passed_jid=jid)
        cache.save_load(jid, {**load, "jid": jid, "ret": "", "cmd": "publish"}, [MINION])
        cache.returner(
            {"jid": jid, "id": MINION, "return": True, "retcode": 0, "success": True}
            | {"fun": "test.ping", "fun_args": [], "cmd": "_return"}
        )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
