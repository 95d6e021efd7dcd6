"""
`Client`: a Salt master's API, as functions and iterators.

What only commands and events need is loaded by them, so that a command line starts quickly.
"""

from __future__ import annotations

import contextlib
import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from saltapi_client import classic, errors
from saltapi_client.api import RETRY_SECONDS, Api
from saltapi_client.chunks import Lowstate, as_dry_run, chunks_of, function_chunk
from saltapi_client.connections import Connections, Tls
from saltapi_client.resources import Check, Job, Key, ListedJob, Minion, WhoAmI, Why, made_from
from saltapi_client.sessions import Renewal, Session, TokenStore
from saltapi_client.shapes import malformed, part

if TYPE_CHECKING:
    from saltapi_client.listening import Events
    from saltapi_client.runs import Run

WAIT_SECONDS = 60
"""The longest that one request waits for a job."""
PAGE = 200
STAGES_PATH = "/v1/jobs/{jid}/pause"
"""Servers that have this run changes in stages."""
URL_CHARACTERS = "".join(map(chr, range(0x21, 0x7F)))
"""What a URL that somebody typed keeps; the rest is quoted."""


class Client:
    """
    One user at one server; a context manager. May be used by several threads.

    Where the server has no `/v1` the classic URLs are used; what these cannot do raises
    `NotSupported`.
    """

    def __init__(
        self,
        url: str,
        username: str | None = None,
        password: str | None = None,
        eauth: str = "pam",
        *,
        token: str | None = None,
        store: TokenStore | None = None,
        tls: Tls | None = None,
        proxy: str | None = None,
        timeout_seconds: float = 30.0,
        retry_seconds: float = RETRY_SECONDS,
        token_expire_seconds: int | None = None,
        renewal: Renewal | None = None,
    ) -> None:
        """
        Nothing is sent before it is needed; the session is renewed when it ends.

        Args:
            url: Where the API is, `https://host:port`.
            username: Who logs in.
            password: The password; None if there is a token, or a session in the store.
            eauth: The system that knows the user.
            token: A token in place of a login.
            store: Keeps sessions from one use to the next.
            tls: Certificates, for an `https` URL.
            proxy: An HTTP proxy's URL; None for the environment's, "" for none.
            timeout_seconds: How long to wait for a connection, and for a short answer.
            retry_seconds: How long what may be sent again is tried.
            token_expire_seconds: How long new tokens live, where the master lets the user say.
            renewal: Gives a password when a session has ended, if there is none.

        Raises:
            Usage: The URL or a certificate cannot be used.
        """
        self.api = Api(
            Connections(url, tls=tls, proxy=proxy, timeout_seconds=timeout_seconds),
            username=username,
            password=password,
            eauth=eauth,
            token=token,
            store=store,
            token_expire_seconds=token_expire_seconds,
            retry_seconds=retry_seconds,
            renewal=renewal,
        )
        self._store = store
        self._brought_token = token is not None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; a session that nobody keeps is ended."""
        if self._store is None and not self._brought_token and self.api.has_session:
            with contextlib.suppress(errors.Error):  # it ends by itself, later
                self.api.logout()
        self.api.connections.close()

    # The session

    def login(self) -> Session:
        """Log in, also if there is a session; other calls do it when it is needed."""
        return self.api.login()

    def logout(self) -> None:
        """End the session, on the server too."""
        self.api.logout()

    @property
    def has_v1(self) -> bool:
        """Whether the server has `/v1`."""
        return self.api.has_v1()

    def whoami(self) -> WhoAmI:
        """Return whose session it is, until when, and what it may do."""
        if self.has_v1:
            return made_from(WhoAmI, self.api.ask("GET", "/v1/whoami"))
        session = self.api.session()
        return WhoAmI(session.user, session.eauth, permissions=session.perms)

    def check(self, lowstate: Lowstate) -> list[Check]:
        """Return what the master would say to each command; nothing is run."""
        self._need_v1("check")
        chunks = chunks_of(lowstate)
        found = self.api.ask("POST", "/v1/check", body=chunks, repeatable=True)
        checks = part(found, "checks", list)
        if len(checks) != len(chunks):
            raise malformed(f"has {len(checks)} checks for {len(chunks)} commands.")
        return [made_from(Check, each) for each in checks]

    # Commands

    def run(
        self,
        tgt: str | Sequence[str],
        fun: str,
        arg: Sequence[Any] = (),
        kwarg: Mapping[str, Any] | None = None,
        *,
        tgt_type: str = "glob",
        timeout: float | None = None,
        batch: str | Mapping[str, Any] | None = None,
        progress: str | None = None,
        dry_run: bool = False,
        key: str | None = None,
    ) -> Run:
        """
        Run a function on minions; yields records as things happen, up to a `Summary`.

        Args:
            tgt: Whom for; a list of ids with `tgt_type="list"`.
            fun: The function, `state.apply`.
            arg: Its positional arguments.
            kwarg: Its named arguments.
            tgt_type: What *tgt* is: glob, list, grain, pcre, compound, …
            timeout: After so many seconds silent minions are asked whether they still run it.
            batch: How many at once, "10%"; or a mapping with `size` or `stages` (docs/rest_asgi).
            progress: "states" for a record of each state, "counts" for numbers only.
            dry_run: Whether states only say what they would change.
            key: The idempotency key: with the same one the command does not run again. A new
                one for each command without.

        Raises:
            Error: While the records are read; `jids` are the jobs that are known.
        """
        chunk: dict[str, Any] = {"client": "local", "tgt": tgt, "tgt_type": tgt_type, "fun": fun}
        if arg:
            chunk["arg"] = list(arg)
        if kwarg:
            chunk["kwarg"] = dict(kwarg)
        if timeout is not None:
            chunk["timeout"] = timeout
        if batch is not None:
            chunk["batch"] = batch if isinstance(batch, str) else dict(batch)
        return self.run_lowstate(chunk, progress=progress, dry_run=dry_run, key=key)

    def runner(
        self, fun: str, arg: Sequence[Any] = (), kwarg: Mapping[str, Any] | None = None, **how: Any
    ) -> Run:
        """Run a function of the master (`salt-run`); the summary has its `result`."""
        return self.run_lowstate(function_chunk("runner", fun, arg, kwarg), **how)

    def wheel(
        self, fun: str, arg: Sequence[Any] = (), kwarg: Mapping[str, Any] | None = None, **how: Any
    ) -> Run:
        """Run a wheel function; the summary has its `result`."""
        return self.run_lowstate(function_chunk("wheel", fun, arg, kwarg), **how)

    def run_lowstate(
        self,
        lowstate: Lowstate,
        *,
        progress: str | None = None,
        dry_run: bool = False,
        key: str | None = None,
    ) -> Run:
        """Run chunks, one after the other; the arguments are those of `run`."""
        chunks = [self._batched(chunk) for chunk in chunks_of(lowstate)]
        if self.has_v1:
            from saltapi_client.runs import V1Run

            query = {"progress": progress, "dry_run": dry_run or None}
            return V1Run(
                self.api, "/v1/run", chunks, query=query, key=key, chunks=max(len(chunks), 1)
            )
        from saltapi_client.classic_runs import ClassicRun

        if dry_run:
            chunks = [as_dry_run(chunk) for chunk in chunks]
        return ClassicRun(self.api, chunks)

    def _batched(self, chunk: dict[str, Any]) -> dict[str, Any]:
        """Return a chunk with a batch as this server takes it: many ignore one of `local`."""
        batch, client = chunk.get("batch"), chunk.get("client", "local")
        if batch is None or client not in {"local", "local_async"} or self._has(STAGES_PATH):
            return chunk
        if client == "local_async" or isinstance(batch, Mapping):
            raise errors.NotSupported(
                "This server does not run in stages; a batch that is waited for works, with a size"
                " and nothing else."
            )
        return {**chunk, "client": "local_batch"}

    # Jobs

    def jobs(self, *, limit: int | None = None, **filters: Any) -> Iterator[ListedJob]:
        """
        Yield jobs, the newest first.

        Args:
            limit: How many at most.
            filters: `fun`, `user`, `tgt`, `minion` (shell patterns), `state`, `since`, `until`.
        """
        if not self.has_v1:
            if any(value is not None for value in filters.values()):
                raise errors.NotSupported("This server has no /v1, and cannot filter jobs.")
            yield from classic.jobs(self.api)[:limit]
            return
        for each in self._pages("/v1/jobs", "jobs", filters, limit):
            yield made_from(ListedJob, each)

    def job(self, jid: str, *, wait: bool = False) -> Job:
        """Return all that is known of a job; with *wait* when it has ended."""
        if not self.has_v1:
            return classic.job(self.api, jid)
        path = f"/v1/jobs/{quote(jid, safe='')}"
        while True:
            found = self.api.ask(
                "GET",
                path,
                query={"wait": WAIT_SECONDS if wait else None},
                timeout_seconds=WAIT_SECONDS * 2,
            )
            job = made_from(Job, found)
            if not wait or job.state != "running":
                return job

    def follow(self, jid: str, *, after: str | None = None, progress: str | None = None) -> Run:
        """Yield the records of a job: from its beginning, or *after* the id of a record."""
        if not self.has_v1:
            from saltapi_client.classic_runs import ClassicFollow

            return ClassicFollow(self.api, jid)
        from saltapi_client.runs import V1Run, events_path

        return V1Run(self.api, events_path(jid), query={"progress": progress}, after=after)

    def rerun(
        self, jid: str, minions: str | Sequence[str] = "all", *, confirm: str | None = None
    ) -> Run:
        """
        Run a job again, as a new one.

        Args:
            jid: The job.
            minions: `all`, `failed`, `missing`, `unsuccessful`, or a list of its minions.
            confirm: Of a `ConfirmationNeeded`: what it shows is run.

        Raises:
            ConfirmationNeeded: While the records are read: what would run has to be looked at.
        """
        from saltapi_client.runs import V1Run

        self._need_v1("rerun")
        body: dict[str, Any] = {"minions": minions if isinstance(minions, str) else list(minions)}
        if confirm is not None:
            body["confirm"] = confirm
        return V1Run(self.api, f"/v1/jobs/{quote(jid, safe='')}/rerun", body)

    def stop(self, jid: str) -> dict[str, str]:
        """Terminate a job on its minions, then kill it; return what became of it on each."""
        if self.has_v1:
            found = self.api.ask("DELETE", f"/v1/jobs/{quote(jid, safe='')}", timeout_seconds=120)
            return part(found, "outcomes", dict)
        job = classic.job(self.api, jid)
        waiting = [minion for minion in job.expected if minion not in job.returns]
        chunk = {"client": "local", "tgt": waiting, "tgt_type": "list", "arg": [jid]}
        found = classic.posted(self.api, {**chunk, "fun": "saltutil.term_job"}) if waiting else {}
        return dict.fromkeys(found or {}, "terminated")

    def pause(self, jid: str) -> Job:
        """Let no stage of a change begin for now; what runs goes on."""
        return self._ordered(jid, "pause")

    def resume(self, jid: str) -> Job:
        """Let a change in stages go on, with this session."""
        return self._ordered(jid, "resume")

    def _ordered(self, jid: str, order: str) -> Job:
        self._need(STAGES_PATH, order)
        path = f"/v1/jobs/{quote(jid, safe='')}/{order}"
        return made_from(Job, self.api.ask("POST", path, repeatable=False))

    # Events and hooks

    def events(self, tags: Sequence[str] = (), *, since: str | None = None) -> Events:
        """Yield `Event`s, and a `Gap` where some are missing; goes on after a loss."""
        from saltapi_client.listening import Events

        return Events(self.api, tags, since)

    def hook(self, tag: str, data: Any = None) -> Any:
        """Fire the event `salt/netapi/hook/<tag>` with *data*; sent once."""
        path = f"/hook/{quote(tag.strip('/'), safe='/')}"
        return self.api.ask("POST", path, body={} if data is None else data, repeatable=False)

    # The fleet

    def minions(self, *, limit: int | None = None, **filters: Any) -> Iterator[Minion]:
        """Yield minions that the master knows; *filters* are those of `GET /v1/minions`."""
        if not self._has("/v1/minions"):
            names = filters.pop("id", None)
            if any(value is not None for value in filters.values()):
                raise errors.NotSupported("This server cannot filter minions.")
            found = [m for m in classic.minions(self.api) if names is None or matches(m.id, names)]
            yield from found[:limit]
            return
        for each in self._pages("/v1/minions", "minions", filters, limit):
            yield made_from(Minion, each)

    def minion(self, minion: str) -> Minion:
        """Return what is known of one minion."""
        self._need("/v1/minions", "minion")
        return made_from(Minion, self.api.ask("GET", f"/v1/minions/{quote(minion, safe='')}"))

    def why(self, minion: str, jid: str | None = None, *, ask: bool = False) -> Why:
        """Return why a minion is silent, as far as the server knows; with *ask* it is asked."""
        self._need("/v1/minions", "why")
        path = f"/v1/minions/{quote(minion, safe='')}/why"
        return made_from(Why, self.api.ask("GET", path, query={"jid": jid, "ask": ask or None}))

    def keys(self) -> list[Key]:
        """Return the minions' keys."""
        if not self._has("/v1/keys"):
            return classic.keys(self.api)
        return [made_from(Key, each) for each in self._pages("/v1/keys", "keys", {}, None)]

    def change_key(self, minion: str, action: str, fingerprint: str | None = None) -> None:
        """
        Change one key.

        Args:
            minion: Whose.
            action: `accept`, `reject` or `delete`.
            fingerprint: The key that is meant; another one is left alone.

        Raises:
            Conflict: The fingerprint is another one, or the key is in that state.
            NotFound: There is no such key.
        """
        if not self._has("/v1/keys"):
            found = next((key for key in classic.keys(self.api) if key.id == minion), None)
            if found is None:
                raise errors.NotFound(f"There is no key of {minion}.", status=404)
            if fingerprint is not None and found.fingerprint != fingerprint:
                raise errors.Conflict(f"The key of {minion} is {found.fingerprint}.", status=412)
            classic.change_key(self.api, minion, action)
            return
        path, method = f"/v1/keys/{quote(minion, safe='')}", "DELETE"
        if action != "delete":
            path, method = f"{path}/{action}", "POST"
        headers = {"If-Match": f'"{fingerprint}"'} if fingerprint is not None else {}
        self.api.ask(method, path, headers=headers, repeatable=False)

    def functions(
        self,
        *,
        minion: str | None = None,
        client: str | None = None,
        fun: str | None = None,
        docs: bool = False,
    ) -> dict[str, Any]:
        """
        Return functions by name, as `GET /v1/functions` has them.

        Args:
            minion: Whose; those that the master's Salt has, if it is None.
            client: `local`, or `runner` and `wheel` for functions of the master.
            fun: Only names like this shell pattern.
            docs: With all of their documentation, in `doc`.
        """
        self._need("/v1/functions", "functions")
        query = {"minion": minion, "client": client, "fun": fun, "docs": docs or None}
        found = self.api.ask("GET", "/v1/functions", query=query)
        functions = part(found, "functions", dict)
        return {name: each for name, each in functions.items() if isinstance(each, dict)}

    def request(self, method: str, path: str, body: Any = None) -> Any:
        """Send any request with the session, and return what the answer's JSON says."""
        return self.api.ask(method, quote(path, safe=URL_CHARACTERS), body=body)

    def _pages(
        self, path: str, name: str, filters: Mapping[str, Any], limit: int | None
    ) -> Iterator[Mapping[str, Any]]:
        """Yield the entries of a list, page by page."""
        count, cursor = 0, None
        while limit is None or count < limit:
            page = min(PAGE, limit - count) if limit is not None else PAGE
            found = self.api.ask("GET", path, query={**filters, "limit": page, "cursor": cursor})
            entries = part(found, name, list)
            yield from entries
            count += len(entries)
            before, cursor = cursor, found.get("cursor")
            if not cursor or cursor == before:
                return

    def _need_v1(self, what: str) -> None:
        if not self.has_v1:
            raise errors.NotSupported(f"This server has no /v1, which {what} needs.")

    def _has(self, path: str) -> bool:
        return self.has_v1 and self.api.has_path(path)

    def _need(self, path: str, what: str) -> None:
        if not self._has(path):
            raise errors.NotSupported(f"This server has no {path}, which {what} needs.")


def matches(name: str, pattern: Any) -> bool:
    """Return whether a name matches a shell pattern."""
    return fnmatch.fnmatchcase(name, str(pattern))
