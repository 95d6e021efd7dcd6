"""What the user at the servers may do is what the page says, and no more."""

import re
from pathlib import Path
from typing import Any

from tests.engine.events.log.doors import Door, fire
from tests.engine.events.log.test_replay import number_of, taken
from tests.engine.events.log.test_writer import writing
from tests.nats_servers import NatsServers
from tests.waiting import async_eventually

PAGE = Path(__file__).parents[4] / "docs" / "high-availability.md"
PASSWORD = "a-pass-word"


def rights() -> dict[str, list[str]]:
    """Return the rights that the page asks for."""
    found: dict[str, list[str]] = {"publish": [], "subscribe": []}
    for block in re.findall(r"^```\n(publish:.*?)^```", PAGE.read_text(), re.M | re.S):
        kind = ""
        for word in block.split():
            if word.endswith(":"):
                kind = word.removesuffix(":")
            else:
                found[kind].append(word)
    return found


async def test_the_rights_of_the_page_are_enough(tmp_path: Path) -> None:
    """With these the log is made, written, followed and read."""
    (tmp_path / "user").write_text(f"saltapi:{PASSWORD}\n")
    users = [{"user": "saltapi", "password": PASSWORD, "permissions": rights()}]
    options: dict[str, Any] = {"bucket": "saltapi", "credentials_file": str(tmp_path / "user")}
    with NatsServers(tmp_path / "nats", authorization={"users": users}) as servers:
        await servers.listening()
        async with Door(servers, "a", **options) as a, Door(servers, "b", **options) as b:
            await writing(a)
            listener = a.hub.listen(all_masters=True)
            fire(1, a)
            fire(2, b)
            records = await taken(listener, 2)
            assert {1, 2} == set(map(number_of, records))
            await async_eventually(lambda: b.log.relayed_total == 1)
            async with Door(servers, "c", **options) as c:
                again = await c.log.listen(records[0].id, (), None)
                assert {number_of(records[1])} == set(map(number_of, await taken(again, 1)))
                again.close()
