"""Closing everything: working entries are cancelled, every position is reduced to nothing at market.

Protective stops stay until their position is flat. One turn does what can be done now at one venue; whoever presses
turns it again until nothing is left there (`bot/kill_watch.py`).
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from typing import Final

from bot.errors import BotError
from bot.instruments import BrokerId
from bot.joined_reading import JoinedReading
from bot.layer1_data.broker_interface import BrokerInterface
from bot.layer3_execution.book import Book
from bot.layer3_execution.engine import ExecutionEngine, is_acknowledged
from bot.layer3_execution.order_state import OrderEvent
from bot.layer3_execution.order_tracker import OrderTracker, Recorder, is_unresolved, never_failing
from bot.models import Order, OrderRole, OrderState, Position

KILL_REASON: Final = "KILL_FLATTEN"
_CANCELLABLE: Final = (OrderState.WORKING, OrderState.TRIGGERED, OrderState.PARTIAL)


class Flattener:
    """Takes positions to zero and entries back. Knows no level and no cause: it is told when."""

    def __init__(
        self,
        *,
        book: Book,
        engine: ExecutionEngine,
        tracker: OrderTracker,
        broker_of: Callable[[BrokerId], BrokerInterface],
        record: Recorder,
    ) -> None:
        self._book = book
        self._engine = engine
        self._tracker = tracker
        self._broker_of = broker_of
        self._record = never_failing(record)
        self._fills: dict[BrokerId, JoinedReading[int]] = {}

    def is_flat(self) -> bool:
        """Nothing is open, and no entry can open anything any more."""
        return not self.opened_at() and not self.entries_at()

    def opened_at(self) -> tuple[BrokerId, ...]:
        """Brokers at which something is open."""
        return _brokers_of(self._opened())

    def entries_at(self) -> tuple[BrokerId, ...]:
        """Brokers at which some entry could still open something."""
        return _brokers_of(self._live_entries())

    def is_unsettled(self, broker_id: BrokerId) -> bool:
        """Something is left there whose fate only a comparison with the venue can tell."""
        rows = [each for each in self._book.orders() if is_unresolved(each) or each.state is OrderState.CANCEL_PENDING]
        left = [each for each in rows if not self._engine.is_in_flight(each.client_order_id)]
        return broker_id in _brokers_of(left)

    async def cancel_entries(self, broker_id: BrokerId) -> Sequence[str]:
        """Ask a venue to cancel what could still open a position, all at once; what went wrong, one sentence each."""
        entries = [each for each in self._live_entries() if each.broker_id == broker_id]
        return await _done(self.cancel(each, KILL_REASON) for each in entries)

    async def close_positions(self, broker_id: BrokerId) -> Sequence[str]:
        """Close everything at a venue, all at once; what went wrong, one sentence each."""
        return await _done(self._closed(each) for each in self._opened() if each.broker_id == broker_id)

    def _opened(self) -> list[Position]:
        return [each for each in self._book.positions() if each.is_open]

    def _live_entries(self) -> list[Order]:
        return [each for each in self._book.orders() if each.role is OrderRole.ENTRY]

    async def _closed(self, position: Position) -> str:
        order = await self._engine.reduce(position, position.quantity, None, KILL_REASON)
        left = self._book.position(position.id)
        if left is None or not left.is_open:
            return ""
        return f"{position.symbol}: {left.quantity} left, its close is {order.state.value}"

    async def cancel(self, entry: Order, reason: str) -> str:
        """One entry; what went wrong, in a sentence. A cancel of what may not have arrived does no harm; what it tells
        is used, silence is not. Raises BrokerError."""
        if self._engine.is_in_flight(entry.client_order_id) or entry.state is OrderState.INTENT:
            return f"{entry.symbol}: an entry is being sent at this moment"
        return await self._cancel(entry, reason)

    async def _cancel(self, entry: Order, reason: str) -> str:
        name = entry.client_order_id
        if entry.state in _CANCELLABLE:
            entry = await self._tracker.move(entry, OrderEvent.CANCEL_SENT, reason)
        ack = await self._broker_of(entry.broker_id).cancel(name)
        await self._collect(entry.broker_id)  # a fill can overtake the cancel: facts first
        now = self._book.order(name)
        if now is None:
            return ""
        if ack.state not in (OrderState.CANCELED, OrderState.EXPIRED):
            return f"{now.symbol}: the venue says {ack.state.value} {ack.reason} to the cancel of an entry"
        stops = self._book.orders_of(now.position_id, OrderRole.STOP)
        ended = await self._tracker.move(now, OrderEvent.CANCELED, reason)
        if not ended.filled_quantity:
            for stop in stops:
                if is_acknowledged(stop) or is_unresolved(stop):
                    await self._tracker.move(stop, OrderEvent.CANCELED, "its entry was cancelled")
            await self._engine.abandon(ended, reason)
        await self._record("flatten", now.task_id, {"what": "entry cancelled", "order": name, "symbol": now.symbol})
        return ""

    async def _collect(self, broker_id: BrokerId) -> None:
        """Apply what was filled up to now. Raises BotError."""
        read = partial(self._tracker.collect, broker_id)
        await self._fills.setdefault(broker_id, JoinedReading(read)).next()


def _brokers_of(rows: Sequence[Order] | Sequence[Position]) -> tuple[BrokerId, ...]:
    return tuple(dict.fromkeys(each.broker_id for each in rows))


async def _done(work: Iterable[Coroutine[None, None, str]]) -> Sequence[str]:
    """What is left to say; one failure keeps nothing else from being done, and is told with the others."""
    answers = await asyncio.gather(*work, return_exceptions=True)
    return [_sentence(each) for each in answers if each]


def _sentence(answer: str | BaseException) -> str:
    if isinstance(answer, str):
        return answer
    if not isinstance(answer, Exception):
        raise answer
    return str(answer) if isinstance(answer, BotError) else type(answer).__name__
