"""
The URLs of rest_tornado (0.8.4, "rest_tornado", and Salt's own module).

Nothing about Salt is decided here.
"""

from collections.abc import Mapping
from typing import Any, NoReturn

from saltapi import errors
from saltapi.config import RestTornadoConfig
from saltapi.config.webhooks import NotSigned
from saltapi.engine.sessions.caller import Caller
from saltapi.lowstate import checked_jid
from saltapi.netapi._http import answers
from saltapi.netapi.rest_tornado.bodies import NotLoggedIn
from saltapi.netapi.rest_tornado.events import EventsSaltAPIHandler
from saltapi.netapi.rest_tornado.handler import (
    Application,
    BaseSaltAPIHandler,
    endpoint,
    raw,
)
from saltapi.netapi.rest_tornado.monitoring import LivezHandler, MetricsHandler, ReadyzHandler
from saltapi.netapi.rest_tornado.stats import StatsSaltAPIHandler
from saltapi.netapi.rest_tornado.websockets import (
    AllEventsHandler,
    FormattedEventsHandler,
    WebsocketEndpoint,
)
from saltapi.types import Opts

SECTION = "rest_tornado"
CREDENTIALS = ("username", "password", "eauth")
NO_MINIONS = "No minions matched the target. No command was sent, no jid was assigned."


class SaltAPIHandler(BaseSaltAPIHandler):
    """`/`: the entry point."""

    @endpoint
    async def get(self) -> Any:
        """Say what is here."""
        clients = sorted(self.application.engine.config.netapi_enable_clients)
        return {"clients": clients, "return": "Welcome"}

    @endpoint
    async def post(self) -> Any:
        """Run a lowstate with the session's token."""
        body = await self.body()
        await self.caller()
        return await self._run(body)

    async def _run(self, value: Any) -> dict[str, Any]:
        """Return the results of a lowstate, with texts for those that there are not."""
        outcomes = await self.api.run_each(
            value, peer=self.peer, token=self.token or None, keyed=self.keyed(value)
        )
        for outcome in outcomes:
            if isinstance(outcome, errors.SaltApiError):
                self.exchange.note(outcome)
        chunks = value if isinstance(value, list) else [value]
        done = chunks[: len(outcomes)]
        shown = [shown_as(*pair) for pair in zip(done, outcomes, strict=True)]
        return {"return": answers.flattened(done, shown)}


class SaltAuthHandler(BaseSaltAPIHandler):
    """`/login`: get a session token."""

    gives_cookie = True

    @endpoint
    async def get(self) -> Any:
        """Say how to log in."""
        self.set_status(401)
        self.set_header("WWW-Authenticate", "Session")
        return {"status": "401 Unauthorized", "return": "Please log in"}

    @endpoint
    async def post(self) -> Any:
        """Log in; the token comes in the body and as a cookie."""
        body = await self.body()
        values = body[0] if isinstance(body, list) and body else body
        if not isinstance(values, Mapping) or not all(name in values for name in CREDENTIALS):
            raise errors.BadRequest("Send username, password and eauth to log in.")
        session = await self.api.login(values, peer=self.peer)
        self.set_header("Cache-Control", "no-store")
        self.hand_cookie(session["token"], session["expire"])
        return {"return": [session]}


class LogoutSaltAPIHandler(BaseSaltAPIHandler):
    """`/logout`: end the session everywhere."""

    @endpoint
    async def post(self) -> Any:
        """Revoke the token, take the cookie back, end the session's streams."""
        await self.api.logout(self.token, peer=self.peer)
        self.hand_cookie("", None)
        return {"return": "Your token has been cleared"}


class TokenSaltAPIHandler(SaltAPIHandler):
    """`/token`: tokens to send inside chunks to `/run`."""

    @endpoint
    async def post(self) -> Any:
        """Return a bare list with a token for each set of credentials."""
        self.set_header("Cache-Control", "no-store")
        return await self.api.make_tokens(await self.body(), peer=self.peer)


class RunSaltAPIHandler(SaltAPIHandler):
    """`/run`: commands with credentials in each chunk, or else with the session's token."""

    takes_strangers = True

    @endpoint
    async def post(self) -> Any:
        """Run a lowstate."""
        return await self._run(await self.body())


class MinionSaltAPIHandler(SaltAPIHandler):
    """`/minions`: look at minions, start jobs."""

    @endpoint
    async def get(self, mid: str = "") -> Any:
        """Return the grains of the minions."""
        await self.caller()
        name = mid or self.query("mid") or "*"
        return await self._run([{"client": "local", "tgt": name, "fun": "grains.items"}])

    @endpoint
    async def post(self, _path: str = "") -> Any:
        """Start jobs and return at once."""
        body = await self.body()
        await self.caller()
        chunks = body if isinstance(body, list) else [body]
        for chunk in chunks:
            if isinstance(chunk, Mapping) and chunk.get("client", "local_async") != "local_async":
                raise errors.BadRequest("We don't serve your kind here")
        started = [
            {**chunk, "client": "local_async"} if isinstance(chunk, Mapping) else chunk
            for chunk in chunks
        ]
        return await self._run(body if body is None else started)


class JobsSaltAPIHandler(SaltAPIHandler):
    """`/jobs`: the job cache."""

    post = BaseSaltAPIHandler.refuse

    @endpoint
    async def get(self, jid: str = "") -> Any:
        """List jobs, or show one."""
        await self.caller()
        wanted = jid or self.query("jid")
        chunk = {"client": "runner", "fun": "jobs.list_jobs"}
        if wanted is not None:
            chunk = {"client": "runner", "fun": "jobs.list_job", "jid": checked_jid(wanted)}
        return await self._run([chunk])


