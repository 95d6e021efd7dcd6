"""Salt's own daemon starts rest_asgi, which it finds by the entry point."""

import pkgutil
from importlib.metadata import entry_points

import pytest

from saltapi import config
from saltapi.demo import PrivateMaster
from saltapi.process import loader
from tests.apis import SALTS, ApiServer


def test_entry_point() -> None:
    """Salt's loader is shown one directory of netapi modules, with rest_asgi alone in it."""
    (found,) = (e for e in entry_points(group="salt.loader") if e.name == "saltapi")
    (directory,) = found.load()()["netapi"]
    names = {module.name for module in pkgutil.iter_modules([directory])}

    assert {"rest_asgi"} == names


def test_not_for_us(master: PrivateMaster) -> None:
    """Our own daemon runs the module itself, not what is made for Salt's."""
    opts = {**config.load(master.config_dir), "rest_asgi": {"port": 8000}}
    sources = [module.source for module in loader.load(opts).modules]

    assert "saltapi.netapi.rest_asgi" in sources


@pytest.mark.parametrize("section", [{}, {"workers": 2}])
def test_under_salt_api(master: PrivateMaster, section: dict[str, int]) -> None:
    """`salt-api` of Salt serves it, with all that it answers under our daemon."""
    with ApiServer(master, SALTS, section, module="rest_asgi") as server:
        headers = {"X-Auth-Token": server.login()}
        ping = {"tgt": "*", "fun": "test.ping"}
        answer = server.send("POST", "/v1/run", json_body=ping, headers=headers)

    assert answer.value()["complete"], answer
