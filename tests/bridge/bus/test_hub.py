"""The hub: one bus in, many listeners out."""

import asyncio
import datetime
from typing import Any

import pytest

from saltapi.bridge.bus.events import OVERHEAD_BYTES, Event, Gap, tag_glob, tag_prefix
from saltapi.bridge.bus.history import HISTORY_LOST, UNKNOWN_ID
from saltapi.bridge.bus.hub import (
    BUS_LOST,
    OVERFLOW,
    Hub,
    Listener,
    ListenerClosed,
)
from tests.fake_master import BIG, frame_body, new_hub

SIZE = OVERHEAD_BYTES + len(frame_body("t/00", {})) - 2
"""What one event of `fire` counts for."""


def fire(hub: Hub, *numbers: int) -> None:
    for number in numbers:
        hub.dispatch(frame_body(f"t/{number:02}", {}))


def seen(listener: Listener) -> list[Any]:
    """Return what is queued: numbers of events, and gaps with their reasons."""
    return [
        record.reason if isinstance(record, Gap) else int(record.tag[2:])
        for record in listener.drain()
    ]


async def test_everybody_gets_everything_in_order() -> None:
    """Each listener gets each event once, in the order of the bus."""
    hub = new_hub()
    listeners = [hub.listen() for _ in range(3)]
    fire(hub, *range(50))
    assert [list(range(50))] * 3 == [seen(listener) for listener in listeners]
    assert (3, 50) == (hub.listeners, hub.events_total)


async def test_listeners_share_the_event() -> None:
    """An event is one object for all, so it is decoded and rendered once."""
    hub = new_hub()
    first, second = hub.listen(), hub.listen()
    fire(hub, 1)
    assert first.drain()[0] is second.drain()[0]


async def test_filters_choose() -> None:
    """A listener gets what any of its filters passes."""
    hub = new_hub()
    listener = hub.listen([tag_prefix("t/01"), tag_glob("t/*3")])
    fire(hub, 1, 2, 3, 13)
    assert [1, 3, 13] == seen(listener)


async def test_gaps_pass_every_filter() -> None:
    """That events may be missing concerns every listener."""
    hub = new_hub()
    listener = hub.listen([tag_prefix("nothing")])
    fire(hub, 1)
    hub.gap()
    assert [BUS_LOST] == seen(listener)


async def test_a_listener_that_leaves_gets_nothing_more() -> None:
    """After `close` nothing is queued and the hub has forgotten the listener."""
    hub = new_hub()
    async with hub.listen() as listener:
        fire(hub, 1)
    fire(hub, 2)
    assert ([1], 0) == (seen(listener), hub.listeners)
    listener.close()
    assert "closed" == listener.closed


async def test_take_waits_for_the_first_event() -> None:
    """`take` returns everything there is as soon as there is something."""
    hub = new_hub()
    listener = hub.listen()
    taking = asyncio.create_task(listener.take())
    await asyncio.sleep(0)
    fire(hub, 1, 2)
    assert ["t/01", "t/02"] == [record.tag for record in await taking if isinstance(record, Event)]


async def test_closing_the_hub_wakes_everybody() -> None:
    """What was queued is delivered, then the listener ends with the reason."""
    hub = new_hub()
    waiting, full = hub.listen(), hub.listen([tag_prefix("t/")])
    taking = asyncio.create_task(waiting.take())
    await asyncio.sleep(0)
    hub.close("The service is stopping.")
    with pytest.raises(ListenerClosed, match="stopping"):
        await taking
    fire(hub, 1)
    with pytest.raises(ListenerClosed, match="stopping"):
        await full.take()
    assert 0 == hub.listeners


async def test_iteration_ends_with_the_listener() -> None:
    """A loop over a listener ends when the listener is closed, after what was queued."""
    hub = new_hub()
    listener = hub.listen()
    fire(hub, 1, 2)
    listener.close("done")
    assert 2 == len([record async for record in listener])


# Overflow


