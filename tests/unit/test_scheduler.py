"""The scheduler runs every job at its interval, keeps jobs apart, and counts each run that did not happen in time."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta

import pytest

from bot.clock import PacedClock, SystemClock
from bot.interfaces import Scheduler
from bot.models import JobHealth
from bot.scheduler import IntervalScheduler

INTERVAL = timedelta(milliseconds=20)


def make_scheduler(
    *, on_problem: Callable[[str, str], None] = lambda job, text: None, stop_grace_s: float = 5.0
) -> IntervalScheduler:
    return IntervalScheduler(SystemClock(), on_problem=on_problem, least_interval_s=0.01, stop_grace_s=stop_grace_s)


def counting(times: int, reached: asyncio.Event) -> Callable[[], Awaitable[None]]:
    """A job that sets `reached` on its `times`-th run."""
    runs = 0

    async def job() -> None:
        nonlocal runs
        runs += 1
        if runs >= times:
            reached.set()

    return job


def health_of(scheduler: IntervalScheduler, name: str) -> JobHealth:
    return next(each for each in scheduler.health() if each.name == name)


async def reached(event: asyncio.Event) -> None:
    async with asyncio.timeout(5):
        await event.wait()


def block_the_loop(seconds: float) -> None:
    """Hold the event loop without giving way, as a busy machine does."""
    until = SystemClock().monotonic() + seconds
    while SystemClock().monotonic() < until:
        pass


async def test_a_job_runs_again_and_again_and_is_counted() -> None:
    scheduler: Scheduler = make_scheduler()
    third_run = asyncio.Event()
    scheduler.every("monitor", INTERVAL, counting(3, third_run))

    await scheduler.start()
    await reached(third_run)
    await scheduler.stop()

    (health,) = scheduler.health()
    assert health.runs >= 3
    assert health.failures == 0
    assert health.last_run_at is not None
    assert health.last_error == ""


async def test_the_first_run_does_not_wait_for_an_interval_to_pass() -> None:
    scheduler = make_scheduler()
    first_run = asyncio.Event()
    scheduler.every("analysis", timedelta(hours=1), counting(1, first_run))

    await scheduler.start()
    await reached(first_run)
    await scheduler.stop()

    assert health_of(scheduler, "analysis").runs == 1


async def test_a_job_added_after_the_start_runs_too() -> None:
    scheduler = make_scheduler()
    first_run = asyncio.Event()
    await scheduler.start()

    scheduler.every("late", timedelta(hours=1), counting(1, first_run))

    await reached(first_run)
    await scheduler.stop()


async def test_a_job_that_raises_is_counted_and_runs_again() -> None:
    problems: list[tuple[str, str]] = []
    scheduler = make_scheduler(on_problem=lambda job, text: problems.append((job, text)))
    third_run = asyncio.Event()
    count_run = counting(3, third_run)

    async def fails() -> None:
        await count_run()
        raise RuntimeError("venue answered nonsense")

    scheduler.every("outcomes", INTERVAL, fails)

    await scheduler.start()
    await reached(third_run)
    await scheduler.stop()

    health = health_of(scheduler, "outcomes")
    assert health.failing == health.failures == health.runs >= 3
    assert health.last_error == "RuntimeError: venue answered nonsense"
    assert problems[0] == ("outcomes", "failed (1 of 1 runs): RuntimeError: venue answered nonsense")


async def test_a_run_that_goes_well_ends_a_row_of_failures_but_is_not_forgotten() -> None:
    scheduler = make_scheduler()
    third_run = asyncio.Event()
    runs: list[int] = []

    async def fails_once() -> None:
        runs.append(1)
        if len(runs) == 1:
            raise RuntimeError("venue answered nonsense")
        if len(runs) == 3:
            third_run.set()

    scheduler.every("outcomes", INTERVAL, fails_once)

    await scheduler.start()
    await reached(third_run)
    await scheduler.stop()

    health = health_of(scheduler, "outcomes")
    assert (health.failing, health.failures) == (0, 1)


async def test_a_slow_job_does_not_delay_another_one() -> None:
    scheduler = make_scheduler()
    let_go, fifth_monitor_run = asyncio.Event(), asyncio.Event()

    async def analysis() -> None:
        await let_go.wait()

    scheduler.every("analysis", INTERVAL, analysis)
    scheduler.every("monitor", INTERVAL, counting(5, fifth_monitor_run))

    await scheduler.start()
    await reached(fifth_monitor_run)
    runs_of_analysis_meanwhile = health_of(scheduler, "analysis").runs
    let_go.set()
    await scheduler.stop()

    assert runs_of_analysis_meanwhile == 0
    assert health_of(scheduler, "monitor").runs >= 5


async def test_a_run_that_overruns_its_interval_makes_the_next_ones_missed_never_doubled() -> None:
    problems: list[tuple[str, str]] = []
    scheduler = make_scheduler(on_problem=lambda job, text: problems.append((job, text)))
    let_go, fifth_monitor_run = asyncio.Event(), asyncio.Event()
    at_once, most_at_once = 0, 0

    async def analysis() -> None:
        nonlocal at_once, most_at_once
        at_once += 1
        most_at_once = max(most_at_once, at_once)
        await let_go.wait()
        at_once -= 1

    scheduler.every("analysis", INTERVAL, analysis)
    scheduler.every("monitor", INTERVAL, counting(5, fifth_monitor_run))

    await scheduler.start()
    await reached(fifth_monitor_run)
    let_go.set()
    await scheduler.stop()

    assert most_at_once == 1
    assert health_of(scheduler, "analysis").missed >= 3
    assert problems[0][0] == "analysis"
    assert "the run before has not ended" in problems[0][1]


async def test_runs_that_a_blocked_loop_swallowed_are_counted_as_missed() -> None:
    scheduler = make_scheduler()
    blocked, second_run = asyncio.Event(), asyncio.Event()
    count_run = counting(2, second_run)

    async def blocks_once() -> None:
        await count_run()
        if not blocked.is_set():
            blocked.set()
            block_the_loop(0.11)

    scheduler.every("monitor", INTERVAL, blocks_once)

    await scheduler.start()
    await reached(second_run)
    await scheduler.stop()

    health = health_of(scheduler, "monitor")
    assert health.missed >= 4
    assert health.runs <= 3, "runs that were due meanwhile are merged, not made up for"


async def test_a_run_that_is_more_than_a_second_late_still_happens() -> None:
    scheduler = make_scheduler()
    first_run = asyncio.Event()
    scheduler.every("monitor", timedelta(hours=1), counting(1, first_run))

    await scheduler.start()
    block_the_loop(1.05)  # APScheduler's default would skip the run after 1 s
    await reached(first_run)
    await scheduler.stop()

    assert (health_of(scheduler, "monitor").runs, health_of(scheduler, "monitor").missed) == (1, 0)


async def test_stopping_waits_for_the_run_under_way_and_begins_no_other() -> None:
    scheduler = make_scheduler()
    begun, let_go = asyncio.Event(), asyncio.Event()
    finished: list[str] = []

    async def job() -> None:
        begun.set()
        await let_go.wait()
        finished.append("run")

    scheduler.every("monitor", INTERVAL, job)
    await scheduler.start()
    await reached(begun)

    stopping = asyncio.create_task(scheduler.stop())
    asyncio.get_running_loop().call_later(0.05, let_go.set)
    async with asyncio.timeout(5):
        await stopping

    assert finished == ["run"]
    assert health_of(scheduler, "monitor").runs == 1


async def test_stopping_in_the_turn_in_which_a_run_was_submitted_waits_for_that_run_too() -> None:
    scheduler = make_scheduler()
    let_go = asyncio.Event()
    finished: list[str] = []

    async def job() -> None:
        await let_go.wait()
        finished.append("run")

    scheduler.every("monitor", timedelta(hours=1), job)
    await scheduler.start()
    await SystemClock().sleep(0)  # the run is submitted, and has not begun

    asyncio.get_running_loop().call_later(0.02, let_go.set)
    async with asyncio.timeout(5):
        await scheduler.stop()

    assert finished == ["run"]


async def test_stopping_cancels_a_run_that_does_not_end_in_time() -> None:
    problems: list[tuple[str, str]] = []
    scheduler = make_scheduler(on_problem=lambda job, text: problems.append((job, text)), stop_grace_s=0.02)
    begun, ended = asyncio.Event(), asyncio.Event()

    async def loads_history() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    scheduler.every("analysis", timedelta(hours=1), loads_history)
    await scheduler.start()
    await reached(begun)

    async with asyncio.timeout(5):
        await scheduler.stop()

    assert ended.is_set()
    assert problems == [], "it did not fail: it was told to end"


async def test_a_cancelled_run_ends_the_send_that_it_had_begun() -> None:
    scheduler = make_scheduler(stop_grace_s=0.02)
    begun, cancelled, answered = asyncio.Event(), asyncio.Event(), asyncio.Event()
    finished: list[str] = []

    async def sends() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
            await answered.wait()
            finished.append("send")

    scheduler.every("monitor", timedelta(hours=1), sends)
    await scheduler.start()
    await reached(begun)

    stopping = asyncio.create_task(scheduler.stop())
    await reached(cancelled)
    answered.set()
    async with asyncio.timeout(5):
        await stopping

    assert finished == ["send"]


async def test_a_run_that_does_not_end_when_cancelled_keeps_nobody_from_stopping() -> None:
    scheduler = make_scheduler(stop_grace_s=0.02)
    begun, let_go = asyncio.Event(), asyncio.Event()

    async def stubborn() -> None:
        begun.set()
        while not let_go.is_set():
            with suppress(asyncio.CancelledError):
                await let_go.wait()

    scheduler.every("monitor", timedelta(hours=1), stubborn)
    await scheduler.start()
    await reached(begun)

    async with asyncio.timeout(5):
        await scheduler.stop()

    assert not let_go.is_set()
    let_go.set()


async def test_stopping_what_was_not_started_does_nothing() -> None:
    await make_scheduler().stop()


async def test_an_interval_is_divided_by_the_speed_of_the_market() -> None:
    speed = 3_600.0
    clock_of_market = PacedClock(SystemClock().now(), speed)
    scheduler = IntervalScheduler(clock_of_market, speed=speed, least_interval_s=0.01)
    third_run = asyncio.Event()
    scheduler.every("analysis", timedelta(seconds=72), counting(3, third_run))  # 20 ms at this speed

    await scheduler.start()
    await reached(third_run)
    await scheduler.stop()

    assert health_of(scheduler, "analysis").interval_s == pytest.approx(72)


def test_a_very_fast_market_meets_the_floor_of_a_tenth_of_a_second() -> None:
    scheduler = IntervalScheduler(SystemClock(), speed=14_400)

    scheduler.every("analysis", timedelta(seconds=300), counting(1, asyncio.Event()))

    assert health_of(scheduler, "analysis").interval_s == pytest.approx(0.1 * 14_400)


def test_two_jobs_of_one_name_are_refused() -> None:
    scheduler = make_scheduler()
    scheduler.every("monitor", INTERVAL, counting(1, asyncio.Event()))

    with pytest.raises(ValueError, match="'monitor' is scheduled already"):
        scheduler.every("monitor", INTERVAL, counting(1, asyncio.Event()))
