"""Reading the master's config."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from saltapi import config
from saltapi.config import EngineConfig, RestWsgiConfig, nearest
from saltapi.errors import CannotStart


def _write(directory: Path, text: str, **more: str) -> Path:
    for name, content in {"master": text, **more}.items():
        path = directory / name.replace("__", "/")
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    return directory


def test_load_reads_the_config_as_salt_does(tmp_path: Path) -> None:
    """`master.d` and defaults count; the API talks to its master over loopback."""
    _write(
        tmp_path,
        f"root_dir: {tmp_path}\nret_port: 14506\n",
        **{"master.d__api.conf": "rest_timeout: 12\n"},
    )
    opts = config.load(tmp_path)
    assert (12, 14506, "tcp://127.0.0.1:14506") == (
        opts["rest_timeout"],
        opts["ret_port"],
        opts["master_uri"],
    )
    assert opts["sock_dir"].startswith(str(tmp_path))


def test_load_takes_the_file_itself(tmp_path: Path) -> None:
    """`config_dir` may also name the file."""
    _write(tmp_path, f"root_dir: {tmp_path}\nrest_timeout: 12\n")
    assert 12 == config.load(tmp_path / "master")["rest_timeout"]


def test_load_says_that_the_file_is_missing(tmp_path: Path) -> None:
    """A missing config is an error that names the file and the flag."""
    path = re.escape(str(tmp_path / "nowhere"))
    with pytest.raises(CannotStart, match=f"{path} cannot be read: No such file.*-c"):
        config.load(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["a: [1\n", "\ta: b\n", "- a\n- b\n", "just words\n"])
def test_load_says_that_the_file_is_wrong(tmp_path: Path, text: str) -> None:
    """A config that is no YAML mapping is an error that names the file."""
    _write(tmp_path, text)
    with pytest.raises(CannotStart, match=re.escape(str(tmp_path))):
        config.load(tmp_path)


def test_load_survives_bytes_that_are_no_text(tmp_path: Path) -> None:
    """A config that is not UTF-8 is an error that names the file."""
    (tmp_path / "master").write_bytes(b"user: \xff\xfe\xe4\n")
    with pytest.raises(CannotStart, match=re.escape(str(tmp_path))):
        config.load(tmp_path)


def test_defaults() -> None:
    """Without options of ours the engine has its documented defaults, and no client is enabled."""
    engine = EngineConfig.of({})
    assert ([], False, 300, 4) == (
        engine.netapi_enable_clients,
        engine.netapi_allow_raw_shell,
        engine.rest_timeout,
        engine.function_workers,
    )


def test_the_engine_passes_over_salts_options() -> None:
    """The top level belongs to Salt: its options are no concern of ours."""
    engine = EngineConfig.of({"timeout": "whatever", "rest_timeout": 5})
    assert (5, {}) == (engine.rest_timeout, engine.unknown())


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("rest_timeout", 0),
        ("rest_timeout", "soon"),
        ("function_workers", -1),
        ("function_workers", 65),
        ("netapi_enable_clients", [1]),
        ("api_listener_queue_bytes", 1),
        ("api_session_cache_seconds", -0.1),
        ("api_master_channels", 0),
    ],
)
def test_a_wrong_value_is_named(option: str, value: Any) -> None:
    """A value that an option cannot have keeps the service from starting, by name."""
    with pytest.raises(CannotStart, match=option):
        EngineConfig.of({option: value})


@pytest.mark.parametrize("section", config.SECTIONS)
def test_null_is_the_default(section: str) -> None:
    """An option without a value, as in `debug:`, is as if it were not there."""
    kind = config.SECTIONS[section]
    nulls = dict.fromkeys(kind.option_names())

    assert kind.parse({"port": 1}) == kind.parse({**nulls, "port": 1})


def test_null_is_the_default_at_the_top_level() -> None:
    """The same holds for the engine's options."""
    assert EngineConfig.of({}) == EngineConfig.of(dict.fromkeys(EngineConfig.option_names()))