async def test_overflow_ends_the_listener_with_the_reason() -> None:
    """A full queue ends its listener, and nothing of the queue is delivered."""
    hub = new_hub()
    listener = hub.listen(queue_bytes=3 * SIZE)
    fire(hub, 1, 2, 3)
    before: str | None = listener.closed
    assert before is None
    fire(hub, 4)
    assert (OVERFLOW, 0) == (listener.closed, hub.listeners)
    fire(hub, 5)
    for _ in range(2):
        with pytest.raises(ListenerClosed, match="too slowly"):
            await listener.take()
    assert [] == listener.drain()
    with pytest.raises(ListenerClosed, match="too slowly"):
        assert [] == [record async for record in listener]


async def test_overflow_wakes_who_waits() -> None:
    """Whoever waits for a listener that overflows is told at once."""
    hub = new_hub()
    listener = hub.listen(queue_bytes=1)
    taking = asyncio.create_task(listener.take())
    await asyncio.sleep(0)
    fire(hub, 1, 2)
    with pytest.raises(ListenerClosed, match="too slowly"):
        await taking


async def test_reading_makes_room() -> None:
    """What has been taken no longer counts."""
    hub = new_hub()
    listener = hub.listen(queue_bytes=3 * SIZE)
    for _ in range(20):
        fire(hub, 1, 2, 3)
        assert 3 == len(await listener.take())
    assert listener.closed is None


async def test_an_event_larger_than_the_queue_is_delivered() -> None:
    """One event may be larger than the queue; the next one overflows."""
    hub = new_hub()
    listener = hub.listen(queue_bytes=10)
    fire(hub, 1)
    assert [1] == seen(listener)
    fire(hub, 2, 3)
    assert OVERFLOW == listener.closed


async def test_a_slow_listener_harms_only_itself() -> None:
    """Of 200 listeners only the one that does not read is ended; the others get everything."""
    hub = new_hub(queue_bytes=20 * SIZE)
    slow = hub.listen()
    total = 500

    async def read(listener: Listener) -> list[str]:
        tags: list[str] = []
        while len(tags) < total:
            tags.extend(record.tag for record in await listener.take() if isinstance(record, Event))
        return tags

    readers = [asyncio.create_task(read(hub.listen())) for _ in range(199)]
    for number in range(total):
        fire(hub, number % 100)
        if number % 10 == 9:
            await asyncio.sleep(0)
    results = await asyncio.gather(*readers)
    assert [[f"t/{number % 100:02}" for number in range(total)]] * 199 == results
    assert OVERFLOW == slow.closed


async def test_listeners_come_and_go_while_events_flow() -> None:
    """Listeners that begin and end at any time see a stretch of events without holes."""
    hub = new_hub()
    stop = asyncio.Event()

    async def come_and_go() -> list[list[int]]:
        stretches = []
        while not stop.is_set():
            async with hub.listen() as listener:
                stretch = [record.id for record in await listener.take()]
                await asyncio.sleep(0)
                stretch += [record.id for record in listener.drain()]
            stretches.append([int(found.rpartition("-")[2]) for found in stretch])
        return stretches

    tasks = [asyncio.create_task(come_and_go()) for _ in range(50)]
    for _ in range(200):
        fire(hub, 1, 2, 3)
        await asyncio.sleep(0)
    stop.set()
    for _ in range(5):
        fire(hub, 4)
        await asyncio.sleep(0)
    for stretches in await asyncio.gather(*tasks):
        assert stretches
        for stretch in stretches:
            assert list(range(stretch[0], stretch[0] + len(stretch))) == stretch
    assert 0 == hub.listeners


# History


async def test_resuming_delivers_what_was_missed() -> None:
    """After `since` comes exactly what followed it, then what is new."""
    hub = new_hub()
    listener = hub.listen()
    fire(hub, *range(10))
    ids = [record.id for record in listener.drain()]
    for number in range(10):
        assert list(range(number + 1, 10)) == seen(hub.listen(since=ids[number]))
    late = hub.listen(since=ids[7])
    fire(hub, 10)
    assert [8, 9, 10] == seen(late)


async def test_resuming_filters() -> None:
    """What is made up for passes the same filters."""
    hub = new_hub()
    first = hub.listen()
    fire(hub, *range(5))
    since = first.drain()[0].id
    assert [3] == seen(hub.listen([tag_prefix("t/03")], since=since))


