"""What bodies and answers look like, for the OpenAPI document; the engine itself checks them."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from saltapi import formats
from saltapi.engine.events.streams import SSE_TYPE
from saltapi.netapi.rest_asgi.route import SCHEMA_REFERENCE

Content = dict[str, Any]

JID = "20261123180000123456"
TOKEN = "6d1b722e7a5b4b6c8f3a0e9d2c1b5a4f6d1b722e7a5b4b6c8f3a0e9d2c1b5a4f"  # noqa: S105 - none


class ClassicChunk(BaseModel):
    """A command; further keys are arguments of runner and wheel functions, and options of jobs."""

    model_config = ConfigDict(extra="allow")

    client: str = Field(description="The client interface.", examples=["local"])
    fun: str | list[str] = Field(description="The function.", examples=["test.ping"])
    tgt: str | list[str] | None = Field(None, description="The target of a job.")
    tgt_type: str | None = Field(None, description="How the target is meant; `glob` by default.")
    arg: Any = Field(None, description="Positional arguments, in a list.")
    kwarg: Any = Field(None, description="Named arguments.")
    timeout: Any = Field(None, description="How long to wait, in seconds.")


class Login(BaseModel):
    """A name and a password."""

    model_config = ConfigDict(extra="allow")

    username: str
    password: str
    eauth: str = Field(description="The eauth system of the master config.", examples=["pam"])
    token_expire: Any = Field(None, description="Seconds, if the master lets the user choose.")


class ChunkWithCredentials(ClassicChunk):
    """A command with the credentials of the user that runs it."""

    token: str | None = None
    username: str | None = None
    password: str | None = None
    eauth: str | None = None


class JobRequest(BaseModel):
    """A job to start; whatever `client` says, it runs as `local_async`."""

    model_config = ConfigDict(extra="allow")

    tgt: str | list[str]
    fun: str | list[str]
    arg: Any = None


class KeyRequest(BaseModel):
    """The minion that a key pair is for, with a token or credentials beside it."""

    model_config = ConfigDict(extra="allow")

    mid: str = Field(description="The id of the minion.")
    keysize: int | str | None = None
    force: bool | str | None = Field(None, description="Whether to replace a key that there is.")


def schemas() -> dict[str, Any]:
    """Return the schemas of all bodies, by name."""
    models = (ClassicChunk, ChunkWithCredentials, JobRequest, KeyRequest, Login)
    return {model.__name__: model.model_json_schema() for model in models}


def _sent(model: type[BaseModel], example: Any, *, many: bool = True) -> Content:
    """
    Describe a body in JSON: one of *model*, or a list of them.

    YAML and forms are taken as well. Generators of clients would leave the URL out for the first,
    and do not know which one to send for the second.
    """
    one = {"$ref": SCHEMA_REFERENCE.format(model=model.__name__)}
    schema = {"anyOf": [one, {"type": "array", "items": one}]} if many else one
    return {formats.JSON_TYPE: {"schema": schema, "example": example}}


def _shown(schema: dict[str, Any], example: Any) -> Content:
    """Describe an answer in both formats."""
    return {name: {"schema": schema, "example": example} for name in formats.OUTPUT_TYPES}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


STRING: dict[str, Any] = {"type": "string"}
NUMBER: dict[str, Any] = {"type": "number"}
MAPPING: dict[str, Any] = {"type": "object"}
ANY: dict[str, Any] = {}

PING = {"client": "local", "tgt": "*", "fun": "test.ping"}
PAM = {"username": "saltdev", "password": "saltdev", "eauth": "pam"}

LOWSTATE = _sent(ClassicChunk, [PING])
LOWSTATE_WITH_CREDENTIALS = _sent(ChunkWithCredentials, [{**PING, **PAM}])
CREDENTIALS = _sent(Login, PAM)
JOBS_BODY = _sent(JobRequest, [{"tgt": "*", "fun": "test.ping"}])
KEY_REQUEST = _sent(KeyRequest, {"mid": "web-1", **PAM}, many=False)
ANYTHING: Content = {formats.JSON_TYPE: {"schema": ANY, "example": {"branch": "main"}}}

WELCOME = _shown(
    _object(**{"return": STRING, "clients": _list(STRING)}),
    {"return": "Welcome", "clients": ["local", "local_async"]},
)
RESULTS = _shown(_object(**{"return": _list(ANY)}), {"return": [{"web-1": True}]})
LOGIN_PAGE = _shown(
    _object(**{"status": {"type": "null"}, "return": STRING}),
    {"status": None, "return": "Please log in"},
)
_SESSION = _object(token=STRING, expire=NUMBER, start=NUMBER, user=STRING, eauth=STRING, perms=ANY)
_TIMES = {"start": 1795456800.0, "expire": 1795500000.0}
SESSION = _shown(
    _object(**{"return": _list(_SESSION)}),
    {"return": [{"token": TOKEN, **_TIMES, "user": "saltdev", "eauth": "pam", "perms": [".*"]}]},
)
TOKENS = _shown(
    _list(_object(token=STRING, start=NUMBER, expire=NUMBER, name=STRING, eauth=STRING)),
    [{"token": TOKEN, **_TIMES, "name": "saltdev", "eauth": "pam"}],
)
LOGGED_OUT = _shown(_object(**{"return": STRING}), {"return": "Your token has been cleared"})
GRAINS = _shown(_object(**{"return": _list(MAPPING)}), {"return": [{"web-1": {"os": "Debian"}}]})
STARTED = _shown(
    _object(**{"return": _list(MAPPING), "_links": _object(jobs=_list(_object(href=STRING)))}),
    {
        "return": [{"jid": JID, "minions": ["web-1"]}],
        "_links": {"jobs": [{"href": f"/jobs/{JID}"}]},
    },
)
JOBS = _shown(
    _object(**{"return": _list(MAPPING)}),
    {"return": [{JID: {"Function": "test.ping", "User": "saltdev", "Target": "*"}}]},
)
JOB = _shown(
    _object(**{"info": _list(MAPPING), "return": _list(MAPPING)}),
    {
        "info": [{"jid": JID, "Function": "test.ping", "Result": {"web-1": {"return": True}}}],
        "return": [{"web-1": True}],
    },
)
KEYS = _shown(_object(**{"return": MAPPING}), {"return": {"minions": ["web-1"]}})
FINGERPRINTS = _shown(_object(**{"return": MAPPING}), {"return": {"minions": {"web-1": "1f:3c"}}})
BINARY: Content = {"schema": {"type": "string", "format": "binary"}}
ARCHIVE: Content = {"application/x-tar": BINARY, "application/octet-stream": BINARY}
"""The second type is there for generators of clients, who take it for any bytes."""
FIRED = _shown(_object(success={"type": "boolean"}), {"success": True})
STATISTICS = _shown(
    MAPPING,
    {
        "rest_asgi": {
            "Start Time": 1795456800.0,
            "Requests": 2,
            "Requests In Flight": 1,
            "Statuses": {"200": 2},
            "Listeners": 0,
        }
    },
)
EVENTS: Content = {
    f"{SSE_TYPE}": {
        "schema": STRING,
        "example": 'retry: 400\ntag: salt/auth\ndata: {"data": {}, "tag": "salt/auth"}\n\n',
    }
}
FILE: Content = {"*/*": BINARY, "application/octet-stream": BINARY}
PAGE: Content = {formats.HTML_TYPE: {"schema": STRING, "example": "<!DOCTYPE html>…"}}

KEY_EXISTS = {"description": "The minion has an accepted key, and `force` is not set."}
NO_FILE = {"description": "There is no such file."}
NO_HANDSHAKE = {"description": "This URL speaks WebSocket: connect with a WebSocket client."}
NO_WEBSOCKET = {"description": "What is no handshake gets an error."}
