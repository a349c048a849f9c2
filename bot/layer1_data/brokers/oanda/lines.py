"""Connections side by side: whoever asks waits for his turn, exits first."""

import asyncio
import heapq
from collections.abc import Callable
from itertools import count
from typing import Any, Final, Protocol

from bot.interfaces import Clock
from bot.layer1_data.broker_interface import LastWord, nothing_against
from bot.layer1_data.brokers.limiter import Priority, RequestLimiter
from bot.layer1_data.brokers.oanda.errors import Failure
from bot.layer1_data.brokers.oanda.to_oanda import Call

_OF_THE_ACCOUNT: Final = 3
_OF_HISTORY: Final = 4
_KEPT_S: Final = 20.0  # an idle connection counts as closed by then, and its next request opens one

Json = dict[str, Any]


class Line(Protocol):
    """One connection, for one request at a time."""

    async def ask(self, call: Call, ended: Callable[[object], None], *, fresh: bool) -> Json:
        """The answer to one request, over a new connection if it must be `fresh`. Raises Failure. `ended` is called
        when the line is free again, also if the caller has left before."""

    async def close(self) -> None:
        """End what is being asked and release the connection."""


class Lines:
    """Each line carries one request at a time. The one used last is taken first: a quiet hour needs one connection.

    What neither closes nor protects leaves `spare` lines free, so that an exit does not wait behind an answer that
    hangs. `openings` holds new connections back where that may be. A line that was idle for long gets a new connection:
    the old one may be dead without a word. A caller that is cancelled leaves his request to its end.
    """

    def __init__(
        self, make: Callable[[], Line], *, lines: int, spare: int, clock: Clock, openings: RequestLimiter | None = None
    ) -> None:
        self._lines = [make() for _ in range(lines)]
        self._free = list(self._lines)
        self._spare = spare
        self._clock = clock
        self._openings = openings
        self._used_s: dict[Line, float] = {}
        self._waiting: list[tuple[Priority, int, asyncio.Future[Line]]] = []
        self._turns = count()
        self._closed = False

    async def ask(self, call: Call, priority: Priority, last_word: LastWord = nothing_against) -> Json:
        """The answer to one request. Raises Failure, or what the last word raises: then nothing was sent."""
        line = await self._turn(priority)
        try:
            is_cold = self._clock.monotonic() - self._used_s.get(line, float("-inf")) > _KEPT_S
            if self._openings is not None and is_cold:
                await self._openings.acquire(priority)
            await last_word()
            if self._closed:
                raise Failure("the connection is closed", sent=False)
        except BaseException:
            self._give_back(line)
            raise
        self._used_s[line] = self._clock.monotonic()
        return await line.ask(call, lambda _: self._give_back(line), fresh=is_cold)

    async def close(self) -> None:
        """End what is being asked and release the connections; what waits for its turn is not sent."""
        self._closed = True
        if self._openings is not None:
            await self._openings.close()
        await asyncio.gather(*(each.close() for each in self._lines))

    def _may_go(self, priority: Priority) -> bool:
        return len(self._free) > (0 if priority <= Priority.PROTECTION else self._spare)

    async def _turn(self, priority: Priority) -> Line:
        if self._may_go(priority):
            return self._free.pop()
        turn: asyncio.Future[Line] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (priority, next(self._turns), turn))
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give_back(turn.result())
            raise

    def _give_back(self, line: Line) -> None:
        self._free.append(line)
        while self._waiting and self._may_go(self._waiting[0][0]):
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(self._free.pop())


def lines_of_the_account(make: Callable[[], Line], clock: Clock) -> Lines:
    """For orders and what is asked about the account."""
    return Lines(make, lines=_OF_THE_ACCOUNT, spare=1, clock=clock)


def lines_of_history(make: Callable[[], Line], clock: Clock) -> Lines:
    """For candles, so that nothing else waits behind a page of them.

    The venue wants no more than two new connections a second: those of history are opened one a second.
    """
    openings = RequestLimiter(clock, name="oanda connections of history", allowed=1, window_s=1.0)
    return Lines(make, lines=_OF_HISTORY, spare=0, clock=clock, openings=openings)
