"""Functions that are run beside the console."""

from typing import Any

from tests.apis import ApiServer


class Run:
    """Runs functions to their end, as somebody who may run everything."""

    def __init__(self, api: ApiServer) -> None:
        self._api = api
        self._token = api.login()

    def __call__(self, fun: str, *arg: Any, tgt: str = "*", client: str = "local") -> str:
        """Run a function; return the jid."""
        chunk = {"client": client, "fun": fun, "arg": list(arg)}
        if client.startswith("local"):
            chunk["tgt"] = tgt
        return self.chunk(chunk)

    def chunk(self, chunk: dict[str, Any]) -> str:
        """Run a chunk; return the jid."""
        answer = self._api.send(
            "POST",
            "/v1/run",
            headers={"X-Auth-Token": self._token},
            json_body=chunk,
        )
        assert 200 == answer.status, answer
        jid = answer.header("X-Salt-Jid")
        assert isinstance(jid, str)
        return jid
