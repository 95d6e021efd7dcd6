"""`authorized_ips` and `api_acl`."""

from typing import Any

import pytest

from saltapi.engine.sessions.addresses import address_allowed, user_allowed
from saltapi.engine.sessions.user_names import UserNames


@pytest.mark.parametrize(
    ("allowed", "address", "expected"),
    [
        (None, "192.0.2.1", True),
        ([], "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.1", True),
        (["192.0.2.1"], "192.0.2.1", True),
        (["192.0.2.1"], "192.0.2.10", False),
        (["192.0.2.1"], "192.0.2.2", False),
        (["192.0.2.0/24"], "192.0.2.77", True),
        (["192.0.2.5/24"], "192.0.2.77", True),
        (["192.0.2.0/24"], "::ffff:192.0.2.77", True),
        (["192.0.2.0/24"], "2001:db8::1", False),
        (["2001:db8::/32"], "2001:db8::1", True),
        (["2001:DB8:0::1"], "2001:db8::1", True),
        (["::/0"], "192.0.2.1", False),
        (["nonsense"], "192.0.2.1", False),
        (["nonsense", "192.0.2.1"], "192.0.2.1", True),
        (["192.0.2.1"], "", False),
        (["192.0.2.1"], "192.0.2.1, 198.51.100.1", False),
        (["*"], "192.0.2.1", False),
    ],
)
def test_authorized_ips(allowed: Any, address: str, expected: bool) -> None:
    """`authorized_ips` admits its addresses and networks, and everybody if it is empty."""
    assert expected is address_allowed(allowed, address)


@pytest.mark.parametrize(
    ("acl", "name", "address", "expected"),
    [
        (None, "fred", "192.0.2.1", True),
        ({}, "fred", "192.0.2.1", True),
        ({"users": {}}, "fred", "192.0.2.1", False),
        ({"users": {"fred": ["192.0.2.1"]}}, "fred", "192.0.2.1", True),
        ({"users": {"fred": ["192.0.2.1"]}}, "fred", "192.0.2.2", False),
        ({"users": {"fred": ["192.0.2.0/24"]}}, "fred", "192.0.2.2", True),
        ({"users": {"fred": ["192.0.2.1"]}}, "jane", "192.0.2.1", False),
        ({"users": {"fred": "192.0.2.1"}}, "fred", "192.0.2.1", True),
        ({"users": {"fred": ["*"]}}, "fred", "2001:db8::1", True),
        ({"users": {"*": ["192.0.2.1"]}}, "fred", "192.0.2.1", True),
        ({"users": {"*": ["*"]}}, "fred", "192.0.2.1", True),
        ({"users": {"fred": ["192.0.2.1"], "*": ["*"]}}, "fred", "192.0.2.2", False),
        ({"users": {"fred": [], "*": ["*"]}}, "fred", "192.0.2.2", False),
        ({"users": {"fred": None, "*": ["*"]}}, "fred", "192.0.2.2", False),
        ({"users": {"fred": 5}}, "fred", "192.0.2.1", False),
        ({"users": {"fred": [5]}}, "fred", "192.0.2.1", False),
        ({"users": "fred"}, "fred", "192.0.2.1", False),
        ({"users": ["fred"]}, "fred", "192.0.2.1", False),
        ({"users": {"fred": ["*"]}}, "", "192.0.2.1", False),
    ],
)
def test_api_acl(acl: Any, name: str, address: str, expected: bool) -> None:
    """A user's own entry in `api_acl` decides, else that of `*`; a wrong entry lets nobody in."""
    assert expected is user_allowed(acl, [name], address)


@pytest.mark.parametrize(
    ("eauth", "name", "expected"),
    [
        ("pam", "root", True),
        ("auto", "root", False),  # the entry without a system
        ("auto", "pam:root", False),  # a name like a bound one is nobody's entry
        ("auto", "fred", True),
        ("pam", "fred", True),
        ("auto", "other", False),
    ],
)
def test_bound_api_acl(eauth: str, name: str, expected: bool) -> None:
    """An entry `eauth:name` counts for that user alone, before those without a system."""
    acl = {"users": {"pam:root": ["*"], "root": [], "fred": ["*"], "*": []}}
    names = UserNames({"external_auth": {"pam": {}, "auto": {}}}).entries(eauth, name)

    assert expected is user_allowed(acl, names, "192.0.2.1")
