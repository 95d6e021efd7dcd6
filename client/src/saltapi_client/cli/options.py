"""What a command and an option are, the options of all commands, and `saltctl TARGET FUNCTION`."""

from __future__ import annotations

from typing import Any, NamedTuple


class Option(NamedTuple):  # dataclasses load `inspect`, which completion has no time for
    """An option, or an argument if its names do not begin with a dash; `how` is argparse's."""

    names: tuple[str, ...]
    help: str
    how: dict[str, Any]
    completes: str = ""
    """What the values are, for completion: minions, functions, jids, or words with spaces."""

    @property
    def takes_value(self) -> bool:
        """Whether the next word is its value."""
        return not str(self.how.get("action", "")).startswith("store")


class Command(NamedTuple):
    """A command; `home` is `module:function` below `saltapi_client.cli`."""

    name: str
    help: str
    home: str
    options: tuple[Option, ...] = ()
    examples: tuple[str, ...] = ()
    text: str = ""


def option(*names: str, help: str, completes: str = "", **how: Any) -> Option:  # noqa: A002
    return Option(names, help, how, completes)


OUTPUTS = "auto nested highstate yaml json ndjson table raw quiet"

COMMON = (
    option("--profile", help="the server and user that login has saved so", metavar="NAME"),
    option("--url", help="where the API is, https://host:port (SALTAPI_URL)", metavar="URL"),
    option("--user", help="who you are (SALTAPI_USER)", metavar="NAME"),
    option("--eauth", help="what knows you: pam, ldap, … (SALTAPI_EAUTH)", metavar="NAME"),
    option(
        "--password-stdin",
        help="log in with the first line of standard input (else SALTAPI_PASS)",
        action="store_true",
    ),
    option("--ca", help="a file of certificates to trust", metavar="FILE"),
    option("--cert", help="a client certificate", metavar="FILE"),
    option("--cert-key", help="the key of the client certificate", metavar="FILE"),
    option("--insecure", help="do not check the server's certificate", action="store_true"),
    option("--proxy", help="an HTTP proxy (else HTTPS_PROXY, HTTP_PROXY, NO_PROXY)", metavar="URL"),
    option(
        "--connect-timeout",
        help="seconds to wait for a connection or a short answer (30)",
        type=float,
        default=30.0,
        metavar="SECONDS",
    ),
    option(
        "--out",
        "--output",
        help=f"how results are written: {OUTPUTS.replace(' ', ', ')}",
        choices=OUTPUTS.split(),
        metavar="FORMAT",
        completes=OUTPUTS,
    ),
    option(
        "--color",
        help="colours: auto, always, never (NO_COLOR)",
        choices=["auto", "always", "never"],
        metavar="WHEN",
        completes="auto always never",
    ),
    option(
        "--no-color", help="as --color=never", action="store_const", const="never", dest="color"
    ),
)
RUNS = (
    option(
        "-t",
        "--timeout",
        help="after so many seconds silent minions are asked whether they still run it",
        type=float,
        metavar="SECONDS",
    ),
    option("--async", help="do not wait; print the jid", action="store_true", dest="asynchronous"),
    option(
        "--key", help="idempotency key: with the same one it does not run again", metavar="TEXT"
    ),
)
TARGETS = tuple(
    option(short, long, help=text, action="store_const", const=kind, dest="tgt_type")
    for short, long, kind, text in (
        ("-L", "--list", "list", "the target is a list of ids, a,b,c"),
        ("-E", "--pcre", "pcre", "the target is a regular expression"),
        ("-G", "--grain", "grain", "the target is a grain, os:Debian"),
        ("-P", "--grain-pcre", "grain_pcre", "the target is a grain by regular expression"),
        ("-C", "--compound", "compound", "the target is a compound of all of these"),
        ("-N", "--nodegroup", "nodegroup", "the target is a node group of the master"),
        ("-I", "--pillar", "pillar", "the target is a pillar value, role:web"),
        ("-J", "--pillar-pcre", "pillar_pcre", "the target is a pillar value by expression"),
        ("-S", "--ipcidr", "ipcidr", "the target is an address or a network"),
        ("-R", "--range", "range", "the target is a range expression"),
    )
)
JID = option("jid", help="the job", completes="jids")

SALT = Command(
    "TARGET",
    "run a function on minions, as `salt` does",
    "commands.running:salt",
    (
        *TARGETS,
        *RUNS,
        option("-b", "--batch", help="so many at once: 5, or 10%%", metavar="SIZE"),
        option(
            "--stages",
            help="how many are done after each stage, as 1,10%%,50%%,100%%; a failure stops the"
            " rest",
            metavar="SIZES",
        ),
        option(
            "--max-failed",
            help="how many may fail in all, before the rest is left out (0 with --stages)",
            type=int,
            metavar="N",
        ),
        option(
            "--batch-wait",
            help="seconds between two batches or stages",
            type=float,
            metavar="SECONDS",
        ),
        option("--dry-run", help="states only say what they would change", action="store_true"),
        option("words", help="target, function, arguments", nargs="*", metavar="TARGET FUN ARG"),
    ),
    (
        "saltctl '*' test.ping",
        "saltctl 'web*' state.apply nginx test=True",
        "saltctl -G os:Debian --batch 10% pkg.upgrade",
        "saltctl -L minion-1,minion-2 test.arg 1 name=value --out yaml",
    ),
    "Arguments are read as `salt` reads them: 1 is a number, {a: 1} a mapping, name=value a named"
    " one.",
)
