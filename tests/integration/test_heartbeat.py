"""The dead man's switch: quiet whenever the daemon makes no progress, however alive it is."""

from collections.abc import AsyncIterator
from dataclasses import replace

import aiohttp
import pytest
from aiohttp import web

from bot.clock import ManualClock
from bot.layer5_monitoring.heartbeat import Heartbeat, Progress
from bot.models import JobHealth


class Watcher:
    """Who watches the address: counts what comes; `status` is its answer."""

    def __init__(self) -> None:
        self.beats = 0
        self.status = 200

    async def answer(self, request: web.Request) -> web.Response:
        self.beats += 1
        return web.Response(status=self.status)


class Jobs:
    """The scheduler's counts."""

    def __init__(self) -> None:
        self.rows = {name: JobHealth(name=name, interval_s=120) for name in ("analysis", "monitor", "outcomes")}

    def ran(self, name: str, *, failed: bool = False) -> None:
        row = self.rows[name]
        self.rows[name] = replace(row, runs=row.runs + 1, failures=row.failures + failed)

    def health(self) -> list[JobHealth]:
        return list(self.rows.values())


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def watcher() -> Watcher:
    return Watcher()


@pytest.fixture
async def address(watcher: Watcher) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/secret-ping", watcher.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/secret-ping"
    await runner.cleanup()


async def beat(address: str, progress: Progress, clock: ManualClock) -> bool:
    async with aiohttp.ClientSession() as session:
        return await Heartbeat(address, progress, clock, interval_s=60).beat(session)


def progress_of(jobs: Jobs, clock: ManualClock) -> Progress:
    return Progress(jobs.health, clock, patience_s=900)


async def test_it_beats_while_every_job_that_matters_makes_progress(
    address: str, watcher: Watcher, clock: ManualClock
) -> None:
    jobs = Jobs()
    progress = progress_of(jobs, clock)
    for name in ("analysis", "monitor"):
        jobs.ran(name)
    assert await beat(address, progress, clock)
    assert watcher.beats == 1


@pytest.mark.parametrize("silent", ["analysis", "monitor"])
async def test_it_is_quiet_when_one_of_them_stands_still_while_the_other_runs(
    address: str, watcher: Watcher, clock: ManualClock, silent: str
) -> None:
    jobs = Jobs()
    progress = progress_of(jobs, clock)
    for name in ("analysis", "monitor"):
        jobs.ran(name)
    await beat(address, progress, clock)
    for _ in range(10):
        clock.advance(100)
        jobs.ran({"analysis": "monitor", "monitor": "analysis"}[silent])
        progress.stalled()
    assert not await beat(address, progress, clock)
    assert (watcher.beats, progress.stalled()) == (1, (silent,))


async def test_a_venue_whose_monitor_stands_still_makes_it_quiet_whatever_the_others_do(
    address: str, watcher: Watcher, clock: ManualClock
) -> None:
    jobs = Jobs()
    jobs.rows["monitor oanda"] = JobHealth(name="monitor oanda", interval_s=120)
    progress = progress_of(jobs, clock)
    for name in ("analysis", "monitor"):
        jobs.ran(name)
    assert not await beat(address, progress, clock)
    assert (watcher.beats, progress.stalled()) == (0, ("monitor oanda",))
    jobs.ran("monitor oanda")
    assert await beat(address, progress, clock)


async def test_runs_that_fail_are_no_progress(address: str, watcher: Watcher, clock: ManualClock) -> None:
    jobs = Jobs()
    progress = progress_of(jobs, clock)
    jobs.ran("analysis")
    for _ in range(5):
        jobs.ran("monitor", failed=True)
    assert not await beat(address, progress, clock)
    assert watcher.beats == 0


async def test_nothing_is_sent_before_the_first_good_run(address: str, watcher: Watcher, clock: ManualClock) -> None:
    assert not await beat(address, progress_of(Jobs(), clock), clock)
    assert watcher.beats == 0


async def test_a_watcher_that_fails_costs_nothing(address: str, watcher: Watcher, clock: ManualClock) -> None:
    jobs = Jobs()
    progress = progress_of(jobs, clock)
    for name in ("analysis", "monitor"):
        jobs.ran(name)
    watcher.status = 500
    assert not await beat(address, progress, clock)
    assert not await beat("http://127.0.0.1:1/secret-ping", progress, clock)
