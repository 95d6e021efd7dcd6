"""Whom a request is of, behind proxies that are trusted and before those that are not."""

import time
from typing import Any

import pytest

from saltapi.config import RestWsgiConfig
from saltapi.errors import BadRequest, CannotStart
from saltapi.masking import CREDENTIAL_HEADERS
from saltapi.netapi._http.admission import check_readable
from saltapi.netapi._http.proxies import HOST, REFUSAL, TOKENS, believe

PROXIES = ["127.0.0.1", "10.0.0.0/8", "2001:db8:1::/48", "unix"]
CLIENT = "203.0.113.9"


def believed(
    headers: dict[str, str], peer: str = "127.0.0.1", trusted: list[str] = PROXIES
) -> dict[str, Any]:
    """Return the environ of a request with *headers* that *peer* sends."""
    names = {f"HTTP_{name.upper().replace('-', '_')}": text for name, text in headers.items()}
    environ = {"REMOTE_ADDR": peer, "wsgi.url_scheme": "http", "HTTP_HOST": "inner:8000", **names}
    believe(environ, trusted)
    return environ


FORWARDED_FOR = [
    (CLIENT, CLIENT),
    (f"198.51.100.7, {CLIENT}", CLIENT),
    (f"127.0.0.1, {CLIENT}", CLIENT),
    (f"198.51.100.7,{CLIENT},10.1.2.3", CLIENT),
    (f"10.9.9.9, {CLIENT}, 10.1.2.3, 127.0.0.1", CLIENT),
    (f"rubbish, \"', {CLIENT}", CLIENT),
    (f"{CLIENT}, 10.1.2.3", CLIENT),
    (f"  {CLIENT}  ", CLIENT),
    (f"{CLIENT}:4711", CLIENT),
    (f"{CLIENT}:_port", CLIENT),
    (f", ,{CLIENT},,", CLIENT),
    ("10.1.2.3, 127.0.0.1", "10.1.2.3"),
    ("2001:db8::9", "2001:db8::9"),
    ("2001:DB8:0:0::9", "2001:db8::9"),
    ("[2001:db8::9]", "2001:db8::9"),
    ("[2001:db8::9]:443", "2001:db8::9"),
    (f"{CLIENT}, [2001:db8:1::5]:443", CLIENT),
    ("fe80::1%eth0", "fe80::1"),
    ("[fe80::1%25eth0]:80", "fe80::1"),
    (f"::ffff:{CLIENT}", CLIENT),
    (f"{CLIENT}, ::ffff:10.0.0.1", CLIENT),
    ("unknown", "unknown"),
    ("10.0.0.1, Unknown", "unknown"),
    ("_hidden", "_hidden"),
    (f"{CLIENT}, unix:", CLIENT),
    ("", "127.0.0.1"),
    (",", "127.0.0.1"),
]


