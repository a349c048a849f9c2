"""More was opened than was ordered: what is too much is closed, and no more than that.

A request that was delivered twice is a second order where the venue knows no duplicates; its fills bear the same name.
"""

from collections.abc import Callable, Collection
from decimal import Decimal
from typing import Final

from bot.instruments import BrokerId
from bot.interfaces import Clock, OrderStore
from bot.layer1_data.broker_interface import BrokerInterface
from bot.layer3_execution.book import Book
from bot.layer3_execution.engine import ExecutionEngine
from bot.layer3_execution.exits import can_be_ordered
from bot.layer3_execution.order_tracker import Recorder
from bot.layer3_execution.pauses import Pauses
from bot.models import ClientOrderId, OrderRole, OrderState, Position, PositionId

SURPLUS: Final = "SURPLUS"
# Where stops lock, each attempt takes the stop away for a moment; and what is too little is refused for ever.
_REFUSED_PAUSES_S: Final = (1, 2, 5, 10, 20, 40)


class Surplus:
    """Compares what an entry has filled with what was ordered, after each fill and once after each start."""

    def __init__(
        self,
        *,
        store: OrderStore,
        book: Book,
        engine: ExecutionEngine,
        broker_of: Callable[[BrokerId], BrokerInterface],
        clock: Clock,
        record: Recorder,
    ) -> None:
        """`record` must not fail."""
        self._broker_of = broker_of
        self._store = store
        self._book = book
        self._engine = engine
        self._record = record
        self._as_meant: dict[PositionId, Decimal] = {}  # what had been opened by then: a fill may be learned unnoticed
        self._filled: dict[PositionId, BrokerId] = {}
        self._told: set[ClientOrderId] = set()
        self._pauses = Pauses(clock, _REFUSED_PAUSES_S)

    def note_fills(self, position: Position) -> None:
        """It has changed since the last look."""
        self._as_meant.pop(position.id, None)
        self._filled[position.id] = position.broker_id

    def waits(self, broker_id: BrokerId) -> bool:
        """Something there has changed since the last look, or has a surplus still."""
        return broker_id in self._filled.values()

    async def look(self, position_id: PositionId) -> None:
        """Close what one position has too much. Raises BrokerError when the venue does not say what is open."""
        position = self._book.position(position_id)
        if position is None or self._as_meant.get(position_id) == position.first_quantity:
            self._filled.pop(position_id, None)
            return
        surplus = await self._of(position)
        if surplus and self._is_dust(position, surplus):
            facts = {"what": "more was opened than ordered: too little to be closed alone", "position": position.id}
            more = {"symbol": position.symbol, "surplus": str(surplus)}
            await self._record("incident", position.task_id, {**facts, **more})
            surplus = Decimal(0)  # its stop covers it, and it ends with its position
        if not surplus:
            if surplus is not None:
                self._as_meant[position_id] = position.first_quantity
            self._pauses.succeeded(position_id)
            self._filled.pop(position_id, None)
            return
        self._filled[position_id] = position.broker_id
        if self._pauses.is_early(position_id):
            return
        order = await self._engine.reduce(position, surplus, None, SURPLUS)
        if order.client_order_id not in self._told:
            self._told.add(order.client_order_id)
            if order.state is OrderState.REJECTED:
                self._pauses.failed(position_id)
            facts = {"what": "more was opened than ordered: the surplus is closed", "position": position.id}
            more = {"symbol": position.symbol, "surplus": str(surplus), "order": order.client_order_id}
            await self._record("incident", position.task_id, {**facts, **more})

    def keep_only(self, positions: Collection[PositionId]) -> None:
        """Forget what has ended."""
        self._as_meant = {each: opened for each, opened in self._as_meant.items() if each in positions}
        for ended in [each for each in self._filled if each not in positions]:
            del self._filled[ended]
            self._pauses.succeeded(ended)
        if not positions:
            self._told.clear()

    def _is_dust(self, position: Position, surplus: Decimal) -> bool:
        """The venue would refuse its sale, and where stops lock, the stop would go first, each time anew."""
        locks = self._broker_of(position.broker_id).capabilities.stop_reserves
        return locks and not can_be_ordered(position.plan, surplus, position.mark_price)

    async def _of(self, position: Position) -> Decimal | None:
        """Filled beyond the order, less what was closed for that before; never more than is open.

        None while the venue does not show it: what it shows may be older than the fills, or these were told twice.
        """
        entry = self._book.order(position.entry_order_id) or await self._store.order(position.entry_order_id)
        over = entry.filled_quantity - entry.quantity
        if over <= 0:
            return Decimal(0)
        rows = await self._store.orders_of(position.id)
        exits = [each for each in rows if each.role is OrderRole.EXIT and each.reason == SURPLUS]
        surplus = over - sum((each.filled_quantity for each in exits), Decimal(0))
        if surplus <= 0:
            return Decimal(0)
        lacking = position.quantity - await self._at_venue(position)
        return min(surplus - lacking, surplus, position.quantity) if lacking < surplus else None

    async def _at_venue(self, position: Position) -> Decimal:
        """What is really open: fills that were only told twice open nothing, and what we meant to hold stays."""
        opened = await self._broker_of(position.broker_id).positions()
        return sum((each.quantity for each in opened if each.entry_order_id == position.entry_order_id), Decimal(0))
