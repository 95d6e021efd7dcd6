"""Every command of `saltctl` with its options, arguments and examples."""

from __future__ import annotations

from saltapi_client.cli.options import JID, RUNS, TARGETS, Command, option

FUNCTION = option("words", help="function and arguments", nargs="+", metavar="FUN", completes="")

COMMANDS = (
    Command(
        "login",
        "log in, and save server and user as a profile",
        "commands.logins:login",
        (
            option("--token-expire", help="how long the token lives", type=int, metavar="SECONDS"),
            option("--no-save", help="do not save a profile", action="store_true"),
            option(
                "--device",
                help="log in by a browser, at an identity provider of the server's",
                action="store_true",
            ),
            option("--provider", help="at which one, by its name or issuer", metavar="NAME"),
        ),
        (
            "saltctl login --url https://salt:8000 --user ops --eauth pam",
            "saltctl login --url https://salt:8000 --user ops --password-stdin < secret",
            "saltctl login --profile prod --url https://salt:8000 --user ops --ca ca.pem",
        ),
        "The password is asked for, or read from standard input; it is never an argument. The token"
        " goes to the system's keyring, or to a file that only you may read.",
    ),
    Command(
        "logout",
        "end the session, on the server too",
        "commands.logins:logout",
        (),
        (
            "saltctl logout",
            "saltctl logout --profile prod",
            "saltctl logout --url https://salt:8000",
        ),
    ),
    Command(
        "whoami",
        "whose session it is, until when, and what it may do",
        "commands.logins:whoami",
        (),
        ("saltctl whoami", "saltctl whoami --out json", "saltctl whoami --profile prod"),
    ),
    Command(
        "run",
        "call a runner function of the master, as `salt-run` does",
        "commands.running:runner",
        (*RUNS, FUNCTION),
        (
            "saltctl run jobs.active",
            "saltctl run manage.status --out json",
            "saltctl run state.orchestrate orch.deploy pillar='{version: 2}'",
        ),
    ),
    Command(
        "wheel",
        "call a wheel function of the master",
        "commands.running:wheel",
        (*RUNS, FUNCTION),
        (
            "saltctl wheel key.list_all",
            "saltctl wheel key.finger match='minion-*' --out yaml",
            "saltctl wheel config.values --out json",
        ),
    ),
    Command(
        "jobs",
        "list jobs, the newest first",
        "commands.jobs:jobs",
        (
            option("--fun", help="only of functions like this", metavar="GLOB"),
            option("--by", help="only of this user", metavar="USER", dest="job_user"),
            option("--minion", help="only for this minion", metavar="GLOB", completes="minions"),
            option("--tgt", help="only with this target", metavar="GLOB"),
            option(
                "--state",
                help="running, complete, incomplete, failed",
                choices=["running", "complete", "incomplete", "failed", "unknown"],
                completes="running complete incomplete failed unknown",
            ),
            option("--since", help="only after this time, ISO 8601", metavar="TIME"),
            option("--until", help="only before this time, ISO 8601", metavar="TIME"),
            option("--limit", help="how many at most (20)", type=int, default=20, metavar="N"),
        ),
        (
            "saltctl jobs",
            "saltctl jobs --fun 'state.*' --state incomplete",
            "saltctl jobs --limit 100 --out ndjson",
        ),
    ),
    Command(
        "job",
        "show a job: what was asked of whom, and what came of it",
        "commands.jobs:job",
        (
            JID,
            option("--wait", help="answer when it has ended", action="store_true"),
            option(
                "--diff", help="only what differs from this job", metavar="JID", completes="jids"
            ),
        ),
        (
            "saltctl job 20261123180812345678",
            "saltctl job 20261123180812345678 --wait --out json",
            "saltctl job 20261123180812345678 --diff 20261122180812345678",
        ),
    ),
    Command(
        "follow",
        "show a job from its beginning, and go on until it ends",
        "commands.jobs:follow",
        (JID, option("--after", help="only what comes after this record", metavar="ID")),
        (
            "saltctl follow 20261123180812345678",
            "saltctl follow 20261123180812345678 --out ndjson",
            "saltctl follow 20261123180812345678 --after 5085b8b3eb17.AQ..",
        ),
    ),
    Command(
        "rerun",
        "run a job again, as a new job",
        "commands.jobs:rerun",
        (
            JID,
            option(
                "--failed",
                help="on the minions that have failed",
                action="store_const",
                const="failed",
                dest="which",
            ),
            option(
                "--missing",
                help="on the minions that have not returned",
                action="store_const",
                const="missing",
                dest="which",
            ),
            option(
                "--unsuccessful",
                help="on both",
                action="store_const",
                const="unsuccessful",
                dest="which",
            ),
            option(
                "--minions", help="on these of its minions, a,b", metavar="IDS", completes="minions"
            ),
            option("--yes", help="run what the server shows, unasked", action="store_true"),
        ),
        (
            "saltctl rerun 20261123180812345678",
            "saltctl rerun 20261123180812345678 --failed",
            "saltctl rerun 20261123180812345678 --minions minion-1 --yes",
        ),
    ),
    Command(
        "stop",
        "end a job on its minions: terminate, then kill",
        "commands.jobs:stop",
        (JID,),
        (
            "saltctl stop 20261123180812345678",
            "saltctl stop 20261123180812345678 --out json",
            "saltctl stop 20261123180812345678 --profile prod",
        ),
    ),
    Command(
        "pause",
        "let no stage of a change begin for now",
        "commands.jobs:pause",
        (JID,),
        (
            "saltctl pause 20261123180812345678",
            "saltctl pause 20261123180812345678 --out json",
            "saltctl pause 20261123180812345678 --profile prod",
        ),
        "What runs goes on. saltctl resume goes on with the next stage, saltctl stop ends it.",
    ),
    Command(
        "resume",
        "go on with a change in stages",
        "commands.jobs:resume",
        (JID,),
        (
            "saltctl resume 20261123180812345678",
            "saltctl resume 20261123180812345678 --out json",
            "saltctl resume 20261123180812345678 --profile prod",
        ),
    ),
    Command(
        "events",
        "show the master's events as they come, each once",
        "commands.events:events",
        (
            option("--tag", help="only these; may be repeated", action="append", metavar="GLOB"),
            option("--since", help="first what came after this event", metavar="ID"),
            option("--cursor", help="keep the place in this file, and go on there", metavar="FILE"),
            option(
                "--exec",
                help="run this for each event, with the event as JSON on standard input",
                metavar="CMD",
                dest="execute",
            ),
            option("--count", help="end after so many", type=int, metavar="N"),
        ),
        (
            "saltctl events --tag 'salt/job/*/ret/*'",
            "saltctl events --count 1 --out json",
            "saltctl events --tag 'salt/minion/*/start' --cursor started --exec ./welcome.sh",
        ),
        "With --cursor and --exec each event is done once, also when saltctl is killed: the command"
        " runs to its end and the cursor is written before the next saltctl goes on.",
    ),
    Command(
        "minions",
        "list the minions that the master knows",
        "commands.fleet:minions",
        (
            option("id", help="only ids like this", nargs="?", metavar="GLOB", completes="minions"),
            option("--tgt", help="whom would this target match?", metavar="TARGET"),
            option("--tgt-type", help="the type of --tgt", metavar="TYPE", dest="minion_tgt_type"),
            option("--grain", help="only with this grain, os:Debian", metavar="G"),
            option("--key-state", help="only with such a key", metavar="STATE"),
            option(
                "--connected",
                help="only those that are connected",
                action="store_const",
                const=True,
            ),
            option(
                "--disconnected",
                help="only those that are not",
                action="store_const",
                const=False,
                dest="connected",
            ),
            option("--highstate", help="only where the last one went so", metavar="HOW"),
            option("--sort", help="by which column", metavar="NAME"),
            option("--limit", help="how many at most", type=int, metavar="N"),
        ),
        (
            "saltctl minions",
            "saltctl minions 'web*' --out json",
            "saltctl minions --disconnected --sort last_seen",
        ),
    ),
    Command(
        "why",
        "why is a minion silent?",
        "commands.fleet:why",
        (
            option("minion", help="the minion", completes="minions"),
            option("jid", help="about this job", nargs="?", completes="jids"),
            option("--ask", help="ask the minion, if nothing is known", action="store_true"),
        ),
        (
            "saltctl why minion-1",
            "saltctl why minion-1 20261123180812345678",
            "saltctl why minion-1 --out json",
        ),
    ),
    Command(
        "keys",
        "list, accept, reject or delete keys",
        "commands.fleet:keys",
        (
            option(
                "action",
                help="list, accept, reject, delete (list)",
                nargs="?",
                default="list",
                choices=["list", "accept", "reject", "delete"],
                completes="list accept reject delete",
            ),
            option("minion", help="whose key", nargs="?", completes="minions"),
            option("--fingerprint", help="only if it is this key", metavar="FINGERPRINT"),
            option("--yes", help="do not ask", action="store_true"),
        ),
        (
            "saltctl keys",
            "saltctl keys accept minion-3 --fingerprint 9d:5c:…",
            "saltctl keys delete minion-3 --yes",
        ),
    ),
    Command(
        "check",
        "would a command be allowed, and for whom? nothing is run",
        "commands.running:check",
        (
            *TARGETS,
            option(
                "--client",
                help="local, runner, wheel (local)",
                default="local",
                completes="local runner wheel",
            ),
            option(
                "words", help="target, function, arguments", nargs="+", metavar="TARGET FUN ARG"
            ),
        ),
        (
            "saltctl check '*' test.ping",
            "saltctl check -G os:Debian pkg.upgrade --out json",
            "saltctl check --client runner jobs.active",
        ),
    ),
    Command(
        "hook",
        "fire an event, salt/netapi/hook/TAG",
        "commands.events:hook",
        (
            option("tag", help="the rest of the tag"),
            option(
                "--data", help="what to send, JSON or YAML; - reads standard input", metavar="DATA"
            ),
        ),
        (
            "saltctl hook build/done",
            "saltctl hook build/done --data '{version: 2}'",
            "saltctl hook build/done --data - < build.json",
        ),
    ),
    Command(
        "api",
        "send any request, with the session",
        "commands.events:api",
        (
            option("method", help="GET, POST, …", completes="GET POST PUT DELETE"),
            option("path", help="the path, /v1/…"),
            option("--data", help="the body, JSON or YAML; - reads standard input", metavar="DATA"),
        ),
        (
            "saltctl api GET /v1/whoami",
            "saltctl api GET '/v1/jobs?limit=3'",
            "saltctl api POST /v1/check --data '{tgt: \"*\", fun: test.ping}'",
        ),
    ),
    Command(
        "docs",
        "show the documentation of a function",
        "commands.fleet:docs",
        (
            option(
                "function", help="the function, or the beginning of its name", completes="functions"
            ),
            option("--minion", help="as this minion has it", metavar="ID", completes="minions"),
            option(
                "--client", help="runner or wheel, in place of a minion", completes="runner wheel"
            ),
        ),
        (
            "saltctl docs test.ping",
            "saltctl docs state.apply --minion minion-1",
            "saltctl docs jobs.active --client runner",
        ),
    ),
    Command(
        "completion",
        "print the completion of a shell",
        "completion:script",
        (
            option(
                "shell",
                help="bash, zsh or fish",
                choices=["bash", "zsh", "fish"],
                completes="bash zsh fish",
            ),
        ),
        (
            "saltctl completion bash",
            "saltctl completion zsh",
            "saltctl completion fish",
        ),
        'Bash: eval "$(saltctl completion bash)" in ~/.bashrc. Zsh: the same in ~/.zshrc, after'
        " compinit. Fish: saltctl completion fish > ~/.config/fish/completions/saltctl.fish",
    ),
    Command(
        "man",
        "print the manual page",
        "manual:page",
        (),
        ("saltctl man", "saltctl man > saltctl.1", "saltctl man | man -l -"),
    ),
)
BY_NAME = {command.name: command for command in COMMANDS}
