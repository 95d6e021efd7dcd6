"""
The URLs of rest_cherrypy (0.8.4, "REST URI Reference", and Salt's own module).

Nothing about Salt is decided here.
"""

import asyncio
from typing import Any

import cherrypy

from saltapi.config import RestCherrypyConfig
from saltapi.engine.sessions.caller import Caller
from saltapi.netapi._http.answers import (
    FIRED,
    LOGGED_OUT,
    LOGIN_PAGE,
    flattened,
    hook_event,
    key_archive,
    one_job,
    started_jobs,
    welcome,
)
from saltapi.netapi.rest_cherrypy.application import CherrypyApplication, endpoint
from saltapi.netapi.rest_cherrypy.cherrypy_app import cherrypy_app
from saltapi.netapi.rest_cherrypy.files import App, Favicon, Static
from saltapi.netapi.rest_cherrypy.listening import Events, WebsocketEndpoint
from saltapi.netapi.rest_cherrypy.monitoring import Livez, Metrics, Readyz
from saltapi.netapi.rest_cherrypy.resource import Nowhere, Resource
from saltapi.netapi.rest_cherrypy.router import Router
from saltapi.netapi.rest_cherrypy.stats import Stats
from saltapi.types import Opts

SECTION = "rest_cherrypy"


class LowDataAdapter(Resource):
    """`/`: the entry point."""

    @endpoint
    def GET(self) -> Any:
        """Say what is here."""
        return welcome(self.application.engine.config.netapi_enable_clients)

    @endpoint
    def POST(self, **_query: Any) -> Any:
        """Run a lowstate with the session's token."""
        caller, body = self._caller(), self.application.body()
        key = self.application.keyed(body)
        results = self.application.call(lambda api: api.run(body, caller, keyed=key))
        return {"return": flattened(body, results)}


class Login(Resource):
    """`/login`: get a session token."""

    gives_cookie = True

    @endpoint
    def GET(self) -> Any:
        """Say how to log in."""
        cherrypy.response.headers["WWW-Authenticate"] = "Session"
        return LOGIN_PAGE

    @endpoint
    def POST(self, **_query: Any) -> Any:
        """Log in; the token comes in the body, in a header and as a cookie."""
        body, peer = self.application.body(), self.application.peer
        session = self.application.call(lambda api: api.login(body, peer=peer))
        cherrypy.response.headers["X-Auth-Token"] = session["token"]
        cherrypy.response.headers["Cache-Control"] = "no-store"
        self.application.set_cookie(session["token"], session["expire"])
        return {"return": [session]}


class Logout(Resource):
    """`/logout`: end the session everywhere."""

    @endpoint
    def POST(self, **_query: Any) -> Any:
        """Revoke the token, take the cookie back, end the session's streams."""
        cherrypy.response.headers["Cache-Control"] = "private"
        token, peer = self.application.token, self.application.peer
        self.application.call(lambda api: api.logout(token, peer=peer))
        self.application.set_cookie("", None)
        return LOGGED_OUT


class Token(LowDataAdapter):
    """`/token`: tokens to send inside chunks to `/run`."""

    @endpoint
    def POST(self, **_query: Any) -> Any:
        """Return a bare list with a token for each set of credentials."""
        body, peer = self.application.body(), self.application.peer
        cherrypy.response.headers["Cache-Control"] = "no-store"
        return self.application.call(lambda api: api.make_tokens(body, peer=peer))


class Run(LowDataAdapter):
    """`/run`: commands with credentials in each chunk, or else with a bearer token."""

    takes_strangers = True

    @endpoint
    def POST(self, **_query: Any) -> Any:
        """Run a lowstate."""
        body = self.application.body()
        key = self.application.keyed(body)
        caller = Caller(self.application.peer, bearer=self.application.bearer)
        results = self.application.call(lambda api: api.run(body, caller, keyed=key))
        return {"return": flattened(body, results)}


class Minions(Resource):
    """`/minions`: look at minions, start jobs."""

    below = "/{mid}"

    @endpoint
    def GET(self, *path: str, mid: str | None = None) -> Any:
        """Return the grains of the minions."""
        name = self._path_argument(path, "minion id") or mid
        caller = self._caller()
        found = self.application.call(lambda api: api.minions(name, caller))
        return {"return": [found]}

    @endpoint
    def POST(self, *path: str, **_query: Any) -> Any:
        """Start jobs and return at once, with links to them (202)."""
        self._path_argument(tuple(filter(None, path)), "minion id")
        caller, body = self._caller(), self.application.body()
        key = self.application.keyed(body)
        jobs = self.application.call(lambda api: api.start(body, caller, keyed=key))
        cherrypy.response.status = 202
        return started_jobs(jobs, self.application.path(""))


