"""Requests with a session: logged in when needed, sent again when that is safe."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from saltapi_client import errors
from saltapi_client.connections import Connections, Response
from saltapi_client.sessions import Renewal, Session, TokenStore, session_from
from saltapi_client.shapes import decoded, part

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
RETRY_SECONDS = 30.0
"""How long a request is tried, once the server has answered at all."""
JSON_TYPE = "application/json"
NDJSON_TYPE = "application/x-ndjson"
HTML_TEXT = re.compile(r"<(?:title|p)>\s*([^<]+?)\s*<")


class Api:
    """One server and one user."""

    def __init__(
        self,
        connections: Connections,
        *,
        username: str | None = None,
        password: str | None = None,
        eauth: str = "pam",
        token: str | None = None,
        store: TokenStore | None = None,
        token_expire_seconds: int | None = None,
        retry_seconds: float = RETRY_SECONDS,
        renewal: Renewal | None = None,
    ) -> None:
        """
        Args:
            connections: To the server.
            username: Whose session it is.
            password: For logins; None if there is none, and the session has to be there.
            eauth: The system that knows the user.
            token: The token of a session that is there.
            store: Keeps the session from one use to the next.
            token_expire_seconds: How long new tokens live, where the master lets the user say.
            retry_seconds: How long a request is tried.
            renewal: Gives a password when a session has ended, if there is none.
        """
        self.connections = connections
        self.username = username
        self.eauth = eauth
        self.retry_seconds = retry_seconds
        self._password = password
        self._renewal = renewal if password is None else None
        self._store = store
        self._token_expire_seconds = token_expire_seconds
        self._session = Session(token=token) if token else None
        self._paths: frozenset[str] | None = None
        self.reached = False
        """Whether the server has answered at all."""

    @property
    def store_name(self) -> str:
        """The name of the session in the store."""
        return f"{self.connections.url} {self.eauth} {self.username or ''}".rstrip()

    # Sessions

    def session(self) -> Session:
        """
        Return a session that is good: the one that is there, one that is kept, or a new one.

        Raises:
            AuthenticationFailed: There is none, and no password to log in with.
        """
        if self._session is None and self._store is not None:
            self._session = self._store.get(self.store_name)
        if self._session is not None and (self._session.good or not self._can_renew):
            return self._session
        return self.login()

    def login(self) -> Session:
        """
        Log in and return the session; it is kept, if there is a store.

        Raises:
            AuthenticationFailed: The server does not know the user with this password.
        """
        if self._renewal is not None:
            return self._renewed(self._renewal)
        if self._password is None or not self.username:
            raise errors.AuthenticationFailed(
                f"There is no session at {self.connections.url}; log in first (saltctl login)."
            )
        return self._logged_in(self._password)

    @property
    def _can_renew(self) -> bool:
        return self._password is not None or self._renewal is not None

    def _renewed(self, renewal: Renewal) -> Session:
        with renewal.alone():
            kept = self._store.get(self.store_name) if self._store is not None else None
            old = self._session
            if kept and kept.good and (old is None or kept.token != old.token):
                self._session = kept  # another process was faster
                return kept
            return self._logged_in(renewal.password())

    def _logged_in(self, password: str) -> Session:
        body: dict[str, Any] = {
            "username": self.username,
            "password": password,
            "eauth": self.eauth,
        }
        if self._token_expire_seconds is not None:
            body["token_expire"] = self._token_expire_seconds
        answer = self._tried("POST", "/login", body, {}, JSON_TYPE, None, repeatable=True)
        found = answered(answer.read())
        entries = part(found, "return", list)
        known = self._session.v1 if self._session is not None else None
        self._session = replace(session_from(entries[0] if entries else None), v1=known)
        self._keep()
        return self._session

    def logout(self) -> None:
        """End the session and forget it."""
        session, self._session = self._session, None
        if self._store is not None:
            session = session or self._store.get(self.store_name)
            self._store.delete(self.store_name)
        if session is not None:
            headers = {"X-Auth-Token": session.token}
            with contextlib.suppress(errors.NotPermitted):  # it has ended by itself
                self.once("POST", "/logout", None, headers, JSON_TYPE, None, fresh=False).read()

    def forget(self) -> None:
        """Do not use the session any more: the server has ended it."""
        session, self._session = self._session, None
        kept = self._store.get(self.store_name) if self._store is not None else None
        # Another process may have logged in meanwhile.
        if self._store is not None and kept and session and kept.token == session.token:
            self._store.delete(self.store_name)

    def has_v1(self) -> bool:
        """Return whether the server has `/v1`; asks it once for each session."""
        session = self.session()
        if session.v1 is None:
            try:
                self.ask("GET", "/v1/whoami")
                found = True
            except (errors.NotFound, errors.BadRequest, errors.ServerError) as error:
                if isinstance(error, (errors.TooManyRequests, errors.Unavailable)):
                    raise
                found = False
            self._session = replace(self.session(), v1=found)
            self._keep()
            return found
        return session.v1

    @property
    def has_session(self) -> bool:
        """Whether there is one that this object has made or taken from the store."""
        return self._session is not None

    def has_path(self, path: str) -> bool:
        """Return whether the server's OpenAPI document has a path; it is read once."""
        if self._paths is None:
            try:
                found = self.ask("GET", "/openapi.json")
                self._paths = frozenset(part(found, "paths", dict))
            except (errors.NotFound, errors.NotPermitted):
                self._paths = frozenset()
        return path in self._paths

    def _keep(self) -> None:
        if self._store is not None and self._session is not None:
            self._store.put(self.store_name, self._session)

    # Requests

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float | None = None,
        repeatable: bool | None = None,
    ) -> Any:
        """
        Return what the server answers, decoded from JSON.

        Args:
            method: GET, POST, …
            path: Below the server's URL.
            query: Parameters; None values are left out, lists are sent one by one.
            body: Sent as JSON, if it is not None.
            headers: More headers.
            timeout_seconds: How long to wait for the answer.
            repeatable: Whether it may be sent again if no answer came; GET and DELETE may.

        Raises:
            Error: See `saltapi_client.errors`.
        """
        answer = self.open(
            method,
            path,
            query=query,
            body=body,
            headers=headers,
            timeout_seconds=timeout_seconds,
            repeatable=repeatable,
        )
        return answered(answer.read())

    def open(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        accept: str = JSON_TYPE,
        timeout_seconds: float | None = None,
        repeatable: bool | None = None,
    ) -> Response:
        """Return the answer when its head has come; as `ask` otherwise."""
        if repeatable is None:
            repeatable = method in {"GET", "HEAD", "DELETE"}
        target = path + query_text(query)
        renewed = False
        while True:
            session = self.session()
            head = {**(headers or {}), "X-Auth-Token": session.token}
            try:
                return self._tried(
                    method, target, body, head, accept, timeout_seconds, repeatable=repeatable
                )
            except errors.AuthenticationFailed:
                if renewed or not self._can_renew:
                    self.forget()
                    raise
                try:
                    self.login()  # nothing has run: it ended between two requests
                except errors.NotPermitted:
                    self.forget()
                    raise
                renewed = True

    def _tried(
        self,
        method: str,
        target: str,
        body: Any,
        headers: Mapping[str, str],
        accept: str,
        timeout_seconds: float | None,
        *,
        repeatable: bool,
    ) -> Response:
        started, pause = time.monotonic(), FIRST_PAUSE_SECONDS
        while True:
            try:
                return self.once(
                    method, target, body, headers, accept, timeout_seconds, fresh=not repeatable
                )
            except errors.Error as error:
                wait = self._pause(error, pause, repeatable)
                left = started + self.retry_seconds - time.monotonic()
                if wait is None or not 0 <= wait <= left:
                    raise
            time.sleep(wait)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def _pause(self, error: errors.Error, pause: float, repeatable: bool) -> float | None:
        """Return after how many seconds to send the request again; None if not."""
        asked = error.problem.get("retry_after_seconds")
        wait = max(float(asked), pause) if isinstance(asked, (int, float)) else pause
        if isinstance(error, errors.ConnectionLost):
            return wait if repeatable and error.code != "timeout" else None
        if isinstance(error, errors.NotReachable):
            return wait if self.reached and error.code != "certificate" else None
        if isinstance(error, errors.TooManyRequests) or error.code == "still_starting":
            return wait if asked is not None else None
        if isinstance(error, errors.Unavailable):
            return wait if repeatable and asked is not None else None
        return None

    def once(
        self,
        method: str,
        target: str,
        body: Any,
        headers: Mapping[str, str],
        accept: str,
        timeout_seconds: float | None,
        *,
        fresh: bool,
    ) -> Response:
        """Send a request once, with these headers and no session; raises what it is refused by."""
        head = {"Accept": accept, "User-Agent": "saltapi-client", **headers}
        data = None
        if body is not None:
            data = encoded(body)
            head["Content-Type"] = JSON_TYPE
        elif method in {"POST", "PUT"}:
            data = b""
        answer = self.connections.request(
            method, target, headers=head, body=data, timeout_seconds=timeout_seconds, fresh=fresh
        )
        self.reached = True
        if answer.status >= 300:
            raise refusal(answer, self.connections.url)
        return answer


