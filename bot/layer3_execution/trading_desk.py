"""What a person or program may have done about single positions and entries: through the engine, like everything else.

Only orders of our record, and of them only entries: a protective stop or an exit is never cancelled by hand.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from bot.errors import BrokerError
from bot.instruments import BrokerId
from bot.interfaces import Clock, OrderStore
from bot.layer3_execution.book import Book
from bot.layer3_execution.close_one import close_one
from bot.layer3_execution.engine import ExecutionEngine
from bot.layer3_execution.flatten import Flattener
from bot.models import ClientOrderId, Order, OrderRole, OrderState, PositionId

CANCEL_REASON: Final = "OPERATOR_CANCEL"
_KEPT: Final = {
    OrderRole.STOP: "it protects a position; without it that would be bare. Close the position instead",
    OrderRole.EXIT: "it only makes a position smaller; it ends by itself or with the position",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Handled:
    """What came of an act on one position or order. `done` is False where it is still there; `says` has the reason."""

    id: str
    done: bool
    says: str


class TradingDesk:
    """Closes positions and takes entries back. Every act may be asked for twice."""

    def __init__(
        self, *, store: OrderStore, book: Book, engine: ExecutionEngine, flattener: Flattener, clock: Clock
    ) -> None:
        self._store = store
        self._book = book
        self._engine = engine
        self._flattener = flattener
        self._clock = clock

    async def close(self, position_id: PositionId) -> Handled:
        """One position to nothing at market, reduce-only. Raises NotFound, or BrokerError."""
        await self._store.position(position_id)
        says = await close_one(self._book, self._engine, position_id)
        left = self._book.position(position_id)
        if left is not None and left.is_pending:
            says = f"{left.symbol}: its entry is not filled yet; cancel the order {left.entry_order_id} instead"
        return Handled(id=position_id, done=left is None, says=says)

    async def cancel(self, client_order_id: ClientOrderId) -> Handled:
        """Take one entry back. Raises NotFound, or BrokerError."""
        return await self._cancelled(await self._store.order(client_order_id))

    async def cancel_all(
        self, broker_id: BrokerId | None = None, *, older_than: timedelta = timedelta(0)
    ) -> Sequence[Handled]:
        """Take back every entry that still waits, of one broker if given, and at least so old; never raises for one."""
        since = self._clock.now() - older_than
        waiting = [each for each in self._book.orders() if each.role is OrderRole.ENTRY and each.created_at <= since]
        return [await self._attempted(each) for each in waiting if broker_id in (None, each.broker_id)]

    async def _attempted(self, order: Order) -> Handled:
        try:
            return await self._cancelled(order)
        except BrokerError as error:
            return Handled(id=order.client_order_id, done=False, says=str(error))

    async def _cancelled(self, order: Order) -> Handled:
        name = order.client_order_id
        if order.role in _KEPT:
            says = f"{name} is not cancelled by hand: {_KEPT[order.role]}"
            return Handled(id=name, done=False, says=says)
        if not order.state.is_terminal:
            trouble = await self._flattener.cancel(self._book.order(name) or order, CANCEL_REASON)
            if trouble:
                return Handled(id=name, done=False, says=f"{trouble}; ask again in a few seconds")
            order = await self._store.order(name)
        filled = f", {order.filled_quantity:f} of it filled before" if order.filled_quantity else ""
        says = f"{order.symbol}: the entry is {order.state.value}{filled}"
        return Handled(id=name, done=order.state is not OrderState.FILLED and order.state.is_terminal, says=says)
