"""The only place that asks for the time or sleeps. Every clock is an `interfaces.Clock`."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from itertools import count
from typing import Final

_LONGEST_NAP_S: Final = 60.0  # the wall clock may be corrected while we sleep, so a long wait looks again
_SETTLE_ROUNDS: Final = 50  # turns of the loop after a wake: enough for a chain of awaits to come to its next sleep


class SystemClock:
    """Real time."""

    def now(self) -> datetime:
        """The instant the operating system tells."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait real seconds."""
        await asyncio.sleep(seconds)

    async def sleep_until(self, instant: datetime) -> None:
        """Wait until `instant`, also if the wall clock is corrected meanwhile."""
        while (remaining := (instant - self.now()).total_seconds()) > 0:  # noqa: ASYNC110 time has no event to await
            await asyncio.sleep(min(remaining, _LONGEST_NAP_S))


class PacedClock:
    """Market time that runs `speed` times as fast as real time, from `resume_at` on.

    All its seconds are market seconds, those of `monotonic` and `sleep` too. After a restart pass the instant that was
    reached before, so that time does not go back.
    """

    def __init__(self, resume_at: datetime, speed: float) -> None:
        """Raises ValueError for a naive instant or a speed that is not above 0."""
        if speed <= 0:
            raise ValueError(f"speed {speed} of a paced clock must be above 0 market seconds per real second")
        self._resume_at = _aware(resume_at)
        self._speed = speed
        self._started_s = time.monotonic()

    @property
    def resume_at(self) -> datetime:
        """The instant it began at."""
        return self._resume_at

    @property
    def speed(self) -> float:
        """Market seconds per real second."""
        return self._speed

    def now(self) -> datetime:
        """Market time."""
        return self._resume_at + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        """Market seconds since it was made."""
        return (time.monotonic() - self._started_s) * self._speed

    async def sleep(self, seconds: float) -> None:
        """Wait market seconds."""
        await asyncio.sleep(seconds / self._speed)

    async def sleep_until(self, instant: datetime) -> None:
        """Wait until market time is `instant`."""
        while (remaining := (instant - self.now()).total_seconds()) > 0:  # noqa: ASYNC110 time has no event to await
            await asyncio.sleep(remaining / self._speed)


class ReplayClock:
    """Time that stands still until the replay driver sets it. Nobody waits: a sleep gives way once and returns."""

    def __init__(self, start: datetime) -> None:
        self._start = self._now = _aware(start)

    def set_time(self, instant: datetime) -> None:
        """Move to `instant`. Raises ValueError if that is earlier: an event was replayed out of order."""
        if instant < self._now:
            raise ValueError(f"replay time cannot go back from {self._now.isoformat()} to {instant.isoformat()}")
        self._now = instant

    def now(self) -> datetime:
        """The instant set last."""
        return self._now

    def monotonic(self) -> float:
        """Seconds since the first instant."""
        return (self._now - self._start).total_seconds()

    async def sleep(self, seconds: float) -> None:
        """Let others run once; time does not move."""
        await asyncio.sleep(0)

    async def sleep_until(self, instant: datetime) -> None:
        """Let others run once; time does not move, also if `instant` is still to come."""
        await asyncio.sleep(0)


class ManualClock:
    """Time for tests: it moves when told to, and wakes sleepers in the order of their deadlines, ties as they came."""

    def __init__(self, start: datetime = datetime(2025, 1, 1, tzinfo=UTC)) -> None:
        self._start = self._now = _aware(start)
        self._sleepers: list[tuple[datetime, int, asyncio.Future[None]]] = []
        self._arrivals = count()

    @property
    def sleepers(self) -> int:
        """How many wait now."""
        return sum(not future.done() for _, _, future in self._sleepers)

    def now(self) -> datetime:
        """The instant reached."""
        return self._now

    def monotonic(self) -> float:
        """Seconds since the first instant."""
        return (self._now - self._start).total_seconds()

    async def sleep(self, seconds: float) -> None:
        """Wait until it was advanced by `seconds`; 0 or less gives way once."""
        await self.sleep_until(self._now + timedelta(seconds=max(seconds, 0.0)))

    async def sleep_until(self, instant: datetime) -> None:
        """Wait until it was advanced to `instant`."""
        if instant <= self._now:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heappush(self._sleepers, (instant, next(self._arrivals), future))
        await future

    def advance(self, seconds: float) -> None:
        """Jump ahead. Sleepers that are due run when the caller next awaits, in order; all of them see the new time."""
        self._move_to(self._now + timedelta(seconds=seconds))
        while self._sleepers and self._sleepers[0][0] <= self._now:
            _wake(heappop(self._sleepers)[2])

    async def run_for(self, seconds: float) -> None:
        """Pass time deadline by deadline: a sleeper sees its own instant, acts, and may sleep again before the end."""
        end = self._now + timedelta(seconds=seconds)
        await _settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            instant, _, future = heappop(self._sleepers)
            self._move_to(max(instant, self._now))
            _wake(future)
            await _settle()
        self._move_to(end)

    def _move_to(self, instant: datetime) -> None:
        if instant < self._now:
            raise ValueError(f"time cannot go back from {self._now.isoformat()} to {instant.isoformat()}")
        self._now = instant


def _aware(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise ValueError(f"instant {instant.isoformat()} has no time zone; pass an aware UTC datetime")
    return instant


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():  # its task may have been cancelled while it slept
        future.set_result(None)


async def _settle() -> None:
    for _ in range(_SETTLE_ROUNDS):
        await asyncio.sleep(0)
