"""What `saltapi demo` tells people who want to try it."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

from saltapi.demo.master import PrivateMaster

WITH_SESSIONS = ("rest_asgi", "rest_cherrypy")
"""The modules that the commands with a token may go to, the best first."""


def instructions(urls: Mapping[str, str], master: PrivateMaster) -> str:
    """Return addresses, credentials and commands to paste."""
    facts = {
        **urls,
        "user": master.username,
        "password": master.password,
        "eauth": master.eauth,
        "config": str(master.config_dir),
    }
    width = max(map(len, facts))
    lines = ["", *(f"  {name:{width}}  {value}" for name, value in facts.items())]
    with_sessions = next((urls[name] for name in WITH_SESSIONS if name in urls), None)
    commands = [
        *(with_token(with_sessions, master) if with_sessions is not None else ()),
        *(with_results(urls["rest_asgi"]) if "rest_asgi" in urls else ()),
        *(with_credentials(urls["rest_wsgi"], master) if "rest_wsgi" in urls else ()),
    ]
    if "rest_asgi" in urls:
        lines += ["", f"In a browser: {urls['rest_asgi']}/docs describes every URL, and tries it."]
    if commands:
        lines += ["", "Commands to paste into another terminal:"]
    for command in commands:
        lines += ["", command]
    return "\n".join([*lines, "", "Ctrl-C takes everything down."])


def with_token(url: str, master: PrivateMaster) -> list[str]:
    """Return a login at a module with sessions, and commands with the token that it gives."""
    fields = [shlex.quote(f"{name}={value}") for name, value in master.credentials().items()]
    login = " ".join(["curl -sS -o /dev/null -D -", f"{url}/login", *(f"-d {f}" for f in fields)])
    header = '-H "X-Auth-Token: $TOKEN"'
    return [
        f"TOKEN=$({login} \\\n  | sed -n 's/^X-Auth-Token: //p' | tr -d '\\r')",
        f"curl -sS {url} {header} -d client=local -d tgt='*' -d fun=test.ping",
        f"curl -sS {url}/minions/{some_minion(master)} {header}",
        f"curl -sS {url}/jobs {header} -H 'Accept: application/x-yaml'",
    ]


def with_results(url: str) -> list[str]:
    """Return a command of rest_asgi's own, which shows each result as it comes."""
    body = shlex.quote(json.dumps({"tgt": "*", "fun": "test.ping"}))
    return [
        f'curl -sSN {url}/v1/run -H "X-Auth-Token: $TOKEN" \\\n'
        "    -H 'Accept: application/x-ndjson' -H 'Content-Type: application/json' \\\n"
        f"    -d {body}"
    ]


def with_credentials(url: str, master: PrivateMaster) -> list[str]:
    """Return commands for `rest_wsgi`, with name and password in each chunk."""
    chunks = examples(some_minion(master))
    return [curl(url, chunk | master.credentials()) for chunk in chunks]


def examples(minion: str) -> list[dict[str, Any]]:
    """Return chunks worth a try."""
    return [
        {"client": "local", "tgt": "*", "fun": "test.ping"},
        {"client": "local", "tgt": minion, "fun": "cmd.run", "arg": ["uptime"]},
        {"client": "runner", "fun": "manage.status"},
    ]


def some_minion(master: PrivateMaster) -> str:
    """Return the id of a minion, or a target that is as good as one."""
    return next(iter(master.minion_ids), "*")


def curl(url: str, chunk: dict[str, Any]) -> str:
    """Return a command that sends *chunk* to `rest_wsgi`."""
    body = shlex.quote(json.dumps([chunk]))
    return f"curl -sS {url}/ -H 'Content-Type: application/json' \\\n  -d {body}"
