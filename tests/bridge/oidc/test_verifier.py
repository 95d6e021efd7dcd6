"""Tokens of identity providers: which are accepted, and whose they are."""

import base64
import contextlib
import hmac
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from joserfc.jwk import ECKey, RSAKey

from saltapi.bridge.oidc import fetching, keys
from saltapi.bridge.oidc.fetching import Unreachable
from saltapi.bridge.oidc.tokens import TOKEN_LIMIT_CHARACTERS, Untrusted
from saltapi.bridge.oidc.verifier import Verifier, verifier_of
from saltapi.config.oidc import issuers_of
from saltapi.errors import CannotStart
from tests.issuer import Issuer, running, sign
from tests.waiting import scaled


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    """An issuer whose keys stay."""
    with running() as issuer:
        yield issuer


def verifier(*issuers: dict[str, Any], users: dict[str, Any] | None = None) -> Verifier:
    """Return what trusts these issuers."""
    return Verifier(issuers_of({"saltapi_oidc": list(issuers)}), {"oidc": users or {}})


def refusal(found: Verifier, token: str) -> str:
    """Return why a token is not accepted."""
    with pytest.raises(Untrusted) as refused:
        found.identify(token)
    return str(refused.value)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_accepted(algorithm: str) -> None:
    """A token of an issuer is its user's, with the groups that it names."""
    with running(algorithm) as issuer:
        found = verifier(issuer.options()).identify(issuer.token(groups=["ops", "dev"]))

    assert ("alice", ("ops", "dev")) == (found.user, found.groups)
    assert issuer.url == found.issuer


def test_without_kid(issuer: Issuer) -> None:
    """A token need not name its key."""
    assert "alice" == verifier(issuer.options()).identify(issuer.token(header={"kid": None})).user


FORGED: dict[str, Callable[[Issuer], str]] = {
    "alg none": lambda issuer: sign({"alg": "none"}, issuer.claims(), None),
    "alg none with a signature": lambda issuer: (
        sign({"alg": "none"}, issuer.claims(), None) + issuer.token().rpartition(".")[2]
    ),
    "alg None": lambda issuer: with_header(issuer.token(), alg="nOnE"),
    "hmac with the public key": lambda issuer: hmac_token(issuer),
    "another issuer's key with the same kid": lambda issuer: issuer.token(
        key=RSAKey.generate_key(2048, {"kid": "key-1"})
    ),
    "a key in the header": lambda issuer: own_key(issuer, "jwk"),
    "an algorithm of another key": lambda issuer: issuer.token(
        key=ECKey.generate_key("P-256"), header={"alg": "ES256"}
    ),
    "other claims": lambda issuer: with_claims(issuer.token(), sub="root"),
    "without a signature": lambda issuer: issuer.token().rpartition(".")[0] + ".",
    "cut": lambda issuer: issuer.token()[:-20],
    "critical header": lambda issuer: issuer.token(header={"crit": ["exp"], "exp": 1}),
    "unencoded payload": lambda issuer: with_header(issuer.token(), b64=False),
    "nested": lambda issuer: issuer.token(header={"cty": "JWT"}),
    "a logout token": lambda issuer: issuer.token(header={"typ": "logout+jwt"}),
    "with logout events": lambda issuer: issuer.token(
        events={"http://schemas.openid.net/event/backchannel-logout": {}}
    ),
    "encrypted": lambda issuer: f"{issuer.token()}.{'A' * 40}.{'A' * 40}",
    "oversized": lambda issuer: issuer.token(filler="x" * TOKEN_LIMIT_CHARACTERS),
    "wrong aud": lambda issuer: issuer.token(aud="other"),
    "no aud": lambda issuer: issuer.token(aud=None),
    "aud of another type": lambda issuer: issuer.token(aud={"salt": 1}),
    "part of the aud": lambda issuer: issuer.token(aud="saltx"),
    "several aud without azp": lambda issuer: issuer.token(aud=["salt", "other"]),
    "azp of another client": lambda issuer: issuer.token(azp="other"),
    "wrong iss": lambda issuer: issuer.token(iss="https://evil.example.com"),
    "nearly the iss": lambda issuer: issuer.token(iss=f"{issuer.url}/"),
    "no iss": lambda issuer: issuer.token(iss=None),
    "expired by a second": lambda issuer: issuer.token(exp=int(time.time()) - 1),
    "no exp": lambda issuer: issuer.token(exp=None),
    "no iat": lambda issuer: issuer.token(iat=None),
    "exp as text": lambda issuer: issuer.token(exp=str(int(time.time()) + 600)),
    "exp true": lambda issuer: issuer.token(exp=True),
    "exp for ever": lambda issuer: issuer.token(exp=1e300),
    "exp infinite": lambda issuer: issuer.token(exp=float("inf")),
    "far future iat": lambda issuer: issuer.token(iat=int(time.time()) + 3600),
    "not yet": lambda issuer: issuer.token(nbf=int(time.time()) + 3600),
    "no sub": lambda issuer: issuer.token(sub=None),
    "sub is no text": lambda issuer: issuer.token(sub=["alice"]),
    "claims twice": lambda issuer: sign(
        {"alg": "RS256", "kid": "key-1"},
        json.dumps(issuer.claims())[:-1] + ', "sub": "root"}',
        issuer.key,
    ),
    "claims are no object": lambda issuer: sign({"alg": "RS256"}, "[[]] " * 3, issuer.key),
    "deep claims": lambda issuer: sign({"alg": "RS256"}, "[" * 8000, issuer.key),
    "kid is no text": lambda issuer: with_header(issuer.token(), kid={"a": 1}),
}
NAMES = {
    "everybody": "*",
    "a glob": "a?ice",
    "a class": "[a-z]lice",
    "a group": "ops%",
    "a pattern": ".*",
    "a dot": "alic.",
    "an alternative": "alice|x",
    "slow": ".+.+.+.+.+.+.+.+.+.+.+.+X",
    "a setting": "^filename",
    "a line": "alice\n",
    "long": "a" * 300,
    "empty": "",
}


