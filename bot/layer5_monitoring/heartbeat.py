"""The dead man's switch: an address of the user's choosing is fetched while the daemon makes progress, and only then.

Whoever watches that address tells when it goes quiet. Progress is a run that went well of each job that matters, so a
daemon that is alive and does nothing is quiet, too.
"""

from collections.abc import Callable, Sequence
from typing import Final

import aiohttp
from loguru import logger

from bot.interfaces import Clock
from bot.models import JobHealth

JOBS: Final = ("analysis", "monitor")  # and those of single venues, such as "monitor oanda"
_TIMEOUT_S: Final = 10.0


class Progress:
    """Notices when each job last went well, on a clock of real seconds."""

    def __init__(self, jobs: Callable[[], Sequence[JobHealth]], clock: Clock, *, patience_s: float) -> None:
        self._jobs = jobs
        self._clock = clock
        self._patience_s = patience_s
        self._seen: dict[str, tuple[int, float]] = {}

    def stalled(self) -> tuple[str, ...]:
        """The jobs that made no progress for too long, or none yet."""
        now_s = self._clock.monotonic()
        for job in self._jobs():
            good = job.runs - job.failures
            if good > self._seen.get(job.name, (0, 0.0))[0]:
                self._seen[job.name] = (good, now_s)
        of_venues = [job.name for job in self._jobs() if job.name.partition(" ")[0] in JOBS and job.name not in JOBS]
        return tuple(name for name in (*JOBS, *of_venues) if self._is_late(name, now_s))

    def _is_late(self, name: str, now_s: float) -> bool:
        return name not in self._seen or now_s - self._seen[name][1] > self._patience_s


class Heartbeat:
    """Fetches the address. A failure is told once, and costs nothing else."""

    def __init__(self, url: str, progress: Progress, clock: Clock, *, interval_s: float) -> None:
        self._url = url
        self._progress = progress
        self._clock = clock
        self._interval_s = interval_s
        self._failing = ""

    async def run(self) -> None:
        """Until cancelled."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S)) as session:
            while True:
                await self.beat(session)
                await self._clock.sleep(self._interval_s)

    async def beat(self, session: aiohttp.ClientSession) -> bool:
        """Fetch it if there was progress; whether it was fetched. The address is a secret: no error shows it."""
        stalled = self._progress.stalled()
        if stalled:
            self._tell(f"not sent: no good run of {', '.join(stalled)}")
            return False
        try:
            async with session.get(self._url) as response:
                problem = "" if response.status < 400 else f"answered with HTTP {response.status}"
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            problem = f"not reached: {type(error).__name__}"
        self._tell(problem)
        return not problem

    def _tell(self, problem: str) -> None:
        if problem and problem != self._failing:
            logger.warning("heartbeat: {}", problem)
        elif self._failing and not problem:
            logger.info("heartbeat: goes on")
        self._failing = problem
