"""A login proxy that names its user in a header, at every module."""

import hmac
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from typing import Any

import pytest
from joserfc.jwk import Key, OKPKey

from tests.issuer import sign
from tests.netapi.sso.door import MODULES, PING, PONG, Doors, result
from tests.oidc_master import PROXY, PROXY_ISSUER
from tests.waiting import eventually, scaled
from tests.wire import Answer, encode_request, exchange

STRANGER = "127.0.0.1"
USER, GROUPS = "X-Forwarded-User", "X-Forwarded-Groups"
DOC = {**PING, "fun": "sys.doc"}
Pairs = Iterable[tuple[str, str | bytes]]


def ask(
    doors: Doors,
    module: str,
    headers: Pairs,
    chunk: Any = PING,
    *,
    peer: str = PROXY,
    path: str = "/",
) -> Answer:
    """Run a chunk with these headers, from an address."""
    body = json.dumps([chunk]).encode()
    fixed = [("Host", f"127.0.0.1:{doors.ports[module]}"), ("Connection", "close")]
    fixed += [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    head = encode_request("POST", path, fixed, None).removesuffix(b"\r\n")
    for name, value in headers:
        raw = value if isinstance(value, bytes) else value.encode()
        head += name.encode() + b": " + raw + b"\r\n"
    return exchange(doors.ports[module], head + b"\r\n" + body, source=peer)


def opens(doors: Doors, module: str, headers: Pairs, **options: Any) -> bool:
    """Return whether a request with these headers runs `test.ping`."""
    return bool(PONG == result(ask(doors, module, headers, **options)))


@pytest.mark.parametrize("module", MODULES)
def test_accepted(doors: Doors, module: str) -> None:
    """Whom the proxy names runs what user and groups may, and nothing else."""
    assert opens(doors, module, [(USER, "carol")])
    assert opens(doors, module, [(USER, "dave"), (GROUPS, "staff,ops")])
    assert not opens(doors, module, [(USER, "dave"), (GROUPS, "staff")])
    assert PONG != result(ask(doors, module, [(USER, "carol")], DOC))
    if module != "rest_wsgi":
        assert opens(doors, module, [(USER, "carol")], path="/run")


def test_who_that_is(doors: Doors) -> None:
    """It is a user of the eauth system `oidc`, with the prefix, and is recorded as such."""
    headers = {USER: "erin", GROUPS: "admins"}
    request = encode_request("GET", "/v1/whoami", [*headers.items(), ("Host", "x")], None)
    found = exchange(doors.ports["rest_asgi"], request, source=PROXY).value()

    assert ("proxy:erin", "oidc") == (found["user"], found["eauth"])
    assert ["proxy:admins"] == found["groups"]
    assert opens(doors, "rest_asgi", headers.items())
    eventually(lambda: "proxy:erin" in doors.audit.read_text(), scaled(5))


@pytest.mark.parametrize("module", MODULES)
def test_from_elsewhere(doors: Doors, module: str) -> None:
    """A name that no trusted proxy sends counts for nothing, whatever is claimed; it is said."""
    good = [(USER, "carol"), (GROUPS, "admins")]
    claims = [
        ("X-Forwarded-For", PROXY),
        ("X-Forwarded-For", f"{PROXY}, {PROXY}"),
        ("Forwarded", f"for={PROXY}"),
        ("X-Real-IP", PROXY),
    ]
    for claim in [[], *([one] for one in claims)]:
        assert not opens(doors, module, [*good, *claim], peer=STRANGER)
    assert f"{STRANGER} has sent the header {USER}" in doors.server.log()
    session = ("X-Auth-Token", doors.login())
    if module != "rest_wsgi":
        assert opens(doors, module, [*good, session], peer=STRANGER)


TWICE: dict[str, Pairs] = {
    "two users": [(USER, "carol"), (USER, "carol")],
    "another user first": [(USER, "root"), (USER, "carol")],
    "in another case": [(USER, "carol"), (USER.upper(), "root")],
    "an empty one first": [(USER, ""), (USER, "carol")],
    "a comma": [(USER, "carol,root")],
    "two groups": [(USER, "carol"), (GROUPS, "admins"), (GROUPS, "ops")],
    "groups with blanks": [(USER, "carol"), (GROUPS, "ops, admins")],
    "an empty group": [(USER, "carol"), (GROUPS, "ops,,admins")],
}
ODD: dict[str, Pairs] = {
    "control": [(USER, b"car\x01ol")],
    "nul": [(USER, b"carol\x00")],
    "tab": [(USER, "car\tol")],
    "escape": [(USER, b"carol\x1b[2J")],
    "no UTF-8": [(USER, b"carol\xff")],
    "another direction": [(USER, "carol\u202e")],
    "line separator": [(USER, "carol\u2028")],
    "long": [(USER, "c" * 257)],
    "long groups": [(USER, "carol"), (GROUPS, "g" * 4097)],
    "many groups": [(USER, "carol"), (GROUPS, ",".join(map(str, range(201))))],
    "control in a group": [(USER, "carol"), (GROUPS, b"ops\x01")],
    "folded": [(USER, "carol\r\n admin")],
}
PATTERNS = ["*", ".*", "car?l", "[a-z]*", "ops%", "admins%", "carol|root", "(carol)", "caro."]


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("attack", [*TWICE, *ODD])
def test_unclear(doors: Doors, module: str, attack: str) -> None:
    """Two names, and what is no name, are refused: nobody is taken for one of them."""
    answer = ask(doors, module, {**TWICE, **ODD}[attack])

    assert 400 == answer.status, answer
    assert b"minion-1" not in answer.body


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("name", PATTERNS)
def test_pattern(doors: Doors, module: str, name: str) -> None:
    """A name that Salt would take for others' is nobody's; and so is one with no rules."""
    assert not opens(doors, module, [(USER, name)])


@pytest.mark.parametrize("module", MODULES)
def test_no_name(doors: Doors, module: str) -> None:
    """Without a name there is nobody: not by groups, nor by headers that look alike."""
    for headers in (
        [(GROUPS, "admins")],
        [(USER, ""), (GROUPS, "admins")],
        [("X_Forwarded_User", "carol")],
        [("X-Forwarded_User", "carol")],
        [("X-Forwarded-User ", "carol")],
        [("X-Forwarded-Email", "carol")],
        [("X-Auth-Request-User", "carol")],
        [("Remote-User", "carol")],
        [("X-Forwarded-Preferred-Username", "carol")],
    ):
        assert not opens(doors, module, headers), headers
    # What looks alike adds nobody to a name, either.
    mixed = [(USER, "dave"), ("X_Forwarded_Groups", "admins"), ("X_Forwarded_User", "carol")]
    assert not opens(doors, module, mixed)


@pytest.mark.parametrize("module", MODULES)
def test_other_headers_of_salt(doors: Doors, module: str) -> None:
    """`X-Forwarded-Eauth` and `-Password` choose no other eauth system, and count for nothing."""
    credentials = doors.master.credentials()
    more = [("X-Forwarded-Eauth", "file"), ("X-Forwarded-Password", credentials["password"])]
    name = str(credentials["username"])

    assert not opens(doors, module, [(USER, name), *more])
    assert opens(doors, module, [(USER, "carol"), *more])


@pytest.mark.parametrize("module", MODULES)
def test_beside_a_token(doors: Doors, module: str) -> None:
    """Where a token is handed on, of the client's or the proxy's, a name counts for nothing."""
    admin = [(USER, "erin"), (GROUPS, "admins")]
    bob = doors.master.issuer.token(sub="bob")
    wrong = doors.master.issuer.token(sub="bob", exp=int(time.time()) - 1)

    for header in ("Authorization", "X-Forwarded-Access-Token", "Cf-Access-Jwt-Assertion"):
        scheme = "Bearer " if header == "Authorization" else ""
        assert opens(doors, module, [*admin, (header, scheme + bob)])
        assert PONG != result(ask(doors, module, [*admin, (header, scheme + bob)], DOC))
        assert not opens(doors, module, [*admin, (header, scheme + wrong)])


@pytest.mark.parametrize("module", MODULES)
def test_groups_of_now(doors: Doors, module: str) -> None:
    """A group that the proxy does not name any more counts no more, with the next request."""
    assert opens(doors, module, [(USER, "frank"), (GROUPS, "ops")])
    assert not opens(doors, module, [(USER, "frank")])
    assert opens(doors, module, [(USER, "frank"), (GROUPS, "ops")])


@pytest.mark.parametrize("module", ["rest_asgi", "rest_cherrypy", "rest_tornado"])
def test_page_of_another_origin(doors: Doors, module: str) -> None:
    """A page elsewhere runs nothing in the name of whoever looks at it."""
    for more in (("Origin", "https://evil.example.com"), ("Sec-Fetch-Site", "cross-site")):
        assert 403 == ask(doors, module, [(USER, "carol"), more]).status


def test_logout(doors: Doors) -> None:
    """A logout ends the session; the proxy says who that is with the next request, too."""
    head = [("Host", "x"), (USER, "carol"), ("Connection", "close"), ("Content-Length", "0")]
    assert opens(doors, "rest_asgi", [(USER, "carol")])
    request = encode_request("POST", "/logout", head, None)

    assert 200 == exchange(doors.ports["rest_asgi"], request, source=PROXY).status
    eventually(lambda: opens(doors, "rest_asgi", [(USER, "carol")]), scaled(5))


def test_makes_no_tokens(doors: Doors) -> None:
    """Who is known by a header alone makes no token that lasts."""
    body = b'{"name": "x"}'
    head = [("Host", "x"), (USER, "erin"), (GROUPS, "admins"), ("Connection", "close")]
    head += [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    request = encode_request("POST", "/v1/tokens", head, body)

    assert 403 == exchange(doors.ports["rest_asgi"], request, source=PROXY).status


def claims(**changes: Any) -> dict[str, Any]:
    """Return what is signed for a user."""
    now = int(time.time())
    good = {"iss": PROXY_ISSUER, "aud": PROXY_ISSUER, "sub": "erin", "groups": ["admins"]}
    return {**good, "iat": now, "exp": now + 60, **changes}


def signed(key: Key | None, *, alg: str = "EdDSA", **changes: Any) -> str:
    """Return a token of these claims."""
    return sign({"alg": alg, "typ": "JWT"}, claims(**changes), key)


def hmac_signed(secret: bytes) -> str:
    """Return a token whose secret is our public key."""
    parts = (json.dumps(part).encode() for part in ({"alg": "HS256"}, claims()))
    text = ".".join(urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
    digest = urlsafe_b64encode(hmac.digest(secret, text.encode(), "sha256"))
    return f"{text}.{digest.rstrip(b'=').decode()}"


@pytest.mark.parametrize("module", MODULES)
def test_forged(doors: Doors, module: str) -> None:
    """Only what our key signs, for a minute, is a word of the proxy's; and for nobody else."""
    key, issuer = doors.master.proxy_key, doors.master.issuer
    forged = [
        signed(OKPKey.generate_key("Ed25519")),
        signed(None, alg="none"),
        hmac_signed(key.as_pem(private=False)),
        signed(issuer.key, alg="RS256"),
        signed(key, iss=issuer.url, aud="salt"),
        signed(key, aud="salt"),
        signed(key, exp=int(time.time()) + 3600),
        signed(key, iat=int(time.time()) - 3600),
        signed(key, exp=int(time.time()) - 1),
        signed(key, iat=int(time.time()) + 30, exp=int(time.time()) + 60),
    ]

    assert PONG == result(doors.run(module, signed(key), PING))
    for token in forged:
        assert PONG != result(doors.run(module, token, PING))


def test_no_credential_is_logged(doors: Doors) -> None:
    """What is signed is in no log, and in no audit log."""
    assert opens(doors, "rest_asgi", [(USER, "carol")])

    assert "eyJ" not in doors.server.log()
    assert "eyJ" not in doors.audit.read_text()
