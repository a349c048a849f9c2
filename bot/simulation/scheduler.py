"""The job scheduler of a simulation: the same contract as the daemon's, on virtual time."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from bot.errors import BotError
from bot.models import JobHealth
from bot.scheduler import STOP_GRACE_S
from bot.simulation.ports import Unforeseen


@dataclass(slots=True)
class _Job:
    interval_s: float
    work: Callable[[], Awaitable[None]]
    health: JobHealth


class SimulatedScheduler:
    """Each job in a task of its own, again and again, never beside itself. `late_s`: how much too late a run comes."""

    def __init__(self, on_failure: Callable[[str, Exception], None], late_s: Callable[[], float]) -> None:
        self._on_failure = on_failure
        self._late_s = late_s
        self._jobs: dict[str, _Job] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._pauses: dict[str, asyncio.Future[None]] = {}
        self._due_s: dict[str, float] = {}
        self._is_started = self._stopping = False

    def every(self, name: str, interval: timedelta, job: Callable[[], Awaitable[None]]) -> None:
        """Add a job."""
        interval_s = interval.total_seconds()
        self._jobs[name] = added = _Job(interval_s, job, JobHealth(name=name, interval_s=interval_s))
        if self._is_started:
            self._begin(name, added)

    def health(self) -> Sequence[JobHealth]:
        """How each job is doing."""
        return [each.health for each in self._jobs.values()]

    async def start(self) -> None:
        """Begin."""
        self._is_started = True
        for name, job in self._jobs.items():
            self._begin(name, job)

    def _begin(self, name: str, job: _Job) -> None:
        self._tasks.append(asyncio.create_task(self._run(name, job), name=f"job {name}"))

    async def stop(self) -> None:
        """End; a running job is awaited for a while, then cancelled, as in the daemon."""
        self._stopping = True
        for pause in self._pauses.values():
            _end(pause)
        await self._wait_for_runs()
        for each in self._tasks:
            each.cancel()
        await self._wait_for_runs()

    async def _wait_for_runs(self) -> None:
        running = [each for each in self._tasks if not each.done()]
        if running:
            await asyncio.wait(running, timeout=STOP_GRACE_S)

    async def _run(self, name: str, job: _Job) -> None:
        while not self._stopping:
            try:
                await job.work()
            except Exception as error:  # the edge: as in the daemon, a job that fails runs again
                self._on_failure(name, error)
            if not self._stopping:
                await self._pause(name, job.interval_s, self._late_s())

    async def _pause(self, name: str, interval_s: float, late_s: float) -> None:
        """Wait, unless `stop` ends the wait."""
        loop = asyncio.get_running_loop()
        pause = self._pauses[name] = loop.create_future()
        self._due_s[name] = loop.time() + interval_s
        timer = loop.call_later(interval_s + late_s, _end, pause)
        await pause
        del self._due_s[name]
        timer.cancel()

    def is_late(self, name: str) -> bool:
        """Its next run should have begun by now."""
        return asyncio.get_running_loop().time() > self._due_s.get(name, math.inf)


def _end(pause: "asyncio.Future[None]") -> None:
    if not pause.done():
        pause.set_result(None)


def is_foreseen(error: BaseException) -> bool:
    """One of our own errors, or one that was thrown on purpose (P5); anything else is a bug of the product."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(is_foreseen, error.exceptions))
    return isinstance(error, BotError | Unforeseen)
