"""The ssh client: what it refuses, who may use it, and what it returns from a real sshd."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import salt.auth
import yaml
from salt.version import __saltstack_version__ as salt_version

from saltapi import config
from saltapi.bridge.workers import ssh
from saltapi.bridge.workers.ssh import SshLane
from saltapi.bridge.workers.ssh_options import COMMAND_OPTION, ssh_low
from saltapi.config import EngineConfig
from saltapi.demo import PrivateMaster
from saltapi.demo.master import free_ports, own_name
from saltapi.errors import (
    AuthenticationFailed,
    AuthorizationFailed,
    CommandTimeout,
    InvalidChunk,
    WorkerFailed,
)
from saltapi.types import Chunk, Credentials, Opts
from tests.waiting import async_eventually, eventually

SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
PING: Chunk = {"client": "ssh", "tgt": "box", "fun": "test.ping"}

INJECTIONS = [
    "'; touch {marker}; '",
    '"; touch {marker}; "',
    "; touch {marker} #",
    "$(touch {marker})",
    "$(touch${{IFS}}{marker})",
    "`touch {marker}`",
    "x\ntouch {marker}",
    "x\rtouch {marker}",
    "x\u2028touch {marker}",
    "|touch {marker}",
    "x|touch {marker}",
    "x&touch {marker}",
    "x>{marker}",
    "-oProxyCommand=touch {marker}",
    "-oproxycommand=touch\t{marker}",
    "--ProxyCommand=touch {marker}",
    "x -o ProxyCommand=touch\\ {marker}",
    "ProxyCommand touch {marker}",
    "x -o PermitLocalCommand=yes -o LocalCommand=touch\\ {marker}",
    "x -o KnownHostsCommand=touch\\ {marker}",
    "Match exec touch\\ {marker}",
    "-F{marker}",
    "a';touch {marker};'",
    "{{{{ salt['cmd.run']('touch {marker}') }}}}",
    "!!python/object/apply:os.system ['touch {marker}']",
    "x\0touch {marker}",
]
TEXT_KEYS = [
    "extra_filerefs",
    "jid",
    "min_extra_mods",
    "roster",
    "roster_file",
    "ssh_port",
    "ssh_priv",
    "ssh_remote_port_forwards",
    "ssh_scan_ports",
    "ssh_sudo_user",
    "ssh_user",
    "thin_extra_mods",
    "timeout",
    "tgt",
    "fun",
    "tgt_type",
]
BOOLEAN_KEYS = ["ssh_identities_only", "ssh_sudo", "ssh_askpass", "raw_shell", "regen_thin"]
PASSWORD_KEYS = ["ssh_passwd", "ssh_priv_passwd"]
MASTER_KEYS = ["host", "rosters", "ssh_log_file", "ssh_pre_hook", "ssh_update_roster", "saltfile"]

Sshd = dict[str, Any]


@pytest.fixture
def opts(master: PrivateMaster, tmp_path: Path) -> Opts:
    """The master's options with users of this test and a roster of one host, 127.0.0.1."""
    opts = config.load(master.config_dir)
    (tmp_path / "rosters").mkdir()
    (tmp_path / "roster").write_text("box: {host: 127.0.0.1, port: 1}")
    opts["external_auth"] = {
        **opts["external_auth"],
        "sharedsecret": {
            "full": [".*"],
            "pinger": ["test.ping"],
            "limited": [{"*": [{"test.arg": {"args": ["ok"], "kwargs": {"also": "ok"}}}]}],
            "elsewhere": [{"minion-1": [".*"]}],
            "runners": ["@runner"],
        },
    }
    return {
        **opts,
        "sharedsecret": "a secret",
        "conf_file": str(tmp_path / "master"),
        "rosters": [str(tmp_path / "rosters")],
        "thin_dir": str(tmp_path / "thin"),
    }


MakeLane = Callable[..., SshLane]


@pytest.fixture
async def make_lane(opts: Opts) -> AsyncIterator[MakeLane]:
    """Make lanes with options of the engine; all are closed after the test."""
    lanes: list[SshLane] = []

    def make(**options: Any) -> SshLane:
        lane = SshLane(opts, EngineConfig.parse(options))
        lanes.append(lane)
        return lane

    yield make
    for lane in lanes:
        await lane.close()


def user(name: str) -> Credentials:
    return Credentials(eauth="sharedsecret", username=name, password="a secret")


@pytest.fixture
def marker(tmp_path: Path) -> Iterator[Path]:
    """A file that an injected command would make."""
    path = tmp_path / "pwned"
    yield path
    assert not path.exists()


