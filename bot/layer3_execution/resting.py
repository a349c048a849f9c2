"""What a venue says rests for a position, and taking single orders of it away."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Final

from bot.instruments import BrokerId
from bot.interfaces import Clock
from bot.layer1_data.broker_interface import BrokerInterface, VenueOrder
from bot.layer3_execution.aside import insisted, side_by_side
from bot.layer3_execution.book import Book
from bot.layer3_execution.engine import ExecutionEngine, is_acknowledged
from bot.layer3_execution.legs import is_attached
from bot.layer3_execution.order_state import OrderEvent
from bot.layer3_execution.order_tracker import OrderTracker, is_unresolved
from bot.layer3_execution.pauses import Ages
from bot.models import ORDER_ID_PREFIX, ClientOrderId, Order, OrderKind, OrderRole, OrderState, Position, entry_of

ZERO: Final = Decimal(0)
SETTLING_S: Final = 5.0  # venues may show an order only some seconds after they took it
ANSWERED_WITHIN_S: Final = 3.0  # a stop; what takes longer was probably lost, and another one is asked for
PATIENCE_S: Final = 1.0  # for a target that was at its price when it was sent
CANCELLABLE: Final = (OrderState.WORKING, OrderState.TRIGGERED, OrderState.PARTIAL)


class RestingOrders:
    """Reads stops and exits back, one position at a time. Raises BrokerError when the venue does not answer."""

    def __init__(
        self,
        *,
        book: Book,
        engine: ExecutionEngine,
        tracker: OrderTracker,
        broker_of: Callable[[BrokerId], BrokerInterface],
        clock: Clock,
    ) -> None:
        self._book = book
        self._engine = engine
        self._tracker = tracker
        self._broker_of = broker_of
        self._ages = Ages(clock)

    async def stops_of(self, position: Position) -> dict[ClientOrderId, VenueOrder]:
        """Its stops; the fate of ours that nobody knew is thereby known.

        Delivered twice to a venue that knows no duplicates, two bear one name: one goes if the others are enough.
        """
        found, copies = await self._listed(position)
        left = left_of(found) - position.quantity
        spare = [each for each in copies if each.quantity - each.filled_quantity <= left]
        if not spare or spare[0].client_order_id is None:
            return found
        await self._broker_of(position.broker_id).cancel(spare[0].client_order_id)  # its row stands for the other one
        await self._tracker.collect(position.broker_id)
        return (await self._listed(position))[0]

    async def _listed(self, position: Position) -> tuple[dict[ClientOrderId, VenueOrder], list[VenueOrder]]:
        """Its stops by name, and those whose name was there before; together they count as one."""
        found: dict[ClientOrderId, VenueOrder] = {}
        copies = []
        for each in await self._broker_of(position.broker_id).protective_orders():
            name = each.client_order_id
            if name is None or not is_stop_for(name, position.entry_order_id):
                continue
            if name in found and self.is_sound(name):
                copies.append(each)
            found[name] = _together(found[name], each) if name in found else each
            row = self._book.order(name)
            if row is None or self._engine.is_in_flight(name):
                continue
            if is_unresolved(row):
                await self._tracker.move(row, OrderEvent.ACK, "found resting", venue_order_id=each.venue_order_id)
            elif each not in copies:
                await self._tracker.follow(row, each.venue_order_id)
        return found, copies

    def is_sound(self, name: ClientOrderId) -> bool:
        """It is one that our record counts on."""
        row = self._book.order(name)
        return row is not None and row.state is not OrderState.CANCEL_PENDING

    def is_overdue(self, row: Order) -> bool:
        """It was sent, and its answer should have come by now."""
        is_sent = row.state is not OrderState.INTENT
        return is_sent and self._ages.of_s(row.client_order_id, row.updated_at) >= ANSWERED_WITHIN_S

    async def is_coming(self, row: Order, will_do: Callable[[Decimal, Decimal | None], bool]) -> bool:
        """A stop that is not shown will do, as to quantity and price: it was just taken, or has fills not told yet."""
        if row.state is OrderState.INTENT or (is_unresolved(row) and is_attached(row)):
            return False
        if row.state in CANCELLABLE and self._ages.of_s(row.client_order_id, row.updated_at) < SETTLING_S:
            return will_do(row.quantity - row.filled_quantity, row.price)
        found = await self._broker_of(row.broker_id).find_order(row.client_order_id)
        if found is not None and found.filled_quantity > row.filled_quantity:
            return True
        if found is not None and not found.state.is_terminal:
            return will_do(found.quantity - found.filled_quantity, found.price)
        if found is not None and self._was_replaced(row, found):
            return will_do(row.quantity - row.filled_quantity, row.price)
        if is_acknowledged(row):
            await self._tracker.move(row, OrderEvent.CANCELED, "gone at the venue")
        elif found is not None:
            event = OrderEvent.REJECT if found.state is OrderState.REJECTED else OrderEvent.CANCELED
            await self._tracker.move(row, event, f"found {found.state.value} at the venue")
        return False  # of unknown fate and not found by a clean question: another attempt may follow (2.2 rule 4)

    def _was_replaced(self, row: Order, ended: VenueOrder) -> bool:
        """What has ended is not the order that we know under that name now, but the one before its last change; what
        was refused never was that."""
        changes = self._broker_of(row.broker_id).capabilities.amends_stop and ended.state is not OrderState.REJECTED
        return changes and row.venue_order_id not in (None, ended.venue_order_id)

    async def take_back(self, row: Order) -> None:
        """One of ours that nobody wants, and that no list shows: lists may be cut short, so it is asked for by name."""
        if await self.is_coming(row, lambda *_: True):
            await self.cancel(row.broker_id, row.client_order_id)

    async def being_sold(self, position: Position) -> Decimal:
        """Where stops lock what they sell: how much of it working exits have, so that no stop can have it.

        A target that is still there after a moment is taken back: the price has left it, and its part has no stop.
        """
        if not self._broker_of(position.broker_id).capabilities.stop_reserves:
            return ZERO
        sold = ZERO
        for row in self._book.orders_of(position.id, OrderRole.EXIT):
            if is_unresolved(row):
                row = await self._found(row)
            waited_s = self._ages.of_s(row.client_order_id, row.created_at)
            if row.kind is OrderKind.LIMIT and is_acknowledged(row) and waited_s > PATIENCE_S:
                await self.cancel(row.broker_id, row.client_order_id, "its part needs a stop")
                row = self._book.order(row.client_order_id) or row
            if is_acknowledged(row) and self._book.order(row.client_order_id) is not None:
                sold += row.quantity - row.filled_quantity
        return sold

    async def _found(self, row: Order) -> Order:
        """An exit of unknown fate, after one question about it."""
        name = row.client_order_id
        if self._engine.is_in_flight(name):
            return row
        found = await self._broker_of(row.broker_id).find_order(name)
        if found is None or found.state.is_terminal:
            return row  # reconciliation settles it
        return await self._tracker.move(row, OrderEvent.ACK, "found working", venue_order_id=found.venue_order_id)

    async def cancel_all(self, broker_id: BrokerId, names: Iterable[ClientOrderId]) -> None:
        """Take surplus orders away, all at once: one that gets no answer keeps none of the others."""
        await side_by_side([self.cancel(broker_id, name) for name in names])

    async def cancel(self, broker_id: BrokerId, name: ClientOrderId, cause: str = "surplus") -> None:
        """Take one order away; what it has filled meanwhile is applied first."""
        row = self._book.order(name)
        if row is not None and row.state in CANCELLABLE:
            await self._tracker.move(row, OrderEvent.CANCEL_SENT, cause)
        ack = await insisted(partial(self._broker_of(broker_id).cancel, name))
        await self._tracker.collect(broker_id)
        row = self._book.order(name)
        if row is not None and ack.state in (OrderState.CANCELED, OrderState.EXPIRED):
            await self._tracker.move(row, OrderEvent.CANCELED, cause)


def left_of(resting: Mapping[ClientOrderId, VenueOrder]) -> Decimal:
    """What all of them together still close."""
    return sum((each.quantity - each.filled_quantity for each in resting.values()), ZERO)


def _together(one: VenueOrder, other: VenueOrder) -> VenueOrder:
    filled = one.filled_quantity + other.filled_quantity
    return replace(one, quantity=one.quantity + other.quantity, filled_quantity=filled)


def is_stop_for(name: ClientOrderId | None, *entries: ClientOrderId) -> bool:
    """A stop of that name is ours and belongs to one of the entries; an adopted entry may have a name of its own."""
    if name is None or not name.startswith(ORDER_ID_PREFIX):
        return False
    return entry_of(name) in map(entry_of, entries)
