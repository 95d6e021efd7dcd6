"""Signed web hooks: who may send them, and that each is taken once."""

import base64
import hashlib
import hmac
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from saltapi.config import RestAsgiConfig
from saltapi.config.webhooks import NotSigned
from saltapi.engine.sessions import logins
from saltapi.engine.sessions.logins import LoginThrottle
from saltapi.engine.store.sqlite import SqliteStore
from saltapi.engine.webhooks.secrets import HookSecrets, Signed, most_specific
from saltapi.errors import AuthenticationFailed, CannotStart, Conflict, TooManyRequests

PEER = "192.0.2.1"
GITHUB = {"type": "github", "secret": "It's a Secret to Everybody"}
GITHUB_SIGNATURE = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
"""Of `Hello, World!`: the example in GitHub's documentation."""
STANDARD_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
"""The one in the examples of the Standard Webhooks specification."""


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path / "shared.sqlite")
    yield store
    await store.close()


def secrets(store: SqliteStore, settings: dict[str, Any], *, failures: int = 20) -> HookSecrets:
    section = RestAsgiConfig.parse({"port": 1, "webhook_secrets": settings})
    return HookSecrets(section.webhook_secrets, once=store, throttle=LoginThrottle(failures))


async def verify(
    hooks: HookSecrets, headers: Mapping[str, str], body: bytes = b"{}", path: str = "x"
) -> Signed | None:
    async with hooks.verified(path, headers, body, PEER) as signed:
        return signed


def hexdigest(key: str, text: str) -> str:
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


def standard_headers(
    body: str, *, key: str = STANDARD_SECRET, message: str = "msg_1", at: float | None = None
) -> dict[str, str]:
    timestamp = int(time.time() if at is None else at)
    raw = base64.b64decode(key.removeprefix("whsec_"))
    digest = hmac.new(raw, f"{message}.{timestamp}.{body}".encode(), hashlib.sha256).digest()
    return {
        "Webhook-Id": message,
        "Webhook-Timestamp": str(timestamp),
        "Webhook-Signature": f"v1a,other v1,{base64.b64encode(digest).decode()}",
    }


async def test_github(store: SqliteStore) -> None:
    """The example of GitHub's documentation is taken, by any case of the header's name."""
    hooks = secrets(store, {"x": GITHUB})
    signed = await verify(hooks, {"x-hub-signature-256": GITHUB_SIGNATURE}, b"Hello, World!")

    assert signed is not None
    assert frozenset({"x-hub-signature-256", "x-hub-signature"}) == signed.secret_headers


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Hub-Signature-256": ""},
        {"X-Hub-Signature-256": "sha256="},
        {"X-Hub-Signature-256": GITHUB_SIGNATURE.removeprefix("sha256=")},
        {"X-Hub-Signature-256": GITHUB_SIGNATURE.upper()},
        {"X-Hub-Signature-256": "sha256=" + "0" * 64},
        {"X-Hub-Signature-256": "ü\udce4"},
        {"X-Hub-Signature": "sha1=" + "0" * 40},
    ],
)
async def test_github_refuses(store: SqliteStore, headers: dict[str, str]) -> None:
    """A signature that is missing, malformed or wrong is refused."""
    hooks = secrets(store, {"x": GITHUB})
    with pytest.raises(AuthenticationFailed):
        await verify(hooks, headers, b"Hello, World!")


async def test_every_byte_counts(store: SqliteStore) -> None:
    """The body is signed as it was sent: what means the same in JSON is another body."""
    hooks = secrets(store, {"x": GITHUB})
    signature = "sha256=" + hexdigest(GITHUB["secret"], '{"a": 1}')

    with pytest.raises(AuthenticationFailed):
        await verify(hooks, {"X-Hub-Signature-256": signature}, b'{"a":1}')
    assert await verify(hooks, {"X-Hub-Signature-256": signature}, b'{"a": 1}')