def refused(chunk: Chunk, opts: Opts) -> str | None:
    """Return the key for which *chunk* is refused; None if it is not."""
    try:
        ssh_low(chunk, opts, allow_raw_shell=True)
    except InvalidChunk as error:
        return error.key
    return None


class TestInjection:
    """Nothing of the corpus gets as far as a process."""

    @pytest.mark.parametrize("key", TEXT_KEYS + BOOLEAN_KEYS)
    def test_text(self, opts: Opts, marker: Path, key: str) -> None:
        """Every key but the passwords refuses every injection, and names itself."""
        for injection in INJECTIONS:
            assert key == refused({**PING, key: injection.format(marker=marker)}, opts), injection

    @pytest.mark.parametrize("tgt_type", ["pcre", "list", "nodegroup", "range"])
    def test_targets(self, opts: Opts, marker: Path, tgt_type: str) -> None:
        """No type of target lets an injection through."""
        for injection in INJECTIONS:
            tgt = injection.format(marker=marker)
            assert "tgt" == refused({**PING, "tgt_type": tgt_type, "tgt": tgt}, opts), injection
            tgts = {**PING, "tgt_type": "list", "tgt": ["ok", tgt]}
            assert "tgt" == refused(tgts, opts), injection

    @pytest.mark.parametrize(
        "option",
        [
            *INJECTIONS,
            "ProxyCommand=touch {marker}",
            "proxycommand=touch {marker}",
            " ProxyCommand =touch {marker}",
            "Proxy\tCommand=touch",
            "ProxyCommand touch",
            "PROXYCOMMAND=x",
            "ProxyJump=-oProxyCommand=x",
            "ProxyUseFdpass=yes",
            "LocalCommand=x",
            "PermitLocalCommand=yes",
            "KnownHostsCommand=x",
            "Match=exec",
            "Include={marker}",
            "IdentityAgent={marker}",
            "ControlPath={marker}",
            "PKCS11Provider={marker}",
            "SecurityKeyProvider={marker}",
            "UserKnownHostsFile={marker}",
            "XAuthLocation={marker}",
            "RemoteCommand=x",
            "StrictHostKeyChecking=no ProxyCommand=x",
            "StrictHostKeyChecking=no\n-oProxyCommand=x",
            "ConnectTimeout=-oProxyCommand",
            "ConnectTimeout=",
            "ConnectTimeout",
        ],
    )
    def test_ssh_options(self, opts: Opts, marker: Path, option: str) -> None:
        """Only options of ssh that run, read and write nothing are taken."""
        for value in ([option.format(marker=marker)], ["Compression=yes", option], option):
            assert "ssh_options" == refused({**PING, "ssh_options": value}, opts)

    @pytest.mark.parametrize("key", MASTER_KEYS)
    def test_keys_of_the_master(self, opts: Opts, key: str) -> None:
        """Keys that would read, write or run something on the master are refused by name."""
        assert key == refused({**PING, key: "value"}, opts)

    @pytest.mark.parametrize("value", ["-oProxyCommand=x", "'-oProxyCommand=x'", "\\-oX", "'' -oX"])
    def test_raw_shell(self, opts: Opts, value: str) -> None:
        """A raw command that ssh would read as an option is refused."""
        assert "fun" == refused({**PING, "raw_shell": True, "fun": value}, opts)

    @pytest.mark.parametrize(
        "name", ["/tmp/evil", "../evil", "a/../b", ".hidden", "", "master", "~"]
    )
    def test_roster_files(self, opts: Opts, tmp_path: Path, name: str) -> None:
        """Only rosters in the directories that the master config names are used."""
        (tmp_path / "master").write_text("secret: x")

        assert "roster_file" == refused({**PING, "roster_file": name}, opts)

    @pytest.mark.parametrize("key", PASSWORD_KEYS)
    def test_passwords(self, opts: Opts, key: str) -> None:
        """A password may hold any printable character, but no option that runs commands."""
        odd = "'\"; $(x) `y` | ü"

        assert odd == ssh_low({**PING, key: odd}, opts, allow_raw_shell=False)[key]
        for bad in ("a\nb", "x -oProxyCommand=y", "\0", 7, ["x"]):
            assert key == refused({**PING, key: bad}, opts)

    def test_spelling(self) -> None:
        """Options that run commands are found in any spelling."""
        spellings = [
            "ProxyCommand",
            "proxycommand",
            "PROXY_COMMAND",
            "proxy \t command",
            "LocalCommand",
        ]

        assert all(COMMAND_OPTION.search(spelling) for spelling in spellings)