@pytest.mark.parametrize(("text", "address"), FORWARDED_FOR)
def test_x_forwarded_for(text: str, address: str) -> None:
    """The client is the first from the right that is no trusted proxy."""
    assert address == believed({"X-Forwarded-For": text})["REMOTE_ADDR"]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (f"for={CLIENT}", CLIENT),
        (f"For={CLIENT};Proto=https;by=10.0.0.1", CLIENT),
        (f"for=198.51.100.7, for={CLIENT}", CLIENT),
        (f"for=198.51.100.7,for={CLIENT};proto=http,for=10.0.0.2", CLIENT),
        (f'for="{CLIENT}"', CLIENT),
        (f'for="{CLIENT}:80"', CLIENT),
        (f'by="a,b;for=10.0.0.1";for={CLIENT}', CLIENT),
        (f'for="198.51.100.7, for=10.0.0.1", for={CLIENT}', CLIENT),
        (r'by="\"";for="\203.0.113.9"', CLIENT),
        ('for="[2001:db8::9]:4711"', "2001:db8::9"),
        ("for=[2001:db8::9]", "2001:db8::9"),
        ("for=unknown", "unknown"),
        ("for=_SEVKISEK", "_SEVKISEK"),
        (f"for={CLIENT}, for=_secret", "_secret"),
        (f"for={CLIENT}, , ", CLIENT),
        (f" for={CLIENT} ; proto=https ", CLIENT),
        ("proto=https", "127.0.0.1"),
        ("", "127.0.0.1"),
    ],
)
def test_forwarded(text: str, address: str) -> None:
    """The same of RFC 7239, with its quotes, ports and words for what is not told."""
    assert address == believed({"Forwarded": text})["REMOTE_ADDR"]


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": f"{CLIENT}, localhost"},
        {"X-Forwarded-For": f"{CLIENT}, 10.0.0"},
        {"X-Forwarded-For": f"{CLIENT}, 010.0.0.1"},
        {"X-Forwarded-For": f"{CLIENT}, 10.0.0.1, 203.0.113.999"},
        {"X-Forwarded-For": f"{CLIENT} 10.0.0.1"},
        {"X-Forwarded-For": f"{CLIENT}, 10.0.0.1:http"},
        {"X-Forwarded-For": "2130706433"},
        {"X-Forwarded-For": "0x7f.1"},
        {"X-Forwarded-For": "[2001:db8::9"},
        {"X-Forwarded-For": "[]"},
        {"X-Forwarded-For": "_" + "x" * 65},
        {"X-Forwarded-For": "_a b"},
        {"X-Forwarded-For": "/run/socket"},
        {"X-Forwarded-For": f'"{CLIENT}"'},
        {"X-Forwarded-For": ", ".join(["10.0.0.1"] * 40)},
        {"Forwarded": f'for="10.0.0.1, for={CLIENT}'},
        {"Forwarded": f'for="x\\", for={CLIENT}'},
        {"Forwarded": f"for={CLIENT}, for"},
        {"Forwarded": f"for={CLIENT}, for="},
        {"Forwarded": f"for = {CLIENT}"},
        {"Forwarded": f"for={CLIENT};for=10.0.0.1"},
        {"Forwarded": f"for={CLIENT} for=10.0.0.1"},
        {"Forwarded": f'for="10.0.0.1"{CLIENT}'},
        {"Forwarded": CLIENT},
        {"Forwarded": "for=10.0.0.1, for=1.2.3.4.5"},
        {"Forwarded": ", ".join(["for=10.0.0.1"] * 40)},
        {"Forwarded": "for=198.51.100.7", "X-Forwarded-For": CLIENT},
        {"Forwarded": "for=10.0.0.1", "X-Forwarded-For": CLIENT},
        {"Forwarded": f"for={CLIENT}", "X-Forwarded-For": "unknown"},
        {"Forwarded": f"for={CLIENT};proto=https", "X-Forwarded-Proto": "http"},
        {"Forwarded": f"for={CLIENT};host=a", "X-Forwarded-Host": "b"},
    ],
    ids=str,
)
def test_unreadable(headers: dict[str, str]) -> None:
    """What cannot be read, or says two things, is refused: nobody gets the proxy's rights by it."""
    environ = believed(headers)
    with pytest.raises(BadRequest, match=r"have the proxy in front|more than 32 proxies"):
        check_readable(environ)
    assert "127.0.0.1" == environ["REMOTE_ADDR"]


EVERYTHING = {
    "X-Forwarded-For": CLIENT,
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "salt.example",
    "Forwarded": f'for={CLIENT};proto=https;host=salt.example, "',
}


