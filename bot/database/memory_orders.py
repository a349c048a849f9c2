"""Orders, events, fills and positions in memory: the twin of `postgres_orders` and `postgres_positions`."""

from bisect import insort
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from heapq import nlargest
from operator import attrgetter
from typing import Final

from bot.database.contract import (
    cause_of_fill,
    cause_of_intent,
    refused_transition,
    unknown_order,
    unknown_position,
)
from bot.instruments import BrokerId
from bot.models import ClientOrderId, Fill, Order, OrderRole, OrderState, Position, PositionId, SignalId
from bot.reports import Before, OrderFilter

_CREATED: Final = attrgetter("created_at", "client_order_id")
_UPDATED: Final = attrgetter("updated_at", "client_order_id")
_FILLED: Final = attrgetter("filled_at", "venue_fill_id")
_OPENED: Final = attrgetter("opened_at", "id")

Event = tuple[datetime, str, str, str]


class MemoryPositions:
    """The position half of `OrderStore` in memory."""

    def __init__(self) -> None:
        self._orders: dict[ClientOrderId, Order] = {}
        self._positions: dict[PositionId, Position] = {}
        self._open: dict[PositionId, Position] = {}
        self._closed: list[tuple[datetime, PositionId]] = []  # sorted, so that "since" reads only the newest

    async def save_position(self, position: Position) -> None:
        """Store a position's state that no fill changed. Raises NotFound if its entry order was never recorded."""
        self._put_position(position)

    async def position(self, position_id: PositionId) -> Position:
        """One position. Raises NotFound."""
        position = self._positions.get(position_id)
        if position is None:
            raise unknown_position(position_id)
        return position

    async def open_positions(self) -> Sequence[Position]:
        """Oldest first; with those whose entry has not been filled yet."""
        return sorted(self._open.values(), key=_OPENED)

    async def closed_positions(self, limit: int) -> Sequence[Position]:
        """Newest first by close; only what had been opened."""
        return [self._positions[position_id] for _, position_id in self._closed[: -limit - 1 : -1]]

    async def closed_count(self) -> int:
        """How many positions were opened and closed so far."""
        return len(self._closed)

    async def realised_since(self, broker_id: BrokerId, since: datetime) -> Decimal:
        """Net result of positions of one broker closed at or after `since`."""
        total = Decimal(0)
        for closed_at, position_id in reversed(self._closed):
            if closed_at < since:
                break
            position = self._positions[position_id]
            if position.broker_id == broker_id:
                total += position.net
        return total

    def _put_position(self, position: Position) -> None:
        if position.entry_order_id not in self._orders:
            raise unknown_order(position.entry_order_id)
        before, after = _closing_key(self._positions.get(position.id)), _closing_key(position)
        if before != after:
            if before is not None:
                self._closed.remove(before)  # a fill after the close; rare enough for a walk along the list
            if after is not None:
                insort(self._closed, after)
        if position.closed_at is None:
            self._open[position.id] = position
        else:
            self._open.pop(position.id, None)
        self._positions[position.id] = position


