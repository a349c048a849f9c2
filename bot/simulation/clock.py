"""Time of a simulation: the virtual time of its loop, and a wall clock that somebody may set wrong (C1)."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Final

START: Final = datetime(2026, 3, 3, 14, 0, 50, tzinfo=UTC)
BEFORE_MIDNIGHT: Final = datetime(2026, 3, 3, 23, 58, 50, tzinfo=UTC)


class LoopClock:
    """`interfaces.Clock` on a loop. `step` is how wrong the wall clock is; monotonic time never is."""

    def __init__(self, loop: asyncio.AbstractEventLoop, start: datetime = START) -> None:
        self._loop = loop
        self._start = start
        self.step = timedelta(0)
        self._at_s = -1.0
        self._at = start

    def now(self) -> datetime:
        """Wall time."""
        at_s = self._loop.time()
        if at_s != self._at_s:  # many ask at the same instant
            self._at_s, self._at = at_s, self._start + timedelta(seconds=at_s)
        return self._at + self.step

    def monotonic(self) -> float:
        """Virtual seconds since the world began."""
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        """Wait `seconds` of virtual time; others run first even if that is 0."""
        woken: asyncio.Future[None] = self._loop.create_future()
        timer = self._loop.call_later(max(seconds, 0.0), _wake, woken)
        try:
            await woken
        finally:
            timer.cancel()

    async def sleep_until(self, instant: datetime) -> None:
        """Wait until the wall clock shows `instant`."""
        while (remaining := (instant - self.now()).total_seconds()) > 0:
            await self.sleep(min(remaining, 60.0))


def _wake(woken: "asyncio.Future[None]") -> None:
    if not woken.done():
        woken.set_result(None)
