"""Which pages may use the cookie that a browser adds by itself."""

import pytest

from saltapi.errors import OriginRefused
from saltapi.netapi._http.origins import check_handshake, check_origin
from saltapi.netapi._http.proxies import HOST

COOKIE = {"HTTP_COOKIE": "other=1; session_id=" + "ab" * 32}
FOREIGN = {"HTTP_ORIGIN": "http://evil.example"}
LISTED = "http://pages.example"


def is_taken(
    more: dict[str, str],
    method: str = "POST",
    *,
    listed: tuple[str, ...] = (),
    gives_cookie: bool = False,
) -> bool:
    """Return whether a request is taken."""
    environ = {
        "REQUEST_METHOD": method,
        "HTTP_HOST": "salt.example:8000",
        "wsgi.url_scheme": "http",
        **more,
    }
    try:
        check_origin(environ, listed, gives_cookie=gives_cookie)
    except OriginRefused:
        return False
    return True


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "PROPFIND", "post"])
def test_foreign(method: str) -> None:
    """What changes something and has the cookie does not come from a foreign page."""
    assert not is_taken({**COOKIE, **FOREIGN}, method)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_reading(method: str) -> None:
    """What changes nothing may be asked for: the answer cannot be read."""
    assert is_taken({**COOKIE, **FOREIGN}, method)


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("http://salt.example:8000", True),
        ("https://salt.example:8000", True),
        ("HTTP://SALT.EXAMPLE:8000", True),
        ("http://salt.example", False),
        ("http://salt.example:80", False),
        ("http://sub.salt.example:8000", False),
        ("http://salt.example:8000, http://evil.example", False),
        ("http://salt.example:8000@evil.example", False),
        ("http://salt.example:8000.evil.example", False),
        ("null", False),
        ("", False),
        ("file://", False),
        ("chrome-extension://abcdef", False),
    ],
)
def test_origin(origin: str, expected: bool) -> None:
    """Without the browser's own word the origin is compared with the host."""
    assert expected is is_taken({**COOKIE, "HTTP_ORIGIN": origin})


@pytest.mark.parametrize(
    ("site", "origin", "expected"),
    [
        ("same-origin", None, True),
        ("none", None, True),
        ("same-site", None, False),
        ("cross-site", None, False),
        ("Same-Site", None, False),
        ("same-origin, cross-site", None, False),
        ("anything", None, False),
        # A proxy that is not trusted may have changed the host; no page can change this header.
        ("same-origin", "https://outer.example", True),
        ("none", "http://evil.example", False),
        ("same-site", "http://salt.example:8000", False),
        ("cross-site", LISTED, True),
        ("same-site", LISTED, True),
        ("cross-site", "null", False),
    ],
)
def test_fetch_metadata(site: str, origin: str | None, expected: bool) -> None:
    """The browser's own word counts first, and a listed origin may in any case."""
    headers = {**COOKIE, "HTTP_SEC_FETCH_SITE": site}
    if origin is not None:
        headers["HTTP_ORIGIN"] = origin
    assert expected is is_taken(headers, listed=(LISTED,))


def test_who_is_not_concerned() -> None:
    """No cookie, or a token in a header, which no page can send unasked; and no browser."""
    assert is_taken(FOREIGN)
    assert is_taken({**FOREIGN, "HTTP_COOKIE": "other=1"})
    assert is_taken({**COOKIE, **FOREIGN, "HTTP_X_AUTH_TOKEN": "ab" * 32})
    assert is_taken(COOKIE)
    assert not is_taken({**COOKIE, **FOREIGN, "HTTP_X_AUTH_TOKEN": "  "})
    assert not is_taken({**COOKIE, **FOREIGN, "HTTP_AUTHORIZATION": "Bearer " + "ab" * 32})
    assert not is_taken({**COOKIE, **FOREIGN, "HTTP_X_HTTP_METHOD_OVERRIDE": "GET"})


@pytest.mark.parametrize("cookie", ["session_id=x", "a=b;session_id=x", 'a="b; session_id=x"', ","])
def test_cookies_as_parsers_read_them(cookie: str) -> None:
    """Whatever some reader could take for the session's cookie counts as one."""
    assert ("session_id" not in cookie) is is_taken({**FOREIGN, "HTTP_COOKIE": cookie})


def test_login() -> None:
    """What hands out the cookie needs a page of ours or a listed one, with or without a cookie."""
    assert not is_taken(FOREIGN, gives_cookie=True)
    assert not is_taken({"HTTP_SEC_FETCH_SITE": "cross-site"}, gives_cookie=True)
    assert is_taken({}, gives_cookie=True)
    assert is_taken({"HTTP_ORIGIN": LISTED}, gives_cookie=True, listed=(LISTED,))
    assert is_taken(FOREIGN, gives_cookie=True, listed=("*",))


def test_star() -> None:
    """`*` is for pages with a token of their own: to them no browser adds the cookie."""
    assert not is_taken({**COOKIE, **FOREIGN}, listed=("*",))
    assert is_taken({**COOKIE, **FOREIGN}, listed=("*", "http://evil.example"))


def test_behind_a_proxy() -> None:
    """The own origin is the one that the browser sees, where a trusted proxy says it."""
    seen = {**COOKIE, HOST: "salt.example", "wsgi.url_scheme": "https"}
    assert is_taken({**seen, "HTTP_ORIGIN": "https://salt.example"})
    assert not is_taken({**seen, "HTTP_ORIGIN": "http://salt.example"})
    assert not is_taken({**seen, "HTTP_ORIGIN": "https://salt.example:8000"})


def test_handshake() -> None:
    """A WebSocket is for our own pages and for listed ones; `*` lets none in with the cookie."""
    environ = {"REQUEST_METHOD": "GET", "HTTP_HOST": "salt.example", "wsgi.url_scheme": "http"}
    check_handshake(environ, [])
    check_handshake({**environ, **COOKIE}, [])
    check_handshake({**environ, **COOKIE, "HTTP_ORIGIN": "http://salt.example"}, [])
    check_handshake({**environ, **COOKIE, **FOREIGN}, ["http://evil.example"])
    check_handshake({**environ, **FOREIGN}, ["*"])
    for headers in (FOREIGN, {**COOKIE, **FOREIGN}, {"HTTP_SEC_FETCH_SITE": "same-site"}):
        with pytest.raises(OriginRefused):
            check_handshake({**environ, **headers}, [])
    with pytest.raises(OriginRefused):
        check_handshake({**environ, **COOKIE, **FOREIGN}, ["*"])


JWT = {"HTTP_AUTHORIZATION": "Bearer eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"}


def test_tokens_of_login_proxies() -> None:
    """A login proxy adds its user's token to what any page sends, so it counts as a cookie."""
    assert not is_taken({**JWT, **FOREIGN})
    assert not is_taken({**JWT, **FOREIGN}, listed=("*",))
    assert is_taken({**JWT, "HTTP_ORIGIN": LISTED}, listed=(LISTED,))
    assert is_taken(JWT)
    assert is_taken({**JWT, **FOREIGN}, "GET")
    assert is_taken({"HTTP_AUTHORIZATION": f"Bearer {'ab' * 32}", **FOREIGN})
    assert is_taken({**JWT, **FOREIGN, "HTTP_X_AUTH_TOKEN": "ab" * 32})
