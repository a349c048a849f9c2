"""Positions that the venue no longer has: closed by a person, or by a stop whose fills nobody tells."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Final

from bot.interfaces import Clock, OrderStore
from bot.layer3_execution.book import Book
from bot.layer3_execution.order_tracker import OrderTracker, Recorder
from bot.models import Fill, Order, OrderKind, OrderRole, OrderState, Position, PositionId, Side

BY_HAND: Final = "CLOSED_BY_HAND"
FILLS_UNKNOWN: Final = "CLOSED_AT_VENUE: fills unknown"


class LostPositions:
    """Ends them: by the fills of somebody else's order where those were told, else without a result."""

    def __init__(self, *, store: OrderStore, book: Book, tracker: OrderTracker, clock: Clock, record: Recorder) -> None:
        """`record` must not fail."""
        self._store = store
        self._book = book
        self._tracker = tracker
        self._clock = clock
        self._record = record

    async def claim(self, position_id: PositionId) -> bool:
        """End it by fills of an order that is not ours and closed exactly what was open; False if none did."""
        position = self._book.position(position_id)
        fills = [] if position is None else await self._begun(position) or self._closing(position)
        if position is None or not fills:
            return False
        row = _row_of(position, fills, self._clock.now())
        await self._store.record_intent((row,), signal_id=None)
        await self._tracker.apply(fills)
        return self._book.position(position_id) is None

    async def end(self, position_id: PositionId) -> None:
        """Nothing tells what became of it, and the venue does not have it: it is closed, its result unknown.

        A fill that is told after all still counts.
        """
        at = self._clock.now()
        ended = await self._tracker.change(
            position_id, lambda now: replace(now, quantity=Decimal(0), closed_at=at, exit_reason=FILLS_UNKNOWN)
        )
        if ended is not None:
            facts = {"position": ended.id, "symbol": ended.symbol, "opened_quantity": str(ended.first_quantity)}
            await self._record("incident", ended.task_id, {"what": "closed at the venue, fills unknown", **facts})

    async def _begun(self, position: Position) -> list[Fill]:
        """What is left of a claim that the store has interrupted: its first fills may be applied already."""
        rows = await self._store.orders_of(position.id)
        names = {each.client_order_id for each in rows if each.reason == BY_HAND}
        return [each for each in self._tracker.unclaimed if each.client_order_id in names]

    def _closing(self, position: Position) -> list[Fill]:
        """What one order that we do not know has filled against it, if that is all of it."""
        side = Side.closing(position.direction)
        by_order: dict[str, list[Fill]] = {}
        for fill in self._tracker.unclaimed:
            alike = (fill.broker_id, fill.symbol, fill.side) == (position.broker_id, position.symbol, side)
            if alike and fill.filled_at >= position.opened_at:
                by_order.setdefault(fill.client_order_id, []).append(fill)
        whole = [each for each in by_order.values() if _quantity(each) == position.quantity]
        return whole[0] if whole else []


def _quantity(fills: Sequence[Fill]) -> Decimal:
    return sum((each.quantity for each in fills), Decimal(0))


def _row_of(position: Position, fills: Sequence[Fill], now: datetime) -> Order:
    """The close that somebody else made. It has ended: after a crash before its fills nobody waits for it."""
    return Order(
        client_order_id=fills[0].client_order_id,
        position_id=position.id,
        signal_id=None,
        task_id=position.task_id,
        broker_id=position.broker_id,
        symbol=position.symbol,
        role=OrderRole.EXIT,
        side=fills[0].side,
        kind=OrderKind.MARKET,
        quantity=_quantity(fills),
        price=None,
        state=OrderState.CANCELED,
        reason=BY_HAND,
        created_at=now,
        updated_at=now,
    )