async def test_resuming_beyond_the_history_says_so() -> None:
    """What has left the ring is announced as a gap before what is left of it."""
    hub = new_hub(history_bytes=3 * SIZE)
    listener = hub.listen()
    fire(hub, *range(10))
    ids = [record.id for record in listener.drain()]
    assert [HISTORY_LOST, 7, 8, 9] == seen(hub.listen(since=ids[0]))
    assert [7, 8, 9] == seen(hub.listen(since=ids[6]))
    assert [] == seen(hub.listen(since=ids[9]))


async def test_the_ring_is_bounded() -> None:
    """The history never holds more bytes than it may."""
    hub = new_hub(history_bytes=3 * SIZE + 1)
    listener = hub.listen()
    fire(hub, 0)
    since = listener.drain()[0].id
    fire(hub, *range(1, 100))
    assert [HISTORY_LOST, 97, 98, 99] == seen(hub.listen(since=since))
    hub.dispatch(frame_body("t/big", {"x": "x" * 100_000}))
    assert [HISTORY_LOST] == seen(hub.listen(since=since))


async def test_without_a_history_every_resumption_is_a_gap() -> None:
    """With `api_event_history_bytes: 0` nothing is kept, and nothing is hidden."""
    hub = new_hub(history_bytes=0)
    listener = hub.listen()
    fire(hub, 1, 2)
    ids = [record.id for record in listener.drain()]
    assert [HISTORY_LOST] == seen(hub.listen(since=ids[0]))
    assert [] == seen(hub.listen(since=ids[1]))


@pytest.mark.parametrize(
    "since",
    [
        "",
        "x",
        "-",
        "0",
        "00000000-1",
        "{epoch}",
        "{epoch}-",
        "{epoch}-x",
        "{epoch}--1",
        "{epoch}-٣",
        "{epoch}-1.5",
        "{epoch}-999",
        "{epoch}-" + "9" * 10_000,
        "{epoch}-1\n",
    ],
    ids=lambda since: since[:12],
)
async def test_an_id_of_somebody_else_is_a_gap(since: str) -> None:
    """An id of another process, or none at all, gets a gap and is told why."""
    hub = new_hub()
    fire(hub, 1, 2)
    assert UNKNOWN_ID == seen(hub.listen(since=since.format(epoch=hub.epoch)))[0]


async def test_an_id_of_another_process_gets_the_history() -> None:
    """Who comes from another process gets all there is, after the gap."""
    hub, other = new_hub(), new_hub()
    listener = other.listen()
    fire(other, 1)
    fire(hub, 1, 2)
    assert [UNKNOWN_ID, 1, 2] == seen(hub.listen(since=listener.drain()[0].id))


@pytest.mark.parametrize("events", [0, 1, 5])
@pytest.mark.parametrize("history", [0, 3 * SIZE, 100 * SIZE])
async def test_the_id_of_a_gap_can_be_resumed_from(events: int, history: int) -> None:
    """Who saw nothing but a gap comes back with its id and misses nothing, without another gap."""
    hub = new_hub(history_bytes=history)
    fire(hub, *range(events))
    gap, *rest = hub.listen(since="another-1").drain()
    assert isinstance(gap, Gap)
    again = hub.listen(since=gap.id)
    assert rest == again.drain()
    fire(hub, 9)
    assert [9] == seen(again)


async def test_a_lost_bus_is_part_of_the_history() -> None:
    """Who comes back later learns that the bus was lost in between."""
    hub = new_hub()
    listener = hub.listen()
    fire(hub, 1)
    hub.gap()
    fire(hub, 2)
    assert [BUS_LOST, 2] == seen(hub.listen(since=listener.drain()[0].id))


async def test_a_long_absence_is_no_overflow() -> None:
    """A listener that comes back gets all of the history, even if it is more than its queue."""
    hub = new_hub(queue_bytes=2 * SIZE)
    listener = hub.listen()
    fire(hub, 0)
    since = listener.drain()[0].id
    fire(hub, *range(1, 50))
    again = hub.listen(since=since)
    fire(hub, 50)
    assert list(range(1, 51)) == seen(again)
    assert again.closed is None
    fire(hub, 51, 52, 53)
    assert OVERFLOW == again.closed