class TestChunks:
    """What is taken, and in which shape salt-ssh gets it."""

    def test_minimal(self, opts: Opts) -> None:
        """A chunk needs a target and a function."""
        low = ssh_low({**PING, "token": "t", "unknown": object()}, opts, allow_raw_shell=False)

        assert {"tgt": "box", "fun": "test.ping", "tgt_type": "glob", "arg": [], "kwarg": {}} == low
        for missing in ("tgt", "fun"):
            assert missing == refused({**PING, missing: None}, opts)

    def test_types(self, opts: Opts) -> None:
        """Values have their types; words and digits of a form are converted."""
        chunk = {
            **PING,
            "arg": "one",
            "ssh_port": "2222",
            "ssh_sudo": "true",
            "ssh_user": "DOMAIN\\some.one",
            "ssh_options": ["StrictHostKeyChecking=no", "ConnectTimeout=3"],
            "ssh_remote_port_forwards": "8080:localhost:80,127.0.0.1:81:db-1:5432",
            "ignore_host_keys": True,
            "timeout": 30,
        }

        low = ssh_low(chunk, opts, allow_raw_shell=False)

        assert (2222, True, 30, ["one"]) == (
            *(low["ssh_port"], low["ssh_sudo"], low["timeout"]),
            low["arg"],
        )
        for key, value in (("ssh_port", 70000), ("ssh_port", True), ("ssh_sudo", 2), ("kwarg", [])):
            assert key == refused({**PING, key: value}, opts)

    @pytest.mark.parametrize(
        ("value", "expected"), [(0.01, 0.01), ("0.25", 0.25), (2, 2.0), ("3", 3.0)]
    )
    def test_scan_timeout(self, opts: Opts, value: Any, expected: float) -> None:
        """The time for a scan may be a fraction, as salt-ssh's own default is."""
        chunk = {**PING, "ssh_scan_timeout": value}
        assert expected == ssh_low(chunk, opts, allow_raw_shell=False)["ssh_scan_timeout"]

    @pytest.mark.parametrize("value", [-1, "soon", True, [1], 1e9, float("nan"), "1e3"])
    def test_wrong_scan_timeout(self, opts: Opts, value: Any) -> None:
        """Nothing but a number of seconds is taken."""
        assert "ssh_scan_timeout" == refused({**PING, "ssh_scan_timeout": value}, opts)

    @pytest.mark.parametrize(
        "value",
        [
            "salt://a.sh,salt://dir/b.sh",
            "salt://a.sh, salt://dir/b.sh",
            ["salt://a.sh", "salt://dir/b.sh"],
        ],
    )
    def test_file_references(self, opts: Opts, value: Any) -> None:
        """Files to send along are a list, or a text with commas and perhaps blanks."""
        low = ssh_low({**PING, "extra_filerefs": value}, opts, allow_raw_shell=False)
        assert "salt://a.sh,salt://dir/b.sh" == low["extra_filerefs"]
        wrong: Any
        for wrong in ("/etc/shadow", ["salt://a", "http://x/y"], ["salt://a", 1], 5, {}):
            assert "extra_filerefs" == refused({**PING, "extra_filerefs": wrong}, opts)

    def test_keys(self, opts: Opts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A private key is a file that is there, below one of the directories that have keys."""
        monkeypatch.setenv("HOME", str(tmp_path))
        opts["pki_dir"] = str(tmp_path / "pki")
        home, own, listed = tmp_path / ".ssh", tmp_path / "pki" / "ssh", tmp_path / "listed"
        for directory in (home, own, listed):
            directory.mkdir(parents=True)
            (directory / "key").write_text("a key")
        (own / "out").symlink_to(listed / "key")
        (own / "loop").symlink_to(own / "loop")

        def low(path: str, *directories: str) -> Any:
            chunk = {**PING, "ssh_priv": path}
            return ssh_low(chunk, opts, allow_raw_shell=False, key_directories=directories)

        assert str(home / "key") == low("~/.ssh/key")["ssh_priv"]
        assert str(own / "key") == low(str(own / "key"))["ssh_priv"]
        assert str(listed / "key") == low(str(own / "out"), str(listed))["ssh_priv"]
        assert "agent-forwarding" == low("agent-forwarding")["ssh_priv"]
        bad = ["new", "x/new", "out", "loop", "..", "../../listed/key", ""]
        for path in [
            *(f"{own}/{name}" for name in bad),
            f"{listed}/key",
            "key",
            "~nobody/.ssh/key",
        ]:
            assert "ssh_priv" == refused({**PING, "ssh_priv": path}, opts), path
        with pytest.raises(InvalidChunk):
            low(str(own / "key"), str(listed))
        assert ["key", "loop", "out"] == sorted(path.name for path in own.iterdir())

    def test_rosters(self, opts: Opts, tmp_path: Path) -> None:
        """A roster file is named without its directory, and found by the master's config."""
        roster = tmp_path / "rosters" / "lab"
        roster.write_text("box: 127.0.0.1")

        low = ssh_low({**PING, "roster_file": "lab"}, opts, allow_raw_shell=False)

        assert str(roster) == low["roster_file"]

    @pytest.mark.parametrize("roster", ["cache", "ansible", "scan", "sshconfig", "flat,ansible"])
    def test_no_custom_roster(self, opts: Opts, roster: str) -> None:
        """Other kinds of rosters are only for the master config."""
        assert "roster" == refused({**PING, "roster": roster}, opts)

    def test_raw_shell(self, opts: Opts) -> None:
        """`raw_shell` needs `netapi_allow_raw_shell`."""
        chunk = {**PING, "raw_shell": True, "fun": "uptime -p"}

        assert "uptime -p" == ssh_low(chunk, opts, allow_raw_shell=True)["fun"]
        with pytest.raises(AuthorizationFailed, match="netapi_allow_raw_shell"):
            ssh_low(chunk, opts, allow_raw_shell=False)


class TestChecks:
    """Who may run what; nothing is run for anybody else."""

    @pytest.mark.parametrize(
        "who",
        [
            Credentials(eauth="sharedsecret", username="full", password="wrong"),
            Credentials(eauth="zzz", username="full", password="a secret"),
            Credentials(token="abcdef"),
        ],
    )
    async def test_wrong_credentials(self, make_lane: MakeLane, who: Credentials) -> None:
        """Wrong credentials are refused."""
        with pytest.raises(AuthenticationFailed, match="Authentication failure"):
            await make_lane().run(PING, who)

    @pytest.mark.parametrize(
        ("name", "changes"),
        [
            ("pinger", {"fun": "cmd.run", "arg": ["id"]}),
            ("runners", {}),
            ("elsewhere", {}),
            ("elsewhere", {"tgt": "localhost"}),
            ("limited", {"fun": "test.arg", "arg": ["ok"]}),
            ("limited", {"fun": "test.arg", "arg": ["no"], "kwarg": {"also": "ok"}}),
            ("limited", {"fun": "test.arg", "arg": ["ok", "also=no"]}),
            ("limited", {"fun": "test.arg", "arg": ["ok"], "kwarg": {"also": "no"}}),
            ("limited", {"fun": "test.arg", "arg": ["ok", "also=ok"], "kwarg": {"also": "no"}}),
        ],
    )
    async def test_not_permitted(self, make_lane: MakeLane, name: str, changes: Chunk) -> None:
        """A function, a target or an argument outside of the user's permissions is refused."""
        with pytest.raises(AuthorizationFailed):
            await make_lane().run({**PING, **changes}, user(name))


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    """An sshd on loopback that takes the key of this test, as an entry of a roster."""
    if SSHD is None:
        pytest.skip("sshd is not installed")
    if shutil.which("ssh") is None or shutil.which("ssh-keygen") is None:
        pytest.skip("ssh is not installed")
    (port,) = free_ports(1)
    for name in ("host_key", "key"):
        path = str(tmp_path / name)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    settings = {
        "Port": port,
        "ListenAddress": "127.0.0.1",
        "HostKey": tmp_path / "host_key",
        "AuthorizedKeysFile": tmp_path / "key.pub",
        "PidFile": "none",
        "UsePAM": "no",
        "StrictModes": "no",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "PermitRootLogin": "yes",
        "Subsystem": "sftp internal-sftp",
    }
    config_file = tmp_path / "sshd_config"
    config_file.write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    log = tmp_path / "sshd.log"
    with log.open("wb") as output:
        process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(config_file)], stderr=output)
    try:
        eventually(lambda: "listening" in log.read_text() or process.poll() is not None)
        if process.poll() is not None:
            pytest.skip(f"sshd does not start: {log.read_text()}")
        yield {
            "host": "127.0.0.1",
            "port": port,
            "user": own_name(),
            "priv": str(tmp_path / "key"),
            "thin_dir": str(tmp_path / "thin"),
            "set_path": "/usr/local/bin:/usr/bin:/bin",
        }
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def box(sshd: Sshd, opts: Opts) -> Chunk:
    """A chunk for the host of the roster that the sshd runs on."""
    Path(opts["conf_file"]).with_name("roster").write_text(yaml.safe_dump({"box": sshd}))
    return {**PING, "no_host_keys": True}


