"""The clocks keep the contract of `interfaces.Clock`: aware instants, seconds that never go back, sleeps that end."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.clock import ManualClock, PacedClock, ReplayClock, SystemClock
from bot.interfaces import Clock

START = datetime(2025, 3, 30, 0, 30, tzinfo=UTC)
CLOCKS: tuple[Callable[[], Clock], ...] = (
    SystemClock,
    lambda: PacedClock(START, 14_400),
    lambda: ReplayClock(START),
    lambda: ManualClock(START),
)


@pytest.mark.parametrize("make", CLOCKS)
def test_every_clock_tells_an_aware_utc_instant(make: Callable[[], Clock]) -> None:
    assert make().now().utcoffset() == timedelta(0)


@pytest.mark.parametrize("make", CLOCKS)
def test_monotonic_never_goes_back(make: Callable[[], Clock]) -> None:
    clock = make()

    readings = [clock.monotonic() for _ in range(100)]

    assert readings == sorted(readings)


@pytest.mark.parametrize("make", CLOCKS)
async def test_sleeping_until_an_instant_that_has_passed_returns_at_once(make: Callable[[], Clock]) -> None:
    clock = make()

    async with asyncio.timeout(1):
        await clock.sleep_until(clock.now() - timedelta(hours=1))


async def test_system_clock_sleeps_until_the_instant_is_reached() -> None:
    clock = SystemClock()
    instant = clock.now() + timedelta(milliseconds=20)

    async with asyncio.timeout(5):
        await clock.sleep_until(instant)

    assert clock.now() >= instant


async def test_paced_clock_passes_a_market_hour_in_a_fraction_of_a_second() -> None:
    clock = PacedClock(START, 1_000_000)

    async with asyncio.timeout(5):
        await clock.sleep(3_600)

    assert clock.now() >= START + timedelta(hours=1)
    assert clock.monotonic() >= 3_600


async def test_paced_clock_sleeps_until_market_time_is_reached() -> None:
    clock = PacedClock(START, 1_000_000)

    async with asyncio.timeout(5):
        await clock.sleep_until(START + timedelta(hours=2))

    assert clock.now() >= START + timedelta(hours=2)


def test_paced_clock_begins_at_the_instant_it_resumes_at() -> None:
    clock = PacedClock(START, 1)

    assert clock.resume_at == START
    assert START <= clock.now() < START + timedelta(minutes=1)


@pytest.mark.parametrize("speed", [0.0, -1.0])
def test_paced_clock_refuses_a_speed_that_would_stop_or_turn_time(speed: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        PacedClock(START, speed)


def test_a_naive_instant_is_refused() -> None:
    naive = START.replace(tzinfo=None)

    with pytest.raises(ValueError, match="no time zone"):
        PacedClock(naive, 1)
    with pytest.raises(ValueError, match="no time zone"):
        ReplayClock(naive)


def test_replay_clock_stands_where_it_was_set() -> None:
    clock = ReplayClock(START)

    clock.set_time(START + timedelta(minutes=5))

    assert clock.now() == START + timedelta(minutes=5)
    assert clock.monotonic() == 300


def test_replay_clock_refuses_to_go_back() -> None:
    clock = ReplayClock(START)

    with pytest.raises(ValueError, match="cannot go back"):
        clock.set_time(START - timedelta(microseconds=1))


async def test_replay_clock_returns_from_a_sleep_without_moving() -> None:
    clock = ReplayClock(START)

    async with asyncio.timeout(1):
        await clock.sleep(3_600)
        await clock.sleep_until(START + timedelta(days=1))

    assert clock.now() == START


async def test_replay_clock_lets_others_run_during_a_sleep() -> None:
    clock = ReplayClock(START)
    ran: list[str] = []

    async def other() -> None:
        ran.append("other")

    task = asyncio.create_task(other())
    await clock.sleep(1)

    assert ran == ["other"]
    await task


async def _note(clock: ManualClock, seconds: float, name: str, noted: list[tuple[str, float]]) -> None:
    await clock.sleep(seconds)
    noted.append((name, clock.monotonic()))


async def test_manual_clock_wakes_nobody_before_the_deadline() -> None:
    clock = ManualClock(START)
    noted: list[tuple[str, float]] = []
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_note(clock, 10, "ten", noted))

        await clock.run_for(9.999)
        before = list(noted)
        await clock.run_for(0.001)

    assert before == []
    assert noted == [("ten", 10.0)]


async def test_manual_clock_wakes_at_each_deadline_in_order_with_ties_as_they_came() -> None:
    clock = ManualClock(START)
    noted: list[tuple[str, float]] = []
    async with asyncio.TaskGroup() as tasks:
        for name, seconds in (("c", 3.0), ("a", 1.0), ("b", 2.0), ("a2", 1.0)):
            tasks.create_task(_note(clock, seconds, name, noted))

        await clock.run_for(5)

    assert noted == [("a", 1.0), ("a2", 1.0), ("b", 2.0), ("c", 3.0)]
    assert clock.now() == START + timedelta(seconds=5)


async def test_manual_clock_lets_a_loop_sleep_again_within_one_span() -> None:
    clock = ManualClock(START)
    ticks: list[float] = []

    async def tick() -> None:
        for _ in range(3):
            await clock.sleep(60)
            ticks.append(clock.monotonic())

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(tick())
        await clock.run_for(200)

    assert ticks == [60.0, 120.0, 180.0]


async def test_a_jump_of_the_manual_clock_wakes_all_that_are_due_in_order_at_the_new_time() -> None:
    clock = ManualClock(START)
    noted: list[tuple[str, float]] = []
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_note(clock, 2, "late", noted))
        tasks.create_task(_note(clock, 1, "early", noted))
        await clock.run_for(0)

        clock.advance(10)

    assert noted == [("early", 10.0), ("late", 10.0)]


async def test_a_cancelled_sleeper_is_forgotten() -> None:
    clock = ManualClock(START)
    task = asyncio.create_task(clock.sleep(10))
    await clock.run_for(0)

    task.cancel()
    await asyncio.wait([task])
    await clock.run_for(20)

    assert clock.sleepers == 0
    assert task.cancelled()


def test_manual_clock_refuses_to_go_back() -> None:
    with pytest.raises(ValueError, match="cannot go back"):
        ManualClock(START).advance(-1)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(min_value=0, max_value=1_000), max_size=12))
def test_manual_clock_wakes_sleepers_sorted_by_deadline(delays: list[int]) -> None:
    async def wake_order() -> list[float]:
        clock = ManualClock(START)
        noted: list[tuple[str, float]] = []
        async with asyncio.TaskGroup() as tasks:
            for delay in delays:
                tasks.create_task(_note(clock, delay, "", noted))
            await clock.run_for(1_000)
        return [at for _, at in noted]

    assert asyncio.run(wake_order()) == sorted(float(each) for each in delays)
