"""One request budget for one account: who may ask next, and when. Exits come first, history last."""

import asyncio
import heapq
from collections import deque
from contextlib import suppress
from enum import IntEnum
from itertools import count
from typing import Final

from bot.errors import BrokerUnavailable
from bot.interfaces import Clock
from bot.layer1_data.broker_interface import RateBudget

_MOMENT_S: Final = 1e-6  # a window has to have passed, not merely to be passing


class Priority(IntEnum):
    """Smaller goes first."""

    EXIT = 0
    PROTECTION = 1
    ORDER = 2
    READ = 3
    HISTORY = 4


class RequestLimiter:
    """At most `allowed` units within any `window_s` seconds; those that wait are served by priority, then by turn.

    The last `reserved` units of a window are for exits and protection only, so that a burst of history can never keep
    a position from being closed. `held_until` (a venue's `Retry-After`) holds back everything but those two.
    """

    def __init__(self, clock: Clock, *, name: str, allowed: int, window_s: float, reserved: int = 0) -> None:
        if not 0 <= reserved < allowed:
            raise ValueError(f"limiter {name}: reserved {reserved} must be at least 0 and below allowed {allowed}")
        self._clock = clock
        self._name = name
        self._allowed = allowed
        self._window_s = window_s
        self._reserved = reserved
        self._spent: deque[tuple[float, int]] = deque()
        self._used = 0
        self._held_until = 0.0
        self._waiting: list[tuple[Priority, int, int, asyncio.Future[None]]] = []
        self._turns = count()
        self._serving: asyncio.Task[None] | None = None

    @property
    def budget(self) -> RateBudget:
        """What is used at this moment."""
        self._forget_old()
        return RateBudget(name=self._name, used=self._used, allowed=self._allowed, window_s=self._window_s)

    async def acquire(self, priority: Priority, weight: int = 1) -> None:
        """Return when a request of `weight` units may leave. A waiter that is cancelled has spent nothing."""
        if weight > self._allowed - self._reserved:
            raise ValueError(f"limiter {self._name}: weight {weight} never fits into {self._allowed - self._reserved}")
        if not self._waiting and self._wait_s(priority, weight) <= 0:
            self._spend(weight)
            return
        turn = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (priority, next(self._turns), weight, turn))
        if self._serving is None or self._serving.done():
            self._serving = asyncio.create_task(self._serve(), name=f"limiter {self._name}")
        elif priority <= Priority.PROTECTION:
            self._serving.cancel()  # it may sleep for somebody who must wait longer
            self._serving = asyncio.create_task(self._serve(), name=f"limiter {self._name}")
        await turn

    def hold(self, seconds: float) -> None:
        """The venue said to wait (`Retry-After`): nothing but exits and protection leaves before that."""
        self._held_until = max(self._held_until, self._clock.monotonic() + seconds)

    def note_used(self, used: int) -> None:
        """The venue told what it counts; another process may share the budget. Only ever corrected upwards."""
        self._forget_old()
        if used > self._used:
            self._spend(used - self._used)

    async def close(self) -> None:
        """Nobody will be served any more; who still waits gets BrokerUnavailable."""
        if self._serving is not None:
            self._serving.cancel()
            with suppress(asyncio.CancelledError):
                await self._serving
        for _, _, _, turn in self._waiting:
            if not turn.done():
                turn.set_exception(BrokerUnavailable(f"limiter {self._name}: closed meanwhile; nothing was sent"))
        self._waiting.clear()

    async def _serve(self) -> None:
        while self._waiting:
            priority, _, weight, turn = self._waiting[0]
            if turn.done():
                heapq.heappop(self._waiting)
                continue
            wait_s = self._wait_s(priority, weight)
            if wait_s > 0:
                await self._clock.sleep(wait_s)
                continue
            heapq.heappop(self._waiting)
            self._spend(weight)
            turn.set_result(None)

    def _wait_s(self, priority: Priority, weight: int) -> float:
        """Seconds until it may leave, as far as is known now; 0 or less: now."""
        self._forget_old()
        now = self._clock.monotonic()
        urgent = priority <= Priority.PROTECTION
        held_s = 0.0 if urgent else self._held_until - now
        allowed = self._allowed if urgent else self._allowed - self._reserved
        excess = self._used + weight - allowed
        for at, units in self._spent:
            if excess <= 0:
                break
            excess -= units
            held_s = max(held_s, at + self._window_s - now + _MOMENT_S)
        return held_s

    def _spend(self, weight: int) -> None:
        self._spent.append((self._clock.monotonic(), weight))
        self._used += weight

    def _forget_old(self) -> None:
        oldest = self._clock.monotonic() - self._window_s
        while self._spent and self._spent[0][0] < oldest:
            self._used -= self._spent.popleft()[1]
