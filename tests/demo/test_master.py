"""`PrivateMaster`: a real master of one's own."""

from collections.abc import Callable
from typing import Any

import pytest
import salt.channel.client
import salt.config

from saltapi.demo import PrivateMaster
from saltapi.demo.master import free_ports, is_free, merge
from saltapi.errors import CannotStart
from tests.waiting import scaled

READY_SECONDS = 60.0

Factory = Callable[..., PrivateMaster]


def ask(master: PrivateMaster, **load: Any) -> Any:
    """Return the master's answer to *load*."""
    opts = salt.config.master_config(str(master.config_dir / "master"))
    uri = f"tcp://127.0.0.1:{master.request_port}"
    with salt.channel.client.ReqChannel.factory(opts, crypt="clear", master_uri=uri) as channel:
        return channel.send(load, timeout=scaled(10))


def test_everybody_can_log_in(master: PrivateMaster) -> None:
    """The admin and every further user get a token for the password made for them."""
    for name in (master.username, "low"):
        token = ask(master, cmd="mk_token", **master.credentials(name))

        assert name == token["name"]
        assert "file" == token["eauth"]


def test_wrong_password(master: PrivateMaster) -> None:
    """Nobody gets in with another password."""
    credentials = master.credentials() | {"password": "wrong"}

    assert not ask(master, cmd="mk_token", **credentials)


def test_passwords_are_not_written_down(master: PrivateMaster) -> None:
    """The directory, which only its owner may enter, holds hashes of the passwords."""
    written = [path for path in master.config_dir.rglob("*") if path.is_file()]
    files = [*written, master.directory / "users"]

    assert 0o700 == master.directory.stat().st_mode & 0o777
    assert not [file for file in files if master.password in file.read_text()]


@pytest.mark.long
@pytest.mark.parametrize("transport", ["zeromq", "tcp"])
def test_killed_master_comes_back(private_master: Factory, transport: str) -> None:
    """A killed master leaves nothing, starts again on its ports, and the minions find it."""
    master = private_master(transport=transport, minions=1)
    master.kill_master()

    assert not master.master.running
    assert is_free(master.request_port)

    lines: list[str] = []
    master.start_master()
    master.wait_ready(lines.append, timeout=scaled(READY_SECONDS))

    assert ["the master answers", "minion-1 answers"] == lines


@pytest.mark.long
def test_stopped_minion_is_silent_until_it_starts_again(private_master: Factory) -> None:
    """The master knows a stopped minion, and nobody answers for it."""
    master = private_master()
    master.stop_minion("minion-1")
    with pytest.raises(CannotStart, match="minion-1 does not answer in time"):
        master.wait_ready(minions=["minion-1"], timeout=scaled(3))
    master.wait_ready(minions=["minion-2"], timeout=scaled(READY_SECONDS))
    master.start_minion("minion-1")

    master.wait_ready(timeout=scaled(READY_SECONDS))


def test_master_that_does_not_start(private_master: Factory) -> None:
    """When the master ends, the error names its log and has the end of it."""
    with pytest.raises(CannotStart, match=r"(?s)master ended\. See .*master\.log, which ends.*\n."):
        private_master(minions=0, options={"interface": "not-an-address"})


@pytest.mark.long
def test_options_are_merged(private_master: Factory) -> None:
    """Further options go over ours, mappings inside them are merged."""
    master = private_master(minions=0, options={"external_auth": {"pam": {"x": [".*"]}}})
    opts = salt.config.master_config(str(master.config_dir / "master"))

    assert {"file", "pam"} == opts["external_auth"].keys()


@pytest.mark.long
def test_stop_twice(private_master: Factory) -> None:
    """`stop` removes the directory, and may be called again."""
    master = private_master(minions=0)
    master.stop()
    master.stop()

    assert not master.directory.exists()


def test_merge() -> None:
    """Mappings are merged at every depth, everything else is replaced."""
    base = {"a": {"b": 1, "c": {"d": 2}}, "e": [1], "f": 3}
    over = {"a": {"c": {"x": 4}}, "e": [2], "f": {"g": 5}}

    assert {"a": {"b": 1, "c": {"d": 2, "x": 4}}, "e": [2], "f": {"g": 5}} == merge(base, over)


def test_free_ports() -> None:
    """The ports are different ones, and free."""
    ports = free_ports(5)

    assert 5 == len(set(ports))
    assert all(map(is_free, ports))