def query_text(query: Mapping[str, Any] | None) -> str:
    """Return the parameters of a URL as text, with their question mark; "" if there are none."""
    pairs: list[tuple[str, str]] = []
    for name, value in (query or {}).items():
        for each in value if isinstance(value, (list, tuple)) else [value]:
            if each is not None:
                text = str(each).lower() if isinstance(each, bool) else str(each)
                pairs.append((name, text))
    return f"?{urlencode(pairs)}" if pairs else ""


def encoded(body: Any) -> bytes:
    """
    Return a value as JSON.

    Raises:
        Usage: JSON has no such value.
    """
    try:
        return json.dumps(body, allow_nan=False).encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise errors.Usage(f"This cannot be sent as JSON: {error}") from error


def answered(body: bytes) -> Any:
    """
    Return the value of an answer; None if it is empty.

    Raises:
        ServerError: It is no JSON.
    """
    return decoded(body) if body.strip() else None


def refusal(answer: Response, url: str) -> errors.Error:
    """Return the error that an answer tells of."""
    status, body = answer.status, answer.read()
    if status < 400:
        where = answer.headers.get("Location", "somewhere else")
        return errors.BadRequest(f"{url} sends to {where}; use that URL.", status=status)
    try:
        found = decoded(body)
    except errors.ServerError:
        text = HTML_TEXT.search(body.decode("utf-8", "replace"))
        found = {"detail": text[1] if text else None}
    problem = dict(found) if isinstance(found, dict) else {}
    after = answer.headers.get("Retry-After", "")
    if after.isdecimal():
        problem["retry_after_seconds"] = int(after)
    jids = answer.headers.get("X-Salt-Jid", "")
    if jids and not problem.get("jids"):
        problem["jids"] = [jid.strip() for jid in jids.split(",")]
    return errors.from_problem(problem, status)