class KeysSaltAPIHandler(BaseSaltAPIHandler):
    """`/keys`: look at minion keys, make new ones."""

    @endpoint
    async def get(self, mid: str = "") -> Any:
        """List the keys, or show the fingerprints of one."""
        self.set_header("Cache-Control", "private")
        caller = await self.api.identify(self.token, peer=self.peer)
        name = mid or self.query("mid")
        if name is None:
            return {"return": await self.api.keys(caller)}
        return {"return": await self.api.key(name, caller)}

    @endpoint
    async def post(self, _path: str = "") -> Any:
        """Make and accept a key pair; the answer is a tar archive of it."""
        pair = await self.api.make_key(await self.body(), Caller(self.peer, bearer=self.bearer))
        headers, archive = answers.key_archive(*pair)
        for header, value in headers.items():
            self.set_header(header, value)
        return archive


class WebhookSaltAPIHandler(BaseSaltAPIHandler):
    """`/hook`: fire an event."""

    @property
    def takes_strangers(self) -> bool:  # type: ignore[override]
        """Whether hooks may come without a session."""
        return self.section.webhook_disable_auth or bool(self.section.webhook_secrets)

    @endpoint
    async def post(self, path: str | None = None) -> Any:
        """Fire `salt/netapi/hook…` with what was sent."""
        open_to_all = self.section.webhook_disable_auth
        if not open_to_all:
            self.set_header("Cache-Control", "private")
        query = {
            name: _one_or_all([value.decode("utf-8", "replace") for value in values])
            for name, values in self.request.query_arguments.items()
        }

        async def event(headers: dict[str, str]) -> dict[str, Any]:
            post = await self.body(is_hook=True)
            return {"post": {} if post is None else post, "get": query, "headers": headers}

        try:
            await self.api.hook(
                path.split("/")[1:] if path else [],
                headers=dict(self.request.headers.items()),
                body=self.raw_body,
                event=event,
                token=self.token,
                peer=self.peer,
                open_to_all=open_to_all,
            )
        except NotSigned:
            raise
        except errors.AuthenticationFailed as error:
            raise NotLoggedIn(str(error)) from error
        return {"success": True}


class NowhereHandler(BaseSaltAPIHandler):
    """Every URL that there is not."""

    @endpoint
    @raw
    async def refuse(self, *_path: str) -> NoReturn:
        """Answer any method."""
        raise errors.NotFound(f"The path '{self.request.path}' was not found.")

    get = post = put = delete = patch = options = refuse


def shown_as(chunk: Any, outcome: Any) -> Any:
    """Return what stands in `return` for a chunk: its result, or a text as in Salt's module."""
    client = chunk.get("client")
    if isinstance(outcome, errors.AuthenticationFailed | errors.AuthorizationFailed):
        return "Failed to authenticate"
    if isinstance(outcome, errors.CommandTimeout) and client == "runner":
        return "Timeout waiting for runner to execute"
    if isinstance(outcome, errors.SaltApiError):
        return f"Unexpected exception while handling request: {outcome}"
    if outcome == {} and client == "local":
        return NO_MINIONS
    return outcome


def get_application(opts: Opts, name: str = SECTION) -> Application:
    """
    Return the module as a Tornado application for the section *name* of the master config.

    Raises:
        CannotStart: An option is wrong.
    """
    section = RestTornadoConfig.behind_server(opts, name)
    return Application(urls(section), opts, section, name, nowhere=NowhereHandler)


def urls(section: RestTornadoConfig) -> list[Any]:
    """Return URL patterns with their handlers, as the options want them."""
    found: list[Any] = [
        url(r"/", SaltAPIHandler, "/"),
        url(r"/login/?", SaltAuthHandler, "/login"),
        url(r"/logout/?", LogoutSaltAPIHandler, "/logout"),
        url(r"/token/?", TokenSaltAPIHandler, "/token"),
        url(r"/minions(?:/(.*))?", MinionSaltAPIHandler, "/minions/{mid}"),
        url(r"/jobs(?:/(.*))?", JobsSaltAPIHandler, "/jobs/{jid}"),
        url(r"/keys(?:/(.*))?", KeysSaltAPIHandler, "/keys/{mid}"),
        url(r"/run/?", RunSaltAPIHandler, "/run"),
        url(r"/events(?:/([^/]*))?", EventsSaltAPIHandler, "/events/{token}"),
        url(r"/hook(/.*)?", WebhookSaltAPIHandler, "/hook/{tag}"),
        url(r"/stats/?", StatsSaltAPIHandler, "/stats"),
    ]
    if section.monitoring_urls:
        found += [
            url(r"/livez", LivezHandler, "/livez"),
            url(r"/readyz", ReadyzHandler, "/readyz"),
            url(r"/metrics", MetricsHandler, "/metrics"),
        ]
    if section.websockets:
        found += [
            url(r"/all_events(?:/([^/]*))?", AllEventsHandler, "/all_events/{token}"),
            url(
                r"/formatted_events(?:/([^/]*))?",
                FormattedEventsHandler,
                "/formatted_events/{token}",
            ),
            url(r"/ws(?:/([^/]*))?", WebsocketEndpoint, "/ws/{token}"),
        ]
    return found


def url(pattern: str, handler: type[BaseSaltAPIHandler], route: str) -> Any:
    """Return a URL for Tornado; *route* is its template, as metrics name it."""
    return (pattern, handler, {"route": route})


def _one_or_all(values: list[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else values