@pytest.mark.parametrize("peer", ["203.0.113.1", "127.0.0.2", "::1", "", "unix"])
def test_anybody_else(peer: str) -> None:
    """Of whom the option does not list these headers count for nothing, nor can they do harm."""
    environ = believed(EVERYTHING, peer, ["127.0.0.1", "10.0.0.0/8"])

    assert (peer, "http") == (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"])
    assert REFUSAL not in environ
    assert HOST not in environ
    assert "127.0.0.1" == believed(EVERYTHING, trusted=[])["REMOTE_ADDR"]


def test_unix_socket() -> None:
    """Who comes over a unix socket is named `unix`."""
    assert CLIENT == believed({"X-Forwarded-For": CLIENT}, "")["REMOTE_ADDR"]
    assert CLIENT == believed({"X-Forwarded-For": CLIENT}, "", ["unix"])["REMOTE_ADDR"]


@pytest.mark.parametrize(
    ("headers", "scheme", "host"),
    [
        ({"X-Forwarded-Proto": "https"}, "https", None),
        ({"X-Forwarded-Proto": "HTTPS"}, "https", None),
        ({"X-Forwarded-Proto": "wss"}, "https", None),
        ({"X-Forwarded-Proto": "https, http"}, "http", None),
        ({"X-Forwarded-For": CLIENT, "X-Forwarded-Proto": "https, http"}, "http", None),
        ({"X-Forwarded-For": f"{CLIENT}, 10.0.0.1", "X-Forwarded-Proto": "https"}, "https", None),
        (
            {"X-Forwarded-For": f"{CLIENT}, 10.0.0.1", "X-Forwarded-Proto": "https, http"},
            "https",
            None,
        ),
        (
            {
                "X-Forwarded-For": f"10.0.0.9, {CLIENT}, 10.0.0.1",
                "X-Forwarded-Proto": "http, https, http",
                "X-Forwarded-Host": "evil.example, salt.example, inner",
            },
            "https",
            "salt.example",
        ),
        ({"X-Forwarded-Proto": "gopher"}, "http", None),
        ({"X-Forwarded-Host": "salt.example:8443"}, "http", "salt.example:8443"),
        ({"X-Forwarded-Host": "[2001:db8::1]:8443"}, "http", "[2001:db8::1]:8443"),
        ({"X-Forwarded-Host": "salt.example/evil"}, "http", None),
        ({"Forwarded": f"for={CLIENT};proto=https;host=salt.example"}, "https", "salt.example"),
        ({"Forwarded": 'proto=https;host="salt.example:8443"'}, "https", "salt.example:8443"),
        (
            {"Forwarded": f"for={CLIENT};proto=https;host=a, for=10.0.0.1;proto=http;host=b"},
            "https",
            "a",
        ),
        (
            {"Forwarded": f"for={CLIENT};proto=https", "X-Forwarded-Proto": "https"},
            "https",
            None,
        ),
    ],
    ids=str,
)
def test_scheme_and_host(headers: dict[str, str], scheme: str, host: str | None) -> None:
    """Scheme and host are those that the client has asked with."""
    environ = believed(headers)

    assert (scheme, host) == (environ["wsgi.url_scheme"], environ.get(HOST))


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "10.0.0.1," * 8000},
        {"X-Forwarded-For": "9" * 60_000},
        {"X-Forwarded-For": "1" + ":" * 60_000},
        {"Forwarded": 'for="' + "\\" * 60_000},
        {"Forwarded": "for=10.0.0.1;" * 5000},
        {"Forwarded": "," * 60_000},
        {"Forwarded": " " * 60_000 + "x"},
        {"Forwarded": "a" * 60_000},
        {"Forwarded": 'a=""' + " " * 60_000 + "x"},
    ],
    ids=lambda headers: str(headers)[:40],
)
def test_long(headers: dict[str, str]) -> None:
    """However long a header is, it costs little."""
    began_at = time.process_time()
    believed(headers)
    assert time.process_time() - began_at < 0.1


@pytest.mark.parametrize("entry", ["localhost", "10.0.0.0/33", "*", "", "unix:/run/x", "10.0.0"])
def test_wrong_option(entry: str) -> None:
    """What is no address, no network and not `unix` stops the start."""
    with pytest.raises(CannotStart, match="trusted_proxies"):
        RestWsgiConfig.parse({"port": 1, "trusted_proxies": [entry]})


@pytest.mark.parametrize(
    ("value", "expected"),
    [("10.0.0.1", ["10.0.0.1"]), (["unix", "::1"], ["unix", "::1"]), (None, [])],
)
def test_option(value: Any, expected: list[str]) -> None:
    """One entry, or a list of them, or none."""
    assert expected == RestWsgiConfig.parse({"port": 1, "trusted_proxies": value}).trusted_proxies


@pytest.mark.parametrize("header", ["Cf-Access-Jwt-Assertion", "X-Forwarded-Access-Token"])
def test_token_of_a_login_proxy(header: str) -> None:
    """The token that a trusted proxy hands on counts, if the client sends none; nobody else's."""
    name = "HTTP_AUTHORIZATION"

    assert "Bearer a.b.c" == believed({header: "a.b.c"})[name]
    assert "Bearer a.b.c" == believed({header: "a.b.c", "Authorization": "Basic eDp5"})[name]
    assert "Bearer own" == believed({header: "a.b.c", "Authorization": "Bearer own"})[name]
    assert name not in believed({header: "a.b.c"}, peer=CLIENT)
    assert name not in believed({header: "a.b.c"}, trusted=[])
    assert name not in believed({"X-Forwarded-User": "root", "X-Forwarded-Email": "a@b.c"})


def test_tokens_of_login_proxies_are_in_no_event() -> None:
    """They are left out of the headers that the event of a web hook has."""
    names = {name.removeprefix("HTTP_").replace("_", "-").lower() for name in TOKENS}

    assert names <= CREDENTIAL_HEADERS
