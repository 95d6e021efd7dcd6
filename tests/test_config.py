"""Reading the master's config."""

import re
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
        ("netapi_enable_clients", "local"),
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