@pytest.mark.parametrize("name", FORGED)
def test_attack(issuer: Issuer, name: str) -> None:
    """What no issuer has signed for us, now, is nobody's."""
    assert refusal(verifier(issuer.options()), FORGED[name](issuer))


@pytest.mark.parametrize("name", NAMES)
def test_name_that_is_another_users(issuer: Issuer, name: str) -> None:
    """A name has the rules of nobody else: Salt takes names for patterns."""
    found = verifier(issuer.options(), users={"alice": [".*"], "*": ["test.*"], "ops%": []})

    assert refusal(found, issuer.token(sub=NAMES[name]))


def test_plain_names(issuer: Issuer) -> None:
    """Names with dots and a plus stand for themselves."""
    users: dict[str, Any] = {"alice.b+salt@example.com": [], "bob@example.com": []}
    found = verifier(issuer.options(user_claim="sub"), users=users)

    assert all(user == found.identify(issuer.token(sub=user)).user for user in users)


@pytest.mark.parametrize("where", ["jku", "x5u"])
def test_address_of_keys(issuer: Issuer, where: str) -> None:
    """Where a token says that its keys are, nobody looks."""
    with running(kid="evil") as evil:
        header: dict[str, Any] = {where: f"{evil.url}/keys", "kid": "evil"}
        assert refusal(verifier(issuer.options()), issuer.token(key=evil.key, header=header))

    assert [] == evil.asked


def test_mix_up(issuer: Issuer) -> None:
    """An issuer speaks for its own users, whatever its tokens say."""
    with running() as other:
        found = verifier(issuer.options(), other.options(user_prefix="ci:"))

        assert refusal(found, other.token(iss=issuer.url))
        assert refusal(found, issuer.token(sub="ci:alice"))
        mine = found.identify(other.token(groups=["ops"]))
        assert ("ci:alice", ("ci:ops",)) == (mine.user, mine.groups)
        assert () == found.identify(issuer.token(groups=["ci:ops"])).groups


def test_groups(issuer: Issuer) -> None:
    """Groups come from wherever the issuer puts them, and only as texts."""

    def groups(claim: str, **claims: Any) -> tuple[str, ...]:
        return verifier(issuer.options(groups_claim=claim)).identify(issuer.token(**claims)).groups

    named: dict[str, Any] = {"https://x.y/groups": ["a"]}
    assert ("a",) == groups("realm_access.roles", realm_access={"roles": ["a"]})
    assert ("a",) == groups("https://x.y/groups", **named)
    assert ("a",) == groups("groups", groups=["a", 1, None, "", "b%", ["c"]])
    assert () == groups("groups", groups={"a": 1})
    assert () == groups("groups", groups=["a"] * 1001)
    assert () == groups("groups", _claim_names={"groups": "src1"})
    assert () == groups("a.b.c", a=["b"])


