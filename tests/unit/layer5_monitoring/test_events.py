"""Readers of the event stream get what is published while they read; a slow one loses the oldest, and only its own."""

import asyncio
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from bot.interfaces import EventStream
from bot.layer5_monitoring.events import JournalEvents
from bot.models import JournalEntry


def entry(number: int) -> JournalEntry:
    return JournalEntry(at=datetime(2025, 1, 1, tzinfo=UTC), kind="test", task_id=None, data={"number": number})


async def read_all(events: JournalEvents, reading: asyncio.Event) -> list[object]:
    async with events.subscribe() as entries:
        reading.set()
        return [each.data["number"] async for each in entries]


async def test_a_reader_gets_entries_in_order_from_its_subscription_on() -> None:
    events = JournalEvents()
    stream: EventStream = events
    stream.publish(entry(0))
    async with asyncio.timeout(5), stream.subscribe() as entries:
        stream.publish(entry(1))
        stream.publish(entry(2))

        received = [(await anext(entries)).data["number"] for _ in range(2)]

    assert received == [1, 2]


async def test_a_waiting_reader_is_woken_by_an_entry() -> None:
    events = JournalEvents()
    reading = asyncio.Event()
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        reader = tasks.create_task(read_all(events, reading))
        await reading.wait()

        events.publish(entry(1))
        events.close()

    assert reader.result() == [1]


async def test_every_reader_gets_every_entry() -> None:
    events = JournalEvents()
    async with asyncio.timeout(5), events.subscribe() as first, events.subscribe() as second:
        events.publish(entry(1))

        received = [(await anext(each)).data["number"] for each in (first, second)]

    assert received == [1, 1]


@settings(deadline=None, max_examples=50)
@given(length=st.integers(min_value=1, max_value=10), published=st.integers(min_value=0, max_value=30))
def test_a_slow_reader_keeps_the_newest_and_each_lost_entry_is_counted(length: int, published: int) -> None:
    async def scenario() -> tuple[list[object], int]:
        events = JournalEvents(queue_length=length)
        async with events.subscribe() as entries:
            for number in range(published):
                events.publish(entry(number))
            events.close()
            return [each.data["number"] async for each in entries], events.dropped

    received, dropped = asyncio.run(scenario())

    assert received == list(range(published))[-length:]
    assert dropped == published - len(received)


async def test_a_slow_reader_costs_a_quick_one_nothing() -> None:
    events = JournalEvents(queue_length=1)
    received: list[object] = []
    async with asyncio.timeout(5), events.subscribe() as quick, events.subscribe():
        for number in range(5):
            events.publish(entry(number))
            received.append((await anext(quick)).data["number"])

    assert received == [0, 1, 2, 3, 4]
    assert events.dropped == 4


async def test_a_reader_that_left_is_forgotten() -> None:
    events = JournalEvents(queue_length=1)
    async with events.subscribe():
        assert events.readers == 1

    events.publish(entry(1))
    events.publish(entry(2))

    assert (events.readers, events.dropped) == (0, 0)


async def test_a_closed_stream_ends_a_new_reader_at_once() -> None:
    events = JournalEvents()
    events.close()

    async with asyncio.timeout(5):
        assert await read_all(events, asyncio.Event()) == []