class MemoryOrders(MemoryPositions):
    """`OrderStore` in memory."""

    def __init__(self) -> None:
        super().__init__()
        self._unfinished: dict[ClientOrderId, Order] = {}
        self._not_placed: dict[ClientOrderId, Order] = {}
        self._entries: dict[SignalId, ClientOrderId] = {}
        self._of_position: dict[PositionId, list[ClientOrderId]] = {}
        self._events: dict[ClientOrderId, list[Event]] = {}
        self._fills: dict[tuple[BrokerId, str], Fill] = {}
        self._cursors: dict[BrokerId, str] = {}

    async def check_writer(self) -> None:
        """Nobody else writes here."""

    async def record_intent(
        self, orders: Sequence[Order], *, signal_id: SignalId | None, position: Position | None = None
    ) -> bool:
        """Store new orders with their first event, and the pending position; False, and nothing stored, if one of
        the ids or the entry of that signal is there already."""
        entries = [
            (each.signal_id, each.client_order_id)
            for each in orders
            if each.role is OrderRole.ENTRY and each.signal_id is not None
        ]
        signals = {name for name, _ in entries}
        if signal_id in self._entries or not self._entries.keys().isdisjoint(signals) or len(signals) < len(entries):
            return False
        ids = {each.client_order_id for each in orders}
        if len(ids) < len(orders) or not self._orders.keys().isdisjoint(ids):
            return False
        if position is not None:
            if position.id in self._positions:
                return False
            if position.entry_order_id not in self._orders and position.entry_order_id not in ids:
                raise unknown_order(position.entry_order_id)
        self._entries.update(entries)
        for order in orders:
            self._put_order(order)
            self._of_position.setdefault(order.position_id, []).append(order.client_order_id)
            self._events[order.client_order_id] = [(order.created_at, "", order.state.value, cause_of_intent(order))]
        if position is not None:
            self._put_position(position)
        return True

    async def transition(
        self,
        client_order_id: ClientOrderId,
        *,
        expected: OrderState,
        state: OrderState,
        cause: str,
        at: datetime,
        venue_order_id: str | None = None,
        quantity: Decimal | None = None,
        price: Decimal | None = None,
    ) -> None:
        """Move an order and append the event row. Raises IllegalTransition if it is no longer in `expected`."""
        order = self._orders.get(client_order_id)
        if order is None or order.state is not expected:
            raise refused_transition(client_order_id, order.state.value if order else None, expected, state)
        self._put_order(
            replace(
                order,
                state=state,
                updated_at=at,
                venue_order_id=order.venue_order_id if venue_order_id is None else venue_order_id,
                quantity=order.quantity if quantity is None else quantity,
                price=order.price if price is None else price,
            )
        )
        self._events[client_order_id].append((at, expected.value, state.value, cause))

    async def record_fill(self, fill: Fill, *, order: Order, position: Position) -> bool:
        """Apply one fill, all or nothing; False if it was known. Raises NotFound for an order never recorded."""
        key = (fill.broker_id, fill.venue_fill_id)
        if key in self._fills:
            return False
        before = self._orders.get(order.client_order_id)
        if before is None or fill.client_order_id not in self._orders:
            raise unknown_order(fill.client_order_id)
        self._put_position(position)  # first, because it is the one that may still refuse
        self._fills[key] = fill
        self._put_order(order)
        if before.state is not order.state:
            event = (order.updated_at, before.state.value, order.state.value, cause_of_fill(fill))
            self._events[order.client_order_id].append(event)
        return True

    async def order(self, client_order_id: ClientOrderId) -> Order:
        """One order. Raises NotFound."""
        order = self._orders.get(client_order_id)
        if order is None:
            raise unknown_order(client_order_id)
        return order

    async def unfinished_orders(self) -> Sequence[Order]:
        """Every order that is not in a terminal state, oldest first."""
        return sorted(self._unfinished.values(), key=_CREATED)

    async def not_placed_since(self, broker_id: BrokerId, since: datetime) -> Sequence[Order]:
        """Orders of one broker presumed never placed at or after `since`, oldest first."""
        found = [each for each in self._not_placed.values() if each.broker_id == broker_id and each.updated_at >= since]
        return sorted(found, key=_UPDATED)

    async def orders_of(self, position_id: PositionId) -> Sequence[Order]:
        """All orders of one position, oldest first."""
        return sorted((self._orders[each] for each in self._of_position.get(position_id, ())), key=_CREATED)

    async def entry_of(self, signal_id: SignalId) -> Order | None:
        """The entry that followed from a signal, if any did."""
        name = self._entries.get(signal_id)
        return self._orders[name] if name is not None else None

    async def recent_orders(self, limit: int) -> Sequence[Order]:
        """Newest first."""
        return nlargest(limit, self._orders.values(), key=_CREATED)

    async def find_orders(self, chosen: OrderFilter, *, limit: int, before: Before | None = None) -> Sequence[Order]:
        """Newest first by creation, then by id."""
        found = (each for each in self._orders.values() if _is_chosen(each, chosen, before))
        return nlargest(limit, found, key=_CREATED)

    async def fills_of(self, position_id: PositionId) -> Sequence[Fill]:
        """All fills of the orders of one position, oldest first."""
        names = self._of_position.get(position_id, ())
        return sorted((each for each in self._fills.values() if each.client_order_id in names), key=_FILLED)

    async def order_counts(self) -> Mapping[str, int]:
        """How many orders there are by state."""
        return Counter(each.state.value for each in self._orders.values())

    async def order_events(self, client_order_id: ClientOrderId) -> Sequence[Event]:
        """(at, from state, to state, cause) of one order, oldest first; the first one comes from ''."""
        return list(self._events.get(client_order_id, ()))

    async def fill_cursor(self, broker_id: BrokerId) -> str:
        """Where reading that broker's fills stopped; empty at first."""
        return self._cursors.get(broker_id, "")

    async def save_fill_cursor(self, broker_id: BrokerId, cursor: str) -> None:
        """Remember where reading stopped."""
        self._cursors[broker_id] = cursor

    def _put_order(self, order: Order) -> None:
        self._orders[order.client_order_id] = order
        if order.state is OrderState.NOT_PLACED:
            self._not_placed[order.client_order_id] = order
        elif self._not_placed:
            self._not_placed.pop(order.client_order_id, None)
        if order.state.is_terminal:
            self._unfinished.pop(order.client_order_id, None)
        else:
            self._unfinished[order.client_order_id] = order


def _closing_key(position: Position | None) -> tuple[datetime, PositionId] | None:
    """Where a position stands among the closed ones; None if it is not closed, or was never opened."""
    if position is None or position.closed_at is None or not position.first_quantity:
        return None
    return position.closed_at, position.id


def _is_chosen(order: Order, chosen: OrderFilter, before: Before | None) -> bool:
    return (
        (not chosen.states or order.state in chosen.states)
        and chosen.symbol in (None, order.symbol)
        and chosen.broker_id in (None, order.broker_id)
        and chosen.role in (None, order.role)
        and (before is None or _CREATED(order) < (before.at, before.id))
    )