def test_required(issuer: Issuer) -> None:
    """Claims that the config requires have to be there, with these values and types."""
    found = verifier(
        issuer.options(required_claims={"repository": "org/app", "ref": ["refs/heads/main"]})
    )

    found.identify(issuer.token(repository="org/app", ref="refs/heads/main"))
    for repository, ref in ((None, None), ("org/app", None), ("org/app", "x")):
        assert refusal(found, issuer.token(repository=repository, ref=ref))
    assert refusal(verifier(issuer.options(required_claims={"ok": True})), issuer.token(ok=1))
    hosted = verifier(issuer.options(hosted_domain="example.com"))
    assert "alice" == hosted.identify(issuer.token(hd="example.com")).user
    assert refusal(hosted, issuer.token())


def test_email(issuer: Issuer) -> None:
    """An address is somebody's name only if the issuer has verified it."""
    found = verifier(issuer.options(user_claim="email"))
    email = "alice@example.com"

    assert email == found.identify(issuer.token(email=email, email_verified=True)).user
    assert refusal(found, issuer.token(email=email))
    assert refusal(found, issuer.token(email=email, email_verified=False))


def test_rotation(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new key is found at once, and a key that is gone counts no more."""
    with running() as own:
        found = verifier(own.options())
        old = own.token()
        first = found.identify(old)
        own.key = RSAKey.generate_key(2048, {"kid": "key-2"})
        own.keys = [own.key.as_dict(private=False)]

        assert "alice" == found.identify(own.token()).user
        assert not found.still_known(first)
        assert refusal(found, old)


def test_strange_kid_is_asked_for_seldom(issuer: Issuer) -> None:
    """Tokens with keys that there are not make nobody ask the issuer all the time."""
    with running() as own:
        found = verifier(own.options())
        for number in range(20):
            refusal(found, own.token(header={"kid": f"no-{number}"}))

        assert 2 >= own.asked.count("/keys")


def test_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """While an issuer is away its keys hold for a while; who has none gets to know why."""
    with running() as own:
        found, other = verifier(own.options()), verifier(own.options(user_prefix="x"))
        found.identify(own.token())
        own.is_away = True
        monkeypatch.setattr(keys, "FRESH_SECONDS", 0.0)

        assert "alice" == found.identify(own.token()).user
        for _ in range(5):
            with pytest.raises(Unreachable):
                other.identify(own.token())
        monkeypatch.setattr(keys, "STALE_SECONDS", 0.0)
        with pytest.raises(Unreachable):
            found.identify(own.token())
        assert 5 >= len(own.asked)


def test_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """An issuer that answers a byte now and then holds nobody for longer than the limit."""
    monkeypatch.setattr(fetching, "FETCH_SECONDS", 0.5)
    listener = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            while True:
                connection.sendall(b"X")
                time.sleep(0.05)

    thread = threading.Thread(target=drip)
    thread.start()
    began = time.monotonic()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(Unreachable, match="too long"):
        fetching.fetch_json(url)

    assert scaled(3) > time.monotonic() - began
    listener.close()
    thread.join()


def test_large_answer(issuer: Issuer) -> None:
    """Documents that are too large are not read."""
    with running() as own:
        own.metadata = {"filler": "x" * fetching.ANSWER_LIMIT_BYTES}

        with pytest.raises(Unreachable):
            verifier(own.options()).identify(own.token())


@pytest.mark.parametrize(
    "entry",
    [
        {"kty": "RSA", "n": "_" * 170 + "8", "e": "AQAB"},
        {
            "kty": "RSA",
            "n": base64.urlsafe_b64encode(b"\xff" * 4096).decode().rstrip("="),
            "e": "AQAB",
        },
        {"kty": "RSA", "n": "_" * 340, "e": "_" * 300},
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": "RSA", "use": "enc", "n": "AQAB", "e": "AQAB"},
        {"kty": "EC"},
        {"kty": ["RSA"]},
        "RSA",
        None,
    ],
    ids=range(9),
)
def test_unusable_key(entry: Any) -> None:
    """Keys that are weak, huge, secret or none are passed over; the others count."""
    good = RSAKey.generate_key(2048).as_dict(private=False)

    assert 1 == len(keys.read_keys({"keys": [entry, good]}))
    assert () == keys.read_keys({"keys": [entry]})


def test_many_keys() -> None:
    """Of a set of very many keys, the first ones are read."""
    good = ECKey.generate_key("P-256").as_dict(private=False)

    assert keys.KEYS_LIMIT == len(keys.read_keys({"keys": [good] * 1000}))


def test_metadata_of_another(issuer: Issuer) -> None:
    """Metadata that name another issuer are not this one's."""
    with running() as own:
        own.metadata = {"issuer": issuer.url}

        with pytest.raises(Unreachable):
            verifier(own.options()).identify(own.token())


def test_keys_elsewhere() -> None:
    """An issuer on loopback cannot send us to a plain URL elsewhere."""
    with running() as own:
        own.metadata = {"jwks_uri": "http://example.com/keys"}

        with pytest.raises(Unreachable):
            verifier(own.options()).identify(own.token())


def test_authority(tmp_path: Path) -> None:
    """An issuer has to show a certificate of the system's authorities, or of those in `ca_file`."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with running(context=context) as own:
        found = verifier(own.options(ca_file=str(tmp_path / "ca.pem")))
        assert "alice" == found.identify(own.token()).user
        for options in ({}, {"ca_file": str(tmp_path / "other.pem")}):
            with pytest.raises(Unreachable):
                verifier(own.options(**options)).identify(own.token())


def test_static_keys(issuer: Issuer, tmp_path: Any) -> None:
    """Keys of a file need no issuer that answers."""
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"keys": issuer.keys}))
    options = {
        "issuer": "https://offline.example.com",
        "audience": "salt",
        "discovery": False,
        "keys_file": str(path),
    }

    token = issuer.token(iss="https://offline.example.com")
    assert "alice" == verifier(options).identify(token).user


def test_one_verifier(issuer: Issuer) -> None:
    """The same options make the same verifier, so that its keys are fetched once."""
    opts = {"saltapi_oidc": [issuer.options()], "external_auth": {"oidc": {"alice": []}}}

    assert verifier_of(opts) is verifier_of({**opts})


@pytest.mark.parametrize(
    "options",
    [
        {"issuer": "http://id.example.com", "audience": "salt"},
        {"issuer": "ftp://id.example.com", "audience": "salt"},
        {"issuer": "https://id.example.com"},
        {"issuer": "https://id.example.com", "audience": "salt", "algorithms": ["HS256"]},
        {"issuer": "https://id.example.com", "audience": "salt", "algorithms": ["none"]},
        {"issuer": "https://id.example.com", "audience": "salt", "required_claim": {"a": 1}},
        {"issuer": "https://id.example.com", "audience": "salt", "discovery": False},
        {"issuer": "https://token.actions.githubusercontent.com", "audience": "salt"},
        "https://id.example.com",
    ],
)
def test_wrong_option(options: Any) -> None:
    """An option that would let somebody in by mistake is an error."""
    with pytest.raises(CannotStart):
        issuers_of({"saltapi_oidc": [options]})


def test_issuers_of_the_same_names() -> None:
    """Two issuers whose users could have the same names are an error."""
    one = {"issuer": "https://a.example.com", "audience": "salt"}

    with pytest.raises(CannotStart, match="user_prefix"):
        issuers_of({"saltapi_oidc": [one, {**one, "issuer": "https://b.example.com"}]})


def with_header(token: str, **header: Any) -> str:
    """Return a token with another header, and the old signature."""
    old, claims, signature = token.split(".")
    return f"{_encoded({**_decoded(old), **header})}.{claims}.{signature}"


def with_claims(token: str, **claims: Any) -> str:
    """Return a token with other claims, and the old signature."""
    header, old, signature = token.split(".")
    return f"{header}.{_encoded({**_decoded(old), **claims})}.{signature}"


def own_key(issuer: Issuer, name: str) -> str:
    """Return a token that brings its key along."""
    key = RSAKey.generate_key(2048, {"kid": "key-1"})
    return issuer.token(key=key, header={name: key.as_dict(private=False)})


def hmac_token(issuer: Issuer) -> str:
    """Return a token whose secret is the issuer's public key."""
    assert isinstance(issuer.key, RSAKey)
    secret = issuer.key.as_pem(private=False)
    signed = f"{_encoded({'alg': 'HS256', 'kid': 'key-1'})}.{_encoded(issuer.claims())}"
    digest = hmac.digest(secret, signed.encode(), "sha256")
    return f"{signed}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def _decoded(part: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def _encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
