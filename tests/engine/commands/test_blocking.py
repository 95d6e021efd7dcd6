"""The client interfaces for code that blocks."""

import pytest

from saltapi import config
from saltapi.demo import PrivateMaster
from saltapi.engine.commands.blocking import APIClient
from saltapi.errors import ClientDisabled
from tests.engine.commands.clients import ONE


class TestBlocking:
    def test_same_methods(self, master: PrivateMaster) -> None:
        """APIClient gives blocking code the same results, from any thread."""
        with APIClient(config.load(master.config_dir)) as client:
            login = master.credentials()
            assert {ONE: True} == client.local(ONE, "test.ping", **login)
            assert {ONE: True} == client.run(
                {"client": "local", "tgt": ONE, "fun": "test.ping", "arg": "", **login}
            )
            assert [{ONE: True}] == list(client.local_batch(ONE, "test.ping", **login))
            assert [ONE] == client.local_async(ONE, "test.ping", **login)["minions"]
            assert {ONE: True} == client.local_subset(ONE, "test.ping", **login)
            assert {"args": [], "kwargs": {}} == client.runner("test.arg", **login)
            assert "jid" in client.runner_async("test.arg", **login)
            assert client.wheel("key.list_all", **login)["data"]["success"] is True
            assert "jid" in client.wheel_async("key.list_all", **login)
            with pytest.raises(ClientDisabled):
                client.ssh("*", "test.ping", **login)