RUN_BY_SALT: list[tuple[str, str, list[Any], Any]] = [
    ("rest_cherrypy", "debug", ["", 0, [], {}], False),
    ("rest_cherrypy", "debug", [1, 7, 2.5, -1], True),
    ("rest_cherrypy", "webhook_disable_auth", ["", 0, [], {}], False),
    ("rest_cherrypy", "webhook_disable_auth", [1, 7, 2.5, -1], True),
    ("rest_cherrypy", "enable_sessions", ["", [], {}], True),
    ("rest_cherrypy", "log_access_file", ["", 0, [], {}], ""),
    ("rest_cherrypy", "thread_pool", ["", 0, [], {}], 100),
    ("rest_cherrypy", "queue_size", [0], 0),
    ("rest_cherrypy", "queue_size", [-1], -1),
    ("rest_cherrypy", "max_request_body_size", ["", [], {}], config.MIB),
    ("rest_cherrypy", "max_request_body_size", [0], sys.maxsize),
    ("rest_cherrypy", "static", [0, [], {}], None),
    ("rest_cherrypy", "static_path", [0, [], {}], "/static"),
    ("rest_cherrypy", "ssl_crt", [0, [], {}], None),
    ("rest_cherrypy", "api_acl", ["", 0, []], None),
    ("rest_cherrypy", "authorized_ips", [0, {}], None),
    ("rest_tornado", "disable_ssl", [7, 2.5, -1], True),
    ("rest_tornado", "backlog", [0], 0),
    ("rest_tornado", "backlog", [-1], -1),
    ("rest_tornado", "num_processes", [-1], -1),
    ("rest_tornado", "websockets", ["", [], {}], False),
    ("rest_tornado", "cors_origin", [0, {}], None),
    ("rest_tornado", "max_request_body_size", [0], sys.maxsize),
    ("rest_wsgi", "port", ["8000"], 8000),
]
"""Section, option, values that Salt's daemon (3008.2) runs with, and what they mean to us."""


@pytest.mark.parametrize(
    ("section", "option", "value", "meaning"),
    [(s, o, value, meaning) for s, o, values, meaning in RUN_BY_SALT for value in values],
)
def test_what_salt_runs_with(section: str, option: str, value: Any, meaning: Any) -> None:
    """A config that Salt's modules start with starts ours, with what it means to Salt."""
    values = {"port": 1, "disable_ssl": True, option: value}
    parsed = config.SECTIONS[section].parse(values)

    name = "socket_queue_size" if option == "queue_size" else option
    assert meaning == getattr(parsed, name)


@pytest.mark.parametrize("section", ["rest_cherrypy", "rest_tornado"])
@pytest.mark.parametrize("option", ["webhook_disable_auth", "disable_ssl", "stats_disable_auth"])
def test_words_that_are_not_yes_or_no(section: str, option: str) -> None:
    """A word that is neither yes nor no opens nothing: the module says so and does not start."""
    with pytest.raises(CannotStart, match=option):
        config.SECTIONS[section].parse({"port": 1, option: "perhaps"})
    assert not getattr(config.SECTIONS[section].parse({"port": 1, option: "False"}), option)


@pytest.mark.parametrize("value", ["local", "local, runner", "local runner", ["local"]])
def test_clients_as_a_text(value: Any) -> None:
    """`netapi_enable_clients` may be a text with names in it, which count as whole words."""
    found = EngineConfig.of({"netapi_enable_clients": value}).netapi_enable_clients
    assert ("local" in found, "local_async" in found) == (True, False)


def test_every_wrong_value_is_named() -> None:
    """All wrong options are named at once."""
    with pytest.raises(CannotStart, match=r"rest_wsgi\.port.*rest_wsgi\.threads"):
        RestWsgiConfig.parse({"port": 0, "threads": 0})


def test_a_section_must_be_a_mapping() -> None:
    """A section that is no mapping is an error that names it."""
    with pytest.raises(CannotStart, match="rest_wsgi must be a mapping"):
        RestWsgiConfig.parse([8000])


def test_unknown_options_come_with_the_nearest_name() -> None:
    """An option that does not exist is kept, with what it most likely should have been."""
    section = RestWsgiConfig.parse({"port": 8000, "thread": 5, "xyz": 1})
    assert {"thread": "threads", "xyz": None} == section.unknown()


def test_nearest() -> None:
    """The nearest name is found, none if nothing is near."""
    assert "port" == nearest("prot", ["host", "port"])
    assert nearest("zzz", ["host", "port"]) is None


def test_sections_cannot_be_changed() -> None:
    """A section is read once and never changes."""
    with pytest.raises(ValueError, match="frozen"):
        RestWsgiConfig.parse({"port": 8000}).port = 1
