"""Answers of a moment ago, for several questions about the same thing: IG grants a demo account few of them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from bot.interfaces import Clock
from bot.layer1_data.brokers.limiter import Priority

Told = TypeVar("Told")


class Shared(Generic[Told]):
    """One question. What an order depends on is always asked for; a read may be told what another one was."""

    def __init__(self, ask: Callable[[Priority], Awaitable[Told]], clock: Clock, lasts_s: float) -> None:
        self._ask = ask
        self._clock = clock
        self._lasts_s = lasts_s
        self._told: tuple[float, Told] | None = None
        self._changes = 0
        self._asking = asyncio.Lock()

    async def get(self, priority: Priority) -> Told:
        """As it is now, or was at most `lasts_s` ago if nothing is known to have happened since."""
        if priority < Priority.READ:
            return await self._asked(priority)
        async with self._asking:
            if self._told is not None and self._clock.monotonic() - self._told[0] <= self._lasts_s:
                return self._told[1]
            return await self._asked(priority)

    def forget(self) -> None:
        """Something happened: neither what was told nor what is being told now is true of later."""
        self._changes += 1
        self._told = None

    async def _asked(self, priority: Priority) -> Told:
        begun_s, changes = self._clock.monotonic(), self._changes
        told = await self._ask(priority)
        if changes == self._changes:
            self._told = (begun_s, told)
        return told


class Recent:
    """All of one account's; an order or a deal that was not known makes them forget."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._shared: list[Shared[object]] = []

    def shared(self, ask: Callable[[Priority], Awaitable[Told]], lasts_s: float) -> Shared[Told]:
        """One more question."""
        made = Shared(ask, self._clock, lasts_s)
        self._shared.append(made)  # type: ignore[arg-type]  # only `forget` is called there
        return made

    def forget(self) -> None:
        """Whatever was told may not be so any more."""
        for each in self._shared:
            each.forget()