# Other processes


def stamped(*numbers: int, start: float = 1_000.0, step: float = 1.0) -> list[bytes]:
    """Return events that the master has fired, one each *step* seconds."""
    moments = [datetime.datetime.fromtimestamp(start + n * step, datetime.UTC) for n in numbers]
    return [
        frame_body(f"t/{number:02}", {"_stamp": moment.isoformat()})
        for number, moment in zip(numbers, moments, strict=True)
    ]


def hub_with(*numbers: int, history_bytes: int = 100 * SIZE) -> Hub:
    """Return the hub of a process that has seen these events."""
    hub = new_hub(history_bytes=history_bytes)
    for body in stamped(*numbers):
        hub.dispatch(body)
    return hub


def id_of(hub: Hub, number: int) -> str:
    """Return the id that *hub* has given the event."""
    (found,) = (r for r in hub.missed("x-0") if isinstance(r, Event) and r.tag == f"t/{number:02}")
    return found.id


async def test_another_process_goes_on() -> None:
    """A listener that comes to another process gets exactly what followed there, without a gap."""
    first, second = hub_with(*range(10)), hub_with(*range(3, 12))
    for number in range(3, 10):
        expected = list(range(number + 1, 12))
        assert expected == seen(second.listen(since=id_of(first, number)))


async def test_another_process_that_began_later_says_so() -> None:
    """What was before the other process began is a gap, and so is what it has forgotten."""
    first, second = hub_with(*range(10)), hub_with(*range(5, 10))
    assert [HISTORY_LOST, 5, 6, 7, 8, 9] == seen(second.listen(since=id_of(first, 2)))
    small = hub_with(*range(10), history_bytes=3 * SIZE)
    found = seen(small.listen(since=id_of(first, 1)))
    assert HISTORY_LOST == found[0]
    assert list(range(found[1], 10)) == found[1:]


async def test_another_process_that_lacks_the_event_says_so() -> None:
    """An event that the other process has not seen is a gap, before what came after its time."""
    first, second = hub_with(*range(10)), hub_with(*range(4), *range(6, 10))
    assert [UNKNOWN_ID, 6, 7, 8, 9] == seen(second.listen(since=id_of(first, 5)))


async def test_a_place_can_be_resumed_from() -> None:
    """The position of a listener that saw nothing leads on, here and in another process."""
    hub, other = hub_with(*range(5)), hub_with(*range(10))
    listener = hub.listen([tag_prefix("nothing")])
    place = listener.cursor()
    assert place is not None
    for body in stamped(5, 6):
        hub.dispatch(body)
    assert [5, 6] == seen(hub.listen(since=place))
    assert [4, 5, 6, 7, 8, 9] == seen(other.listen(since=place))  # a second of disorder


async def test_a_place_behind_an_event_does_not_repeat_it() -> None:
    """Who has seen an event and then rested gets in another process only what came later."""
    hub, other = hub_with(*range(4)), hub_with(*range(10))
    listener = hub.listen()
    hub.dispatch(stamped(4)[0])
    assert listener.cursor() is None  # it has not been taken
    assert [4] == seen(listener)
    assert [5, 6, 7, 8, 9] == seen(other.listen(since=listener.cursor()))


def master_with(name: str, *numbers: int, clustered: bool = True) -> Hub:
    """Return the hub of a process at the master *name* that has seen these events in this order."""
    hub = Hub(history_bytes=100 * SIZE, queue_bytes=BIG, master=name, clustered=clustered)
    for body in stamped(*numbers, step=0.4):
        hub.dispatch(body)
    return hub


async def test_another_master_goes_on() -> None:
    """Who comes from another master of the cluster gets all that may be missing, without a gap."""
    first = master_with("a", *range(10))
    second = master_with("b", *range(4), 5, 4, *range(6, 12))
    assert [3, 4, *range(6, 12)] == seen(second.listen(since=id_of(first, 5)))
    # By time and check a reader knows what it has seen.
    assert id_of(first, 6).split("-")[:2] == id_of(second, 6).split("-")[:2]
    assert list(range(5, 12)) == seen(second.listen(since=first.cursor()))[-7:]
    same = master_with("a", *range(12))
    assert list(range(6, 12)) == seen(same.listen(since=id_of(first, 5)))