async def test_gitlab(store: SqliteStore) -> None:
    """GitLab's token must be the secret; the same request may come again."""
    hooks = secrets(store, {"x": {"type": "gitlab", "secret": "sésame"}})
    for _ in range(2):
        signed = await verify(hooks, {"X-Gitlab-Token": "sésame"})
        assert signed is not None
        assert frozenset({"x-gitlab-token"}) == signed.secret_headers
    for wrong in ("sésam", "sésamee", "", "é"):
        with pytest.raises(AuthenticationFailed):
            await verify(hooks, {"X-Gitlab-Token": wrong})


async def test_standard_example(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example of the Standard Webhooks specification is taken at its time."""
    hooks = secrets(store, {"x": {"type": "standard", "secret": STANDARD_SECRET}})
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    monkeypatch.setattr(time, "time", lambda: 1614265330.0)

    assert await verify(hooks, headers, b'{"test": 2432232314}')


async def test_standard(store: SqliteStore) -> None:
    """Of several signatures one must be right, and the id may not come twice."""
    hooks = secrets(store, {"x": {"type": "standard", "secret": STANDARD_SECRET}})
    assert await verify(hooks, standard_headers("{}"))
    with pytest.raises(Conflict):
        await verify(hooks, standard_headers("{}", at=time.time() + 1))
    assert await verify(hooks, standard_headers("{}", message="msg_2"))
    for changed in (
        {"Webhook-Id": "msg_4"},
        {"Webhook-Id": "a b"},
        {"Webhook-Timestamp": "1"},
        {"Webhook-Signature": "v1,"},
    ):
        with pytest.raises(AuthenticationFailed):
            await verify(hooks, {**standard_headers("{}", message="msg_3"), **changed})


@pytest.mark.parametrize("seconds", [-301, 360])
async def test_old_and_early(store: SqliteStore, seconds: int) -> None:
    """A signature whose time is further away than the tolerance is refused, though it is right."""
    hooks = secrets(store, {"x": {"type": "standard", "secret": STANDARD_SECRET}}, failures=1)
    for _ in range(3):  # it does not count as a failed login
        with pytest.raises(AuthenticationFailed, match=r"not within 300 s"):
            await verify(hooks, standard_headers("{}", at=time.time() + seconds))


async def test_hmac(store: SqliteStore) -> None:
    """Time and signature in one header, as Stripe has them; any of several signatures may fit."""
    hooks = secrets(store, {"x": {"type": "hmac", "secret": "k"}})
    now = int(time.time())
    right = hexdigest("k", f"{now}.{{}}")

    assert await verify(hooks, {"X-Signature": f"t={now},v0=ab,v1={'0' * 64},v1={right}"})
    for wrong in (f"v1={right}", f"t={now}", f"t={now - 1},v1={right}", "t=,v1=", "x", right):
        with pytest.raises(AuthenticationFailed):
            await verify(hooks, {"X-Signature": wrong})


async def test_hmac_with_headers_of_its_own(store: SqliteStore) -> None:
    """Headers, prefix and what is signed can be set: this is how Slack signs."""
    slack = {
        "type": "hmac",
        "secret": "k",
        "signature_header": "X-Slack-Signature",
        "signature_prefix": "v0=",
        "timestamp_header": "X-Slack-Request-Timestamp",
        "signed_content": "v0:{timestamp}:{body}",
    }
    hooks = secrets(store, {"x": slack})
    now = int(time.time())
    headers = {
        "X-Slack-Signature": "v0=" + hexdigest("k", f"v0:{now}:{{}}"),
        "X-Slack-Request-Timestamp": str(now),
    }

    signed = await verify(hooks, headers)
    assert signed is not None
    assert frozenset({"x-slack-signature"}) == signed.secret_headers
    with pytest.raises(AuthenticationFailed):
        await verify(hooks, {**headers, "X-Slack-Request-Timestamp": str(now - 1)})


async def test_hmac_in_base64(store: SqliteStore) -> None:
    """Algorithm and encoding can be set."""
    setting = {"type": "hmac", "secret": "k", "algorithm": "sha512", "encoding": "base64"}
    hooks = secrets(store, {"x": setting})
    now = int(time.time())
    digest = hmac.new(b"k", f"{now}.{{}}".encode(), hashlib.sha512).digest()

    value = f"t={now},v1={base64.b64encode(digest).decode()}"
    assert await verify(hooks, {"X-Signature": value})


async def test_once_for_all_processes(store: SqliteStore, tmp_path: Path) -> None:
    """What one process has taken, another one refuses; elsewhere it may come once more."""
    settings = {"x": GITHUB, "y": GITHUB}
    headers = {"X-Hub-Signature-256": GITHUB_SIGNATURE}
    other_store = SqliteStore(tmp_path / "shared.sqlite")
    try:
        assert await verify(secrets(store, settings), headers, b"Hello, World!")
        other = secrets(other_store, settings)
        with pytest.raises(Conflict):
            await verify(other, headers, b"Hello, World!")
        assert await verify(other, headers, b"Hello, World!", path="y")
        assert 1 == other.refused_total
    finally:
        await other_store.close()


async def test_again_after_a_failure(store: SqliteStore) -> None:
    """A delivery whose event could not be fired may come again."""
    hooks = secrets(store, {"x": GITHUB})
    headers = {"X-Hub-Signature-256": GITHUB_SIGNATURE}
    with pytest.raises(OSError, match="no master"):
        async with hooks.verified("x", headers, b"Hello, World!", PEER):
            raise OSError("no master")

    assert await verify(hooks, headers, b"Hello, World!")


async def test_rotation(store: SqliteStore) -> None:
    """While a secret is changed, both are good."""
    old, new = ({"type": "gitlab", "secret": word} for word in ("old", "new"))
    hooks = secrets(store, {"x": [old, new]})
    for word in ("old", "new"):
        assert await verify(hooks, {"X-Gitlab-Token": word})
    with pytest.raises(AuthenticationFailed):
        await verify(hooks, {"X-Gitlab-Token": "other"})


async def test_paths_without_a_secret(store: SqliteStore) -> None:
    """A path that has no secret is left to the session."""
    assert await verify(secrets(store, {"github/*": GITHUB}), {}, path="other") is None


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("github", None),
        ("github/", "github/*"),
        ("github/repo", "github/*"),
        ("github//repo/", "github/*"),
        ("github/a/b", "github/*"),
        ("github/salt", "github/s*"),
        ("github/salt/push", "github/salt/push"),
        ("GitHub/repo", None),
        ("ci/1/done", "*/done"),
        ("", None),
    ],
)
def test_most_specific(path: str, pattern: str | None) -> None:
    """An exact path comes first, then the pattern that begins with most characters."""
    patterns = dict.fromkeys(["github/*", "github/s*", "github/salt/push", "*/done"])
    assert pattern == most_specific(patterns, path)


async def test_throttle(store: SqliteStore) -> None:
    """Wrong signatures count as failed logins do; then not even the right one is looked at."""
    hooks = secrets(store, {"x": GITHUB}, failures=2)
    for _ in range(2):
        with pytest.raises(AuthenticationFailed):
            await verify(hooks, {"X-Hub-Signature-256": "sha256=0"})
    with pytest.raises(TooManyRequests) as refused:
        await verify(hooks, {"X-Hub-Signature-256": GITHUB_SIGNATURE}, b"Hello, World!")

    assert 0 < (refused.value.retry_after_seconds or 0) <= logins.WINDOW_SECONDS


async def test_secret_file(store: SqliteStore, tmp_path: Path) -> None:
    """A secret may be in a file, which is read again on a reload; a bad one changes nothing."""
    file = tmp_path / "secret"
    file.write_text("first\n")
    hooks = secrets(store, {"x": {"type": "gitlab", "secret_file": str(file)}})
    assert await verify(hooks, {"X-Gitlab-Token": "first"})

    file.write_text("second\n")
    hooks.reload()
    assert await verify(hooks, {"X-Gitlab-Token": "second"})
    for broken in ("\n", "\udce4"):
        file.write_bytes(broken.encode("utf-8", "surrogateescape"))
        with pytest.raises(CannotStart, match=r"^webhook_secrets: The secret file .* holds no sec"):
            hooks.reload()
    file.unlink()
    with pytest.raises(CannotStart, match="No such file"):
        hooks.reload()
    assert await verify(hooks, {"X-Gitlab-Token": "second"})


@pytest.mark.parametrize(
    "setting",
    [
        {"type": "github"},
        {"type": "github", "secret": ""},
        {"type": "github", "secret": "GEHEIM", "secret_file": "/x"},
        {"type": "githup", "secret": "GEHEIM"},
        {"secret": "GEHEIM"},
        {"type": "standard", "secret": "whsec_GEHEIM!"},
        {"type": "standard", "secret": "whsec_"},
        {"type": "hmac", "secret": "GEHEIM", "signed_content": "{body}"},
        {"type": "hmac", "secret": "GEHEIM", "signed_content": "{timestamp}{body}{id}"},
        {"type": "hmac", "secret": "GEHEIM", "signature_header": "X Y"},
        {"type": "hmac", "secret": "GEHEIM", "tolerance": 5},
        {"type": "gitlab", "secret": 5},
        [],
        "GEHEIM",
    ],
)
def test_wrong_settings(setting: Any) -> None:
    """A setting that cannot work stops the start, and no message shows a secret."""
    with pytest.raises(CannotStart) as refused:
        RestAsgiConfig.parse({"port": 1, "webhook_secrets": {"x": setting}})
    assert str(refused.value).startswith("The master config is wrong: rest_asgi.webhook_secrets.x")
    assert "GEHEIM" not in str(refused.value)


def test_secrets_are_not_shown() -> None:
    """A section that lands in a log or a traceback shows no secret."""
    section = RestAsgiConfig.parse({"port": 1, "webhook_secrets": {"x": GITHUB}})
    assert GITHUB["secret"] not in repr(section)


@pytest.mark.parametrize("pattern", ["gitlab/deploy", "gitlab/dep*", "GitLab/Deploy", "gitlab/*"])
@pytest.mark.parametrize(
    "path",
    [
        "gitlab/deploy",
        "Gitlab/deploy",
        "GITLAB/DEPLOY",
        "gitlab/deploy ",
        "gitlab/deploy\t",
        "gitlab/deploy\0",
        "gitlab/ deploy",
        "gitlab/deploy%20",
        "gitlab/deploy%2520",
        "gitlab/deploy+",
        "gitlab%2Fdeploy",
        "gitlab%252fdeploy",
        "gitlab\\deploy",
        "gitlab//deploy",
        "/gitlab/deploy/",
        "gitlab/./deploy",
        "gitlab/x/../deploy",
        "other/../gitlab/deploy",
        "gitlab/%2e/deploy",
        "gitlab/deploy/.",
        "gitlab/deploy.",
        "gitlab/deploy;x=1",
        "gitlab/deploy%3Fx",
        "gitlab/deploy%23",
        "gitlab/dep\u200bloy",
        "\uff47itlab/deploy",
        "git\u00adlab/deploy",
        "gitlab/%64eploy",
        "gitlab/deploy%c0%80",
    ],
)
async def test_near_misses(store: SqliteStore, pattern: str, path: str) -> None:
    """What is nearly a signed path has to be signed, too."""
    hooks = secrets(store, {pattern: GITHUB})
    assert pattern == hooks.pattern_of(path)
    with pytest.raises(NotSigned):
        await verify(hooks, {}, path=path)


@pytest.mark.parametrize(
    "path", ["", "gitlab", "gitlab/build", "other/deploy", "deploy", "gitlab/../deploy", "git/lab"]
)
async def test_other_paths(store: SqliteStore, path: str) -> None:
    """Other paths are nobody's near misses."""
    assert await verify(secrets(store, {"gitlab/deploy": GITHUB}), {}, path=path) is None
