"""Lines of their own for history, so that neither an order nor a read of the account waits behind it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from bot.interfaces import Clock
from bot.layer1_data.brokers.limiter import Priority, RequestLimiter
from bot.layer1_data.brokers.oanda.to_oanda import Call
from bot.layer1_data.brokers.oanda.transport import Transport

_LINES: Final = 4
_KEPT_S: Final = 20.0  # an idle connection counts as closed by then, so that its next request opens one

Json = dict[str, Any]


@dataclass(slots=True)
class _Line:
    """One thread with its one connection."""

    transport: Transport
    used_at_s: float = float("-inf")


class HistoryLines:
    """A few requests side by side. The line used last is taken first, so that a quiet hour needs one connection only.

    The venue wants no more than two new connections a second: one is for history, the other for orders and streams.
    """

    def __init__(self, make: Callable[[], Transport], clock: Clock) -> None:
        self._clock = clock
        self._lines = [_Line(make()) for _ in range(_LINES)]
        self._free: asyncio.LifoQueue[_Line] = asyncio.LifoQueue()
        for line in self._lines:
            self._free.put_nowait(line)
        self._openings = RequestLimiter(clock, name="oanda connections of history", allowed=1, window_s=1.0)

    async def ask(self, call: Call, priority: Priority) -> Json:
        """As `Transport.ask`."""
        line = await self._free.get()
        try:
            if self._clock.monotonic() - line.used_at_s > _KEPT_S:
                await self._openings.acquire(priority)
            line.used_at_s = self._clock.monotonic()
            return await line.transport.ask(call, priority)
        finally:
            self._free.put_nowait(line)

    async def close(self) -> None:
        """As `Transport.close`."""
        await self._openings.close()
        await asyncio.gather(*(each.transport.close() for each in self._lines))