async def test_another_master_waits_for_what_is_forwarded() -> None:
    """What the other master has not forwarded yet is waited for, however new its own events are."""
    first, second = master_with("a", *range(6)), master_with("b", *range(5), 6)
    since = id_of(first, 5)
    catching_up = asyncio.create_task(second.catch_up(since))
    await asyncio.sleep(0)
    assert not catching_up.done()
    second.dispatch(stamped(5, step=0.4)[0])
    await catching_up
    assert [3, 4, 6] == seen(second.listen(since=since))


async def test_a_master_of_its_own_says_so() -> None:
    """Between masters that do not share their events there is a gap, also without an event."""
    first, second = (master_with(name, *range(5), clustered=False) for name in "ab")
    for since in (id_of(first, 3), first.cursor()):
        assert [UNKNOWN_ID, *range(5)] == seen(second.listen(since=since))


async def test_a_gap_is_told_in_another_process() -> None:
    """A lost bus in between is told, also to who comes from another process."""
    first, second = hub_with(*range(5)), hub_with(*range(5))
    second.gap()
    second.dispatch(stamped(5)[0])
    assert [BUS_LOST, 5] == seen(second.listen(since=id_of(first, 4)))


async def test_waiting_for_what_another_process_has_seen_already() -> None:
    """A process that is a moment behind catches up before it speaks of gaps."""
    first, second = hub_with(*range(6)), hub_with(*range(5))
    since = id_of(first, 5)
    catching_up = asyncio.create_task(second.catch_up(since))
    await asyncio.sleep(0)
    assert not catching_up.done()
    second.dispatch(stamped(5)[0])
    await catching_up
    assert [] == seen(second.listen(since=since))


@pytest.mark.parametrize("since", ["", "x", "e-1", "ffff-e-1"])
async def test_nothing_to_wait_for(since: str) -> None:
    """What is no id, or not later than what is here, is not waited for."""
    hub = hub_with(*range(5))
    async with asyncio.timeout(0.5):
        await hub.catch_up(since)


# Jobs


async def test_a_job_is_watched() -> None:
    """A watcher gets the events of its jid, whatever their kind, and no others."""
    hub = new_hub()
    tags: list[str] = []
    stop = hub.watch_job("J", lambda event: tags.append(event.tag))
    mine = ["salt/job/J/new", "salt/job/J/ret/a/b", "salt/run/J/ret", "syndic/m/J"]
    for tag in [*mine, "salt/job/K/ret/a", "salt/job/J", "J", "x/J/y", "salt/jobs/J/ret"]:
        hub.dispatch(frame_body(tag, {}))
    assert mine == tags
    assert hub.watches("J")
    stop()
    stop()
    hub.dispatch(frame_body("salt/job/J/new", {}))
    assert (mine, False, 0) == (tags, hub.watches("J"), hub.watched_jobs)


async def test_two_may_watch_one_job() -> None:
    """Watchers of one jid do not disturb each other."""
    hub = new_hub()
    first: list[Event] = []
    second: list[Event] = []
    stop = hub.watch_job("J", first.append)
    hub.watch_job("J", second.append)
    hub.dispatch(frame_body("salt/job/J/new", {}))
    stop()
    hub.dispatch(frame_body("salt/job/J/new", {}))
    assert (1, 2, 1) == (len(first), len(second), hub.watched_jobs)


async def test_a_watcher_may_leave_when_it_is_called() -> None:
    """Stopping inside of the callback is fine, for the others too."""
    hub = new_hub()
    calls: list[str] = []

    def leave(_: Event) -> None:
        calls.append("leave")
        stop()

    stop = hub.watch_job("J", leave)
    hub.watch_job("J", lambda _: calls.append("stay"))
    hub.dispatch(frame_body("salt/job/J/new", {}))
    hub.dispatch(frame_body("salt/job/J/new", {}))
    assert ["leave", "stay", "stay"] == calls