class Jobs(Resource):
    """`/jobs`: the job cache."""

    below = "/{jid}"

    @endpoint
    def GET(self, *path: str, jid: str | None = None, timeout: str = "") -> Any:  # noqa: ARG002
        """List jobs, or show one; `timeout` is taken and not used, as in Salt's module."""
        wanted = self._path_argument(path, "job id") or jid
        caller = self._caller()
        if wanted is None:
            return {"return": [self.application.call(lambda api: api.jobs(caller))]}
        return one_job(self.application.call(lambda api: api.job(wanted, caller)))


class Keys(Resource):
    """`/keys`: look at minion keys, make new ones."""

    below = "/{mid}"

    @endpoint
    def GET(self, *path: str, mid: str | None = None) -> Any:
        """List the keys, or show the fingerprints of one."""
        name = self._path_argument(path, "minion id") or mid
        caller = self._caller()
        if name is None:
            return {"return": self.application.call(lambda api: api.keys(caller))}
        return {"return": self.application.call(lambda api: api.key(name, caller))}

    @endpoint
    def POST(self, **_query: Any) -> Any:
        """Make and accept a key pair; the answer is a tar archive of it."""
        body = self.application.body()
        caller = Caller(self.application.peer, bearer=self.application.bearer)
        mid, public, private = self.application.call(lambda api: api.make_key(body, caller))
        headers, archive = key_archive(mid, public, private)
        cherrypy.response.headers.update(headers)
        return archive


class Webhook(Resource):
    """`/hook`: fire an event."""

    below = "/{tag}"

    def __init__(self, application: CherrypyApplication) -> None:
        super().__init__(application)
        section = application.section
        self.takes_strangers = section.webhook_disable_auth or bool(section.webhook_secrets)

    @endpoint
    def POST(self, *path: str, **_query: Any) -> Any:
        """Fire `salt/netapi/hook/…` with what was sent."""
        open_to_all = self.application.section.webhook_disable_auth
        if not open_to_all:
            cherrypy.response.headers["Cache-Control"] = "private"
        token, peer = self.application.token, self.application.peer
        headers, body = dict(cherrypy.request.headers), cherrypy.request.saltapi_body
        decode = self.application.decoder(is_hook=True)

        async def event(shown: dict[str, str]) -> dict[str, Any]:
            return hook_event(body, await asyncio.to_thread(decode), shown, peer)

        self.application.call(
            lambda api: api.hook(
                [part for part in path if part],
                headers=headers,
                body=body,
                event=event,
                token=token,
                peer=peer,
                open_to_all=open_to_all,
            )
        )
        return FIRED


def get_app(opts: Opts, name: str = SECTION) -> CherrypyApplication:
    """
    Return the module as a WSGI application for the section *name* of the master config.

    Raises:
        CannotStart: An option is wrong.
    """
    section = RestCherrypyConfig.behind_server(opts, name)
    application = CherrypyApplication(opts, section, name)
    table = {path: resource(application) for path, resource in urls(section).items()}
    application.router = Router(section.root_prefix, table, Nowhere(application))
    application.cherrypy_app = cherrypy_app(application, application.router)
    return application


def urls(section: RestCherrypyConfig) -> dict[str, type[Resource]]:
    """Return the classes by URL path, as the options want them."""
    found: dict[str, type[Resource]] = {
        "/run": Run,
        "/token": Token,
        "/keys": Keys,
        "/events": Events,
        "/ws": WebsocketEndpoint,
        "/stats": Stats,
        "/favicon.ico": Favicon,
        section.app_path: App,
        section.webhook_url: Webhook,
    }
    if section.monitoring_urls:
        found |= {"/livez": Livez, "/readyz": Readyz, "/metrics": Metrics}
    if section.static:
        found[section.static_path] = Static
    if section.enable_sessions:
        found |= {"/login": Login, "/logout": Logout, "/minions": Minions, "/jobs": Jobs}
    return {**found, "/": LowDataAdapter}
