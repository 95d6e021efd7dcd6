import logging
from pathlib import Path
from typing import Any

import pytest

from saltapi.errors import CannotStart
from saltapi.process import loader
from saltapi.process.loader import Loaded
from tests.daemons import Home


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "modules"
    path.mkdir()
    return path


def _load(directory: Path, **opts: Any) -> Loaded:
    return loader.load({"netapi_dirs": [str(directory)], **opts})


def _skipped(loaded: Loaded, name: str) -> loader.Skipped:
    (found,) = [one for one in loaded.skipped if one.name == name and "saltapi" not in one.source]
    return found


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("", "rest_x"),
        ("def __virtual__(): return True", "rest_x"),
        ("def __virtual__(): return 'rest_y'", "rest_y"),
        ("__virtualname__ = 'rest_z'\ndef __virtual__(): return True", "rest_z"),
        ("__virtualname__ = 'rest_z'\ndef __virtual__(): return 'rest_z'", "rest_z"),
        ("__virtualname__ = 'rest_z'", "rest_x"),
        ("def __virtual__(): return __opts__['rest_x']['name']", "from_opts"),
    ],
)
def test_virtual_says_yes(directory: Path, source: str, name: str) -> None:
    """A module runs under the name that `__virtual__` gives it, or its file name without one."""
    (directory / "rest_x.py").write_text(f"{source}\ndef start(): pass\n")
    loaded = _load(directory, rest_x={"name": "from_opts"})

    assert [name] == [module.name for module in loaded.modules]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def __virtual__(): return False", "its __virtual__() says no and gives no reason."),
        ("def __virtual__(): return (False, 'no port.')", "no port."),
        ("def __virtual__(): return None", "its __virtual__() returns None"),
        ("def __virtual__(): 1 / 0", "its __virtual__() failed: ZeroDivisionError"),
        ("def __virtual__(): import no_such_thing", "its __virtual__() failed: ModuleNotFound"),
        ("import no_such_thing", "it needs something that is not installed: No module named"),
        ("raise SystemExit(3)", "importing it failed: SystemExit: 3"),
        ("def broken(:", "importing it failed: SyntaxError"),
        ("start = None", "it has no function start()."),
    ],
)
@pytest.mark.parametrize("configured", [True, False])
def test_virtual_says_no(
    directory: Path,
    source: str,
    reason: str,
    configured: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The reason is logged once: an error for a module that is configured, else information."""
    (directory / "rest_x.py").write_text(f"def start(): pass\n{source}\n")
    loaded = _load(directory, **({"rest_x": {"port": 1}} if configured else {}))
    logging.getLogger("saltapi").setLevel(logging.INFO)
    loaded.log()
    records = [r for r in caplog.records if r.getMessage().startswith("rest_x does not run: ")]

    assert () == loaded.modules
    assert _skipped(loaded, "rest_x").reason.startswith(reason)
    assert [logging.ERROR if configured else logging.INFO] == [r.levelno for r in records]


def test_reason_is_told_under_the_virtual_name(directory: Path) -> None:
    """A module that is configured by its virtual name counts as configured."""
    source = "__virtualname__ = 'rest_y'\ndef __virtual__(): return False\ndef start(): pass\n"
    (directory / "rest_x.py").write_text(source)

    assert _skipped(_load(directory, rest_y={}), "rest_y").configured


def test_package_with_submodules(directory: Path) -> None:
    """A package works with relative imports, and `__opts__` is in its sub-modules as well."""
    package = directory / "rest_pack"
    package.mkdir()
    (package / "__init__.py").write_text("from .app import start\n")
    (package / "app.py").write_text("def start(): return __opts__['greeting'], __name__\n")
    (module,) = _load(directory, greeting="hello").modules
    start: Any = module.start
    greeting, name = start()

    assert ("hello", "rest_pack.app") == (greeting, ".".join(name.split(".")[-2:]))


def test_copy_is_a_second_instance(directory: Path) -> None:
    """A copy of a module under another name is configured by a section of that name."""
    source = "def start(): return __opts__[__name__.rpartition('.')[2]]['port']\n"
    for name in ("rest_one", "rest_two"):
        (directory / f"{name}.py").write_text(source)
    loaded = _load(directory, rest_one={"port": 1}, rest_two={"port": 2})

    assert {"rest_one": 1, "rest_two": 2} == {m.name: m.start() for m in loaded.modules}


def test_order_of_directories(tmp_path: Path) -> None:
    """`extension_modules/netapi` comes before `netapi_dirs`; the first of a name wins."""
    (tmp_path / "ext" / "netapi").mkdir(parents=True)
    (tmp_path / "dirs").mkdir()
    for path in ("ext/netapi", "dirs"):
        (tmp_path / path / "rest_x.py").write_text(f"def start(): return {path!r}\n")
    opts = {"netapi_dirs": [str(tmp_path / "dirs")], "extension_modules": str(tmp_path / "ext")}
    loaded = loader.load(opts)

    assert ["ext/netapi"] == [module.start() for module in loaded.modules]
    assert "a module of this name was found before it." == _skipped(loaded, "rest_x").reason
    assert not _skipped(loaded, "rest_x").configured


def test_two_modules_of_one_virtual_name(directory: Path) -> None:
    """Of two modules that claim the same name the first one runs."""
    for name in ("a", "b"):
        source = f"def __virtual__(): return 'same'\ndef start(): return {name!r}\n"
        (directory / f"{name}.py").write_text(source)
    loaded = _load(directory)

    assert ["a"] == [module.start() for module in loaded.modules]
    assert "a runs under this name." == Path(_skipped(loaded, "same").reason).name


def test_private_names_are_not_modules(directory: Path) -> None:
    """A file whose name begins with an underscore is no netapi module."""
    (directory / "_shared.py").write_text("def start(): pass\n")

    assert () == _load(directory).modules


def test_missing_directory(tmp_path: Path) -> None:
    """A directory that does not exist is passed over."""
    assert () == _load(tmp_path / "missing").modules


def test_modules_of_salt_are_left_alone(directory: Path) -> None:
    """Salt's own netapi modules are never loaded, even when they are configured."""
    loaded = _load(directory, rest_cherrypy={"port": 1, "disable_ssl": True})
    every: list[Any] = [*loaded.modules, *loaded.skipped]
    sources = [one.source for one in every]

    assert [] == [source for source in sources if "salt/netapi" in source]


def test_netapi_dirs_must_be_a_list() -> None:
    """A string where a list belongs is an error that says so."""
    with pytest.raises(CannotStart, match="netapi_dirs must be a list of directories"):
        loader.load({"netapi_dirs": "/srv/netapi"})


def test_entry_point(tmp_path: Path) -> None:
    """A Salt extension brings netapi modules by the entry point `salt.loader`."""
    package = tmp_path / "someextension"
    (package / "netapi").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "netapi" / "rest_ext.py").write_text("def start(): pass\n")
    metadata = tmp_path / "someextension-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: someextension\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[salt.loader]\nsomeextension = someextension\n")
    home = Home(tmp_path)
    home.write()
    done = home.run("check", "-c", str(tmp_path), env={"PYTHONPATH": str(tmp_path)})

    assert "ok       rest_ext would run (" in done.stdout