class TestHosts:
    """Commands on a host with a real sshd."""

    async def test_results(self, make_lane: MakeLane, opts: Opts, box: Chunk, marker: Path) -> None:
        """A command returns what the host answered, by token and by password."""
        store = salt.auth.LoadAuth(opts)
        load = {"eauth": "sharedsecret", "username": "full", "password": "a secret"}
        token = await asyncio.to_thread(store.mk_token, load)
        lane = make_lane(netapi_allow_raw_shell=True)

        results = await lane.run(box, Credentials(token=token["token"]))
        assert ["box"] == list(results)
        assert (True, 0, "box") == tuple(results["box"][key] for key in ("return", "retcode", "id"))

        injection = f"'; touch {marker}; $(touch {marker})"
        chunk = {**box, "fun": "test.arg", "arg": ["ok"], "kwarg": {"also": "ok"}}
        # On 3007 no limit to certain targets, not even "*", ever fits a host of the roster.
        name = "limited" if salt_version.major >= 3008 else "full"
        results = await lane.run({**chunk, "ssh_passwd": injection}, user(name))
        returned = results["box"]["return"]
        assert (["ok"], "ok") == (returned["args"], returned["kwargs"]["also"])

        raw = {**box, "raw_shell": True, "fun": "echo out; echo err >&2; exit 3"}
        results = await lane.run(raw, user("full"))
        assert ("out\n", 3) == (results["box"]["stdout"], results["box"]["retcode"])

        assert {} == await lane.run({**box, "tgt": "nobody*"}, user("full"))

    async def test_nobody(self, make_lane: MakeLane, opts: Opts, tmp_path: Path) -> None:
        """Where no host matches, no key is made, nor anything else."""
        opts["pki_dir"] = str(tmp_path / "pki")

        assert {} == await make_lane().run({**PING, "tgt": "nobody*"}, user("full"))
        assert not (tmp_path / "pki" / "ssh").exists()

    async def test_roster_of_the_master(
        self, make_lane: MakeLane, opts: Opts, box: Chunk, tmp_path: Path
    ) -> None:
        """`roster_file` in the master config is used, also without `rosters` beside it."""
        named = Path(opts["conf_file"]).with_name("roster").rename(tmp_path / "elsewhere")
        del opts["rosters"]
        opts["roster_file"] = str(named)

        assert ["box"] == list(await make_lane().run(box, user("full")))

    async def test_timeout(self, make_lane: MakeLane, box: Chunk) -> None:
        """A command that takes longer than `rest_timeout` is ended."""
        with pytest.raises(CommandTimeout):
            await make_lane(rest_timeout=0.5).run(box, user("full"))

    async def test_end(self, make_lane: MakeLane, box: Chunk, sshd: Sshd) -> None:
        """With its worker ends every process that a command started here."""
        lane = make_lane(netapi_allow_raw_shell=True)
        slow = asyncio.create_task(
            lane.run({**box, "raw_shell": True, "fun": "sleep 300"}, user("full"))
        )
        await async_eventually(lambda: ssh_clients(sshd["port"]), timeout=60)

        await lane.close()

        with pytest.raises(WorkerFailed, match="stops"):
            await slow
        await async_eventually(lambda: not ssh_clients(sshd["port"]))

    async def test_queue(
        self, make_lane: MakeLane, box: Chunk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """More commands than may run at once wait, and are turned away after a while."""
        monkeypatch.setattr(ssh, "SSH_PROCESSES", 1)
        monkeypatch.setattr(ssh, "SSH_QUEUE_SECONDS", 0.2)
        lane = make_lane(netapi_allow_raw_shell=True)
        slow = asyncio.create_task(
            lane.run({**box, "raw_shell": True, "fun": "sleep 300"}, user("full"))
        )
        await asyncio.sleep(0)

        with pytest.raises(WorkerFailed, match="Too many"):
            await lane.run(box, user("full"))
        await lane.close()
        with pytest.raises(WorkerFailed, match="stops"):
            await slow


def ssh_clients(port: int) -> list[str]:
    """Return the command lines of all ssh clients that use *port*."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if f"Port={port}" in line:
            lines.append(line)
    return lines
