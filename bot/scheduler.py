"""Runs jobs at intervals over APScheduler 3, one run of each job at a time, and counts what did not happen in time.

APScheduler skips a job that is more than 1 s late by default, with only a log line. Here a late run happens late, runs
that were due meanwhile are merged into one, and every run that was lost that way is counted and told.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from loguru import logger

from bot.interfaces import Clock
from bot.models import JobHealth

if TYPE_CHECKING:
    from apscheduler.schedulers.asyncio import AsyncIOScheduler

Job = Callable[[], Awaitable[None]]
LEAST_INTERVAL_S: Final = 0.1
STOP_GRACE_S: Final = 4.0  # and as much again for a send under way: a daemon has 10 s to stop
_WARNING_PAUSE_S: Final = 10.0  # real seconds; a job of a fast market can miss ten runs a second


@dataclass(slots=True, kw_only=True)
class _Schedule:
    """One job: what to run, how often in real seconds, how it is doing, and which run was due last."""

    job: Job
    real_interval_s: float
    health: JobHealth
    last_due_at: datetime | None = None
    untold_misses: int = 0
    told_at_s: float = -_WARNING_PAUSE_S


class IntervalScheduler:
    """Jobs by interval on the running event loop; an `interfaces.Scheduler`.

    `speed` is the clock's seconds per real second. `least_interval_s` (real) is the floor that a fast market meets.
    A run under way may last `stop_grace_s` (real) when told to stop; then it is cancelled, and may last as long again.
    `on_problem` is told the job's name and a sentence about each failure and, at most every 10 s, about its misses; it
    must not raise.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        speed: float = 1.0,
        on_problem: Callable[[str, str], None] = lambda job, text: None,
        least_interval_s: float = LEAST_INTERVAL_S,
        stop_grace_s: float = STOP_GRACE_S,
    ) -> None:
        self._clock = clock
        self._speed = speed
        self._on_problem = on_problem
        self._least_interval_s = least_interval_s
        self._stop_grace_s = stop_grace_s
        self._schedules: dict[str, _Schedule] = {}
        self._scheduler: AsyncIOScheduler | None = None
        self._running: dict[asyncio.Task[None], str] = {}

    def every(self, name: str, interval: timedelta, job: Job) -> None:
        """Add a job; its first run is at the start, or now if started. Raises ValueError for a name used before."""
        if name in self._schedules:
            raise ValueError(f"job {name!r} is scheduled already; give each job its own name")
        real_s = max(interval.total_seconds() / self._speed, self._least_interval_s)
        health = JobHealth(name=name, interval_s=real_s * self._speed)
        self._schedules[name] = _Schedule(job=job, real_interval_s=real_s, health=health)
        if self._scheduler is not None:
            self._add(self._scheduler, name)

    def health(self) -> Sequence[JobHealth]:
        """How each job is doing, in the order added. Intervals in the clock's seconds, durations in real ones."""
        return tuple(each.health for each in self._schedules.values())

    async def start(self) -> None:
        """Begin; every job runs at once, then at its interval. Imports APScheduler, which nothing else needs."""
        from apscheduler.events import (
            EVENT_JOB_ERROR,
            EVENT_JOB_EXECUTED,
            EVENT_JOB_MAX_INSTANCES,
            EVENT_JOB_MISSED,
            EVENT_JOB_SUBMITTED,
        )
        from apscheduler.schedulers.asyncio import AsyncIOScheduler

        scheduler = AsyncIOScheduler(timezone=UTC)
        scheduler.add_listener(self._on_submitted, EVENT_JOB_SUBMITTED)
        scheduler.add_listener(self._on_overrun, EVENT_JOB_MAX_INSTANCES)
        scheduler.add_listener(self._on_late, EVENT_JOB_MISSED)
        scheduler.add_listener(self._on_executed, EVENT_JOB_EXECUTED)
        scheduler.add_listener(self._on_error, EVENT_JOB_ERROR)
        scheduler.start()
        self._scheduler = scheduler
        for name in self._schedules:
            self._add(scheduler, name)

    async def stop(self) -> None:
        """End. No run begins any more; those under way may end, then are cancelled. Does nothing if not started."""
        if self._scheduler is None:
            return
        self._scheduler.pause()
        await self._clock.sleep(0)  # a run submitted in this turn of the loop begins, and so is among those awaited
        await self._wait_for_runs()  # before the shutdown: APScheduler's cancels what still runs
        for run, name in self._running.items():
            logger.bind(job=name).warning("job {} takes more than {} s to end: cancelled", name, self._stop_grace_s)
            run.cancel()
        await self._wait_for_runs()  # an order that is being sent is sent to its end
        self._scheduler.shutdown(wait=False)
        self._scheduler = None

    async def _wait_for_runs(self) -> None:
        if self._running:
            await asyncio.wait(self._running, timeout=self._stop_grace_s)

    def _add(self, scheduler: "AsyncIOScheduler", name: str) -> None:
        schedule = self._schedules[name]

        async def run() -> None:
            await self._run(schedule)

        job = scheduler.add_job(
            run,
            "interval",
            seconds=schedule.real_interval_s,
            id=name,
            name=name,
            misfire_grace_time=None,
            coalesce=True,
            max_instances=1,
        )
        # APScheduler's first run is one interval from now; a daemon that just started should not wait that long.
        job.modify(next_run_time=job.next_run_time - timedelta(seconds=schedule.real_interval_s))

    async def _run(self, schedule: _Schedule) -> None:
        begun_s = self._clock.monotonic()
        schedule.health = replace(schedule.health, last_run_at=self._clock.now())
        task = asyncio.current_task()
        if task is not None:
            self._running[task] = schedule.health.name
            task.add_done_callback(self._running.pop)
        try:
            await schedule.job()
        except asyncio.CancelledError:
            return  # told to end, which is no failure: APScheduler would count one
        finally:
            duration_s = (self._clock.monotonic() - begun_s) / self._speed
            schedule.health = replace(schedule.health, last_duration_s=duration_s)

    def _on_submitted(self, event: Any) -> None:
        self._count_missed(event.job_id, self._lost(event, ran=True), "the event loop or the machine was busy")

    def _on_overrun(self, event: Any) -> None:
        self._count_missed(event.job_id, self._lost(event, ran=False), "the run before has not ended")

    def _on_late(self, event: Any) -> None:
        self._count_missed(event.job_id, 1, "it was too late")

    def _on_executed(self, event: Any) -> None:
        schedule = self._schedules[event.job_id]
        schedule.health = replace(schedule.health, runs=schedule.health.runs + 1, failing=0)

    def _on_error(self, event: Any) -> None:
        schedule = self._schedules[event.job_id]
        runs, failures = schedule.health.runs + 1, schedule.health.failures + 1
        error = f"{type(event.exception).__name__}: {event.exception}"
        failing = schedule.health.failing + 1
        schedule.health = replace(schedule.health, runs=runs, failures=failures, failing=failing, last_error=error)
        text = f"failed ({failures} of {runs} runs): {error}"
        logger.bind(job=event.job_id).opt(exception=event.exception).error("job {} {}", event.job_id, text)
        self._on_problem(event.job_id, text)

    def _lost(self, event: Any, *, ran: bool) -> int:
        """How many runs were due since the event before, and did not happen; this one counts if it did not run."""
        schedule = self._schedules[event.job_id]
        due_at = event.scheduled_run_times[-1]
        merged = 0
        if schedule.last_due_at is not None:
            gap_s = (due_at - schedule.last_due_at).total_seconds()
            merged = max(round(gap_s / schedule.real_interval_s) - 1, 0)
        schedule.last_due_at = due_at
        return merged if ran else merged + 1

    def _count_missed(self, name: str, number: int, why: str) -> None:
        if number == 0:
            return
        schedule = self._schedules[name]
        schedule.health = replace(schedule.health, missed=schedule.health.missed + number)
        schedule.untold_misses += number
        now_s = self._clock.monotonic() / self._speed
        if now_s - schedule.told_at_s >= _WARNING_PAUSE_S:
            untold, schedule.untold_misses, schedule.told_at_s = schedule.untold_misses, 0, now_s
            text = f"missed {untold} run{'s' if untold > 1 else ''}, {schedule.health.missed} so far: {why}"
            logger.bind(job=name).warning("job {} {}", name, text)
            self._on_problem(name, text)
