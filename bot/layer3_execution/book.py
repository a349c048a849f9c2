"""What is open, in memory: positions and the orders that may still change them. The store has the same, durably."""

from collections.abc import Iterable

from bot.instruments import BrokerId, Symbol
from bot.models import ClientOrderId, Order, OrderRole, Position, PositionId


class Book:
    """The one home of open positions and live orders. Written only by the order tracker and the position guard."""

    def __init__(self) -> None:
        self._positions: dict[PositionId, Position] = {}
        self._by_symbol: dict[Symbol, dict[PositionId, None]] = {}
        self._orders: dict[ClientOrderId, Order] = {}

    def put_position(self, position: Position) -> None:
        """Remember a position; one that has ended is dropped."""
        ids = self._by_symbol.setdefault(position.symbol, {})
        if position.closed_at is None:
            self._positions[position.id] = position
            ids[position.id] = None
        else:
            self._positions.pop(position.id, None)
            ids.pop(position.id, None)

    def put_order(self, order: Order) -> None:
        """Remember an order; one in a terminal state is dropped."""
        if order.state.is_terminal:
            self._orders.pop(order.client_order_id, None)
        else:
            self._orders[order.client_order_id] = order

    def position(self, position_id: PositionId) -> Position | None:
        """A position that has not ended."""
        return self._positions.get(position_id)

    def order(self, client_order_id: ClientOrderId) -> Order | None:
        """An order that has not ended."""
        return self._orders.get(client_order_id)

    def positions(self) -> tuple[Position, ...]:
        """All that have not ended, pending ones too, oldest first."""
        return tuple(self._positions.values())

    def open_of(self, symbol: Symbol) -> tuple[Position, ...]:
        """Positions of one symbol with something in them."""
        ids = self._by_symbol.get(symbol)
        return tuple(each for each in map(self._positions.__getitem__, ids) if each.is_open) if ids else ()

    def has(self, symbol: Symbol) -> bool:
        """Something is open or pending there."""
        return bool(self._by_symbol.get(symbol))

    def orders(self) -> tuple[Order, ...]:
        """All that have not ended."""
        return tuple(self._orders.values())

    def orders_of(self, position_id: PositionId, role: OrderRole | None = None) -> tuple[Order, ...]:
        """Live orders of one position, of one role if given."""
        return tuple(
            each for each in self._orders.values() if each.position_id == position_id and role in (None, each.role)
        )

    def rests(self, broker_id: BrokerId) -> tuple[Order, ...]:
        """Part-filled entries at a broker that still work although their position has ended."""
        entries = [each for each in self._orders.values() if each.role is OrderRole.ENTRY and each.filled_quantity]
        return tuple(
            each for each in entries if each.broker_id == broker_id and each.position_id not in self._positions
        )

    def brokers(self) -> tuple[BrokerId, ...]:
        """Brokers with something live, in order of appearance."""
        found: dict[BrokerId, None] = {}
        rows: Iterable[Position | Order] = (*self._positions.values(), *self._orders.values())
        for row in rows:
            found[row.broker_id] = None
        return tuple(found)
