from saltapi.engine.commands.asynchronous import AsyncAPIClient
from saltapi.interfaces import INTERFACES, Kind


def test_every_interface_has_its_method() -> None:
    """What the table names can be called, by name and as a chunk."""
    for name in INTERFACES:
        assert callable(getattr(AsyncAPIClient, name)), name
        assert callable(getattr(AsyncAPIClient, f"_{name}")), name


def test_what_does_not_wait_is_a_twin() -> None:
    """Each interface that only starts something has one beside it that also waits for it."""
    for name, interface in INTERFACES.items():
        if not interface.waits:
            twin = INTERFACES[interface.kind]
            assert f"{twin.name}_async" == name
            assert twin.waits
    assert set(Kind) == {interface.kind for interface in INTERFACES.values()}
