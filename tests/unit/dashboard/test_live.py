"""Many watchers cost little: made once, told in small groups, never waited for."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from bot.clock import ManualClock
from bot.dashboard.live import TICK_S, LivePage, sse_event
from bot.dashboard.pages import Section
from bot.layer5_monitoring.events import JournalEvents

_DEADLINE_S = 10.0
Render = Callable[[Section], Awaitable[str]]


def section(name: str) -> Section:
    async def load(*_: Any) -> Mapping[str, object]:
        return {}

    return Section(name=name, load=load, quickest_s=0.0, slowest_s=0.0)


@asynccontextmanager
async def live_page(clock: ManualClock, names: Sequence[str], render: Render) -> AsyncIterator[LivePage]:
    page = LivePage(sections=[*map(section, names)], render=render, events=JournalEvents(), clock=clock)
    running = asyncio.create_task(page.run())
    async with asyncio.timeout(_DEADLINE_S):
        yield page
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_what_is_new_is_made_once_for_all_who_are_as_far() -> None:
    clock, number = ManualClock(), 0

    async def render(_: Section) -> str:
        return f"number {number}"

    async with live_page(clock, ["a"], render) as page:
        with page.watch() as one, page.watch() as other:
            await clock.run_for(0)
            first = await one.news(), await other.news()
            number = 1
            await clock.run_for(TICK_S)
            second = await one.news(), await other.news()

    assert first[0] is first[1]
    assert second[0] is second[1]
    assert b"number 1" in second[0]


async def test_a_watcher_that_did_not_read_for_long_gets_the_newest_and_nothing_in_between() -> None:
    clock, number = ManualClock(), 0

    async def render(_: Section) -> str:
        nonlocal number
        number += 1
        return f"number {number};"

    async with live_page(clock, ["a"], render) as page:
        with page.watch() as quick, page.watch() as slow:
            for _ in range(400):
                await clock.run_for(TICK_S)
                await quick.news()
            told = await slow.news()

    assert told.count(b"number") == 1
    assert f"number {number};".encode() in told


async def test_others_run_in_between_while_many_watchers_are_told() -> None:
    """A trade must not wait until 200 browsers have been written to."""
    clock, told, most_at_once = ManualClock(), 0, 0

    async def render(_: Section) -> str:
        return "figures"

    async def watch(page: LivePage) -> None:
        nonlocal told
        with page.watch() as watcher:
            await watcher.news()
            told += 1
            await asyncio.Event().wait()

    async def trade() -> None:
        nonlocal most_at_once
        while True:
            before = told
            await clock.sleep(0)
            most_at_once = max(most_at_once, told - before)

    async with live_page(clock, ["a"], render) as page:
        trading = asyncio.create_task(trade())
        watching = [asyncio.create_task(watch(page)) for _ in range(200)]
        await clock.run_for(0)
        for task in (trading, *watching):
            task.cancel()
        await asyncio.gather(trading, *watching, return_exceptions=True)

    assert told == 200
    assert most_at_once <= 20


async def test_a_section_that_takes_long_does_not_hold_up_the_others() -> None:
    clock = ManualClock()

    async def render(each: Section) -> str:
        if each.name == "slow":
            await clock.sleep(10)
        return f"figures of {each.name}"

    async with live_page(clock, ["a", "slow"], render) as page:
        with page.watch() as watcher:
            await clock.run_for(TICK_S)
            first = await watcher.news()
            await clock.run_for(10)
            second = await watcher.news()

    assert b"figures of a" in first
    assert b"figures of slow" in second


async def test_a_page_that_takes_long_rests_as_long() -> None:
    """However many are watched, what they read leaves time for what trades."""
    clock, begun_s = ManualClock(), list[float]()

    async def render(_: Section) -> str:
        begun_s.append(clock.monotonic())
        await clock.sleep(3)
        return "figures"

    async with live_page(clock, ["a"], render) as page:
        with page.watch():
            await clock.run_for(20)

    assert begun_s == [0, 6, 12, 18]


async def test_a_watcher_is_let_go_with_a_last_word() -> None:
    clock = ManualClock()

    async def render(_: Section) -> str:
        return "figures"

    async with live_page(clock, ["a"], render) as page:
        with page.watch() as watcher:
            await clock.run_for(0)
            await watcher.news()
            waiting = asyncio.create_task(watcher.news())
            watcher.end(b"last")

            assert await waiting == b""
            assert (watcher.is_ended, watcher.last) == (True, b"last")


def test_an_event_has_each_line_of_its_text_whatever_ends_it() -> None:
    """A lone carriage return is a line's end to a browser, so that it must not get into the middle of one."""
    assert sse_event("a\nb\rc\r\nd", kind="k") == b"event: k\r\ndata: a\r\ndata: b\r\ndata: c\r\ndata: d\r\n\r\n"
    assert sse_event("\u2028") == b"data: \xe2\x80\xa8\r\n\r\n"
