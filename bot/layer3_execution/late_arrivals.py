"""Orders that our record has ended and the venue has after all: taken back where they would open risk, adopted else.

An order presumed never placed is asked after for a day: presumption is not proof.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Final

from bot.errors import NotFound
from bot.instruments import BrokerId
from bot.interfaces import Clock, OrderStore
from bot.layer1_data.broker_interface import BrokerInterface, VenueOrder
from bot.layer3_execution.book import Book
from bot.layer3_execution.engine import ExecutionEngine, is_acknowledged
from bot.layer3_execution.order_state import OrderEvent
from bot.layer3_execution.order_tracker import OrderTracker, Recorder, is_unresolved
from bot.models import ClientOrderId, Order, OrderRole, OrderState, VenuePosition

WATCHED_FOR: Final = timedelta(hours=24)
_ASKED_PER_RUN: Final = 10  # venues count questions; the others have their turn with the next runs
_CANCELLABLE: Final = (OrderState.WORKING, OrderState.TRIGGERED, OrderState.PARTIAL)


class LateArrivals:
    """Watches for what was given up, and settles it. One look belongs to each reconciliation of a venue."""

    def __init__(
        self,
        *,
        store: OrderStore,
        book: Book,
        tracker: OrderTracker,
        engine: ExecutionEngine,
        broker_of: Callable[[BrokerId], BrokerInterface],
        clock: Clock,
        record: Recorder,
    ) -> None:
        """`record` must not fail."""
        self._store = store
        self._book = book
        self._tracker = tracker
        self._engine = engine
        self._broker_of = broker_of
        self._clock = clock
        self._record = record
        self._turn = 0

    async def look(self, broker_id: BrokerId) -> Sequence[ClientOrderId]:
        """Ask after what was presumed never placed; those that have fills which are not told yet.

        Raises BrokerError when the venue does not answer.
        """
        watched = await self._store.not_placed_since(broker_id, self._clock.now() - WATCHED_FOR)
        untold = []
        for order in self._whose_turn_it_is([each for each in watched if each.role is not OrderRole.STOP]):
            found = await self._broker_of(broker_id).find_order(order.client_order_id)
            now = await self._store.order(order.client_order_id)
            if found is None or now.state is not OrderState.NOT_PLACED:
                continue
            if found.filled_quantity > now.filled_quantity:
                untold.append(order.client_order_id)
            elif not found.state.is_terminal:
                await self.settle(found)
        return untold

    def _whose_turn_it_is(self, orders: Sequence[Order]) -> Sequence[Order]:
        if len(orders) <= _ASKED_PER_RUN:
            return orders
        start = self._turn % len(orders)
        self._turn = start + _ASKED_PER_RUN
        return [*orders, *orders][start : start + _ASKED_PER_RUN]

    async def settle(self, theirs: VenueOrder) -> bool:
        """One order of ours that works at the venue and not here; False if a person has to say what becomes of it: we
        have never recorded it, or it works on although it was filled and cancelled.

        Raises BrokerError when its cancel got no answer: the next run cancels it.
        """
        if theirs.client_order_id is None:
            return False
        try:
            order = await self._store.order(theirs.client_order_id)
        except NotFound:
            return False
        if order.state is OrderState.FILLED:
            return await self._take_copy_back(order)
        await self._record("incident", order.task_id, {"what": "late arrival", **_facts(order)})
        order = await self._tracker.revive(order, "late arrival", venue_order_id=theirs.venue_order_id)
        if order.role is OrderRole.ENTRY or self._book.position(order.position_id) is None:
            await self.take_back(order)
        return True

    async def _take_copy_back(self, order: Order) -> bool:
        """Nothing of it can work, unless it was delivered twice to a venue that knows no duplicates."""
        ack = await self._broker_of(order.broker_id).cancel(order.client_order_id)
        await self._tracker.collect(order.broker_id)
        if ack.state not in (OrderState.CANCELED, OrderState.EXPIRED):
            return False
        await self._record("incident", order.task_id, {"what": "copy of a filled order", **_facts(order)})
        return True

    async def take_back(self, order: Order) -> None:
        """Cancel at the venue what nobody wants any more; what it has filled meanwhile is applied first."""
        if order.state in _CANCELLABLE:
            order = await self._tracker.move(order, OrderEvent.CANCEL_SENT, "taken back")
        ack = await self._broker_of(order.broker_id).cancel(order.client_order_id)
        await self._tracker.collect(order.broker_id)
        now = self._book.order(order.client_order_id)
        if now is None or ack.state not in (OrderState.CANCELED, OrderState.EXPIRED):
            return
        ended = await self._tracker.move(now, OrderEvent.CANCELED, "taken back")
        if ended.role is not OrderRole.ENTRY or ended.filled_quantity:
            return
        for stop in self._book.orders_of(ended.position_id, OrderRole.STOP):
            if is_acknowledged(stop) or is_unresolved(stop):
                await self._tracker.move(stop, OrderEvent.CANCELED, "its entry was taken back")
        await self._engine.abandon(ended, "taken back")

    async def adopt_stop(self, venue: VenuePosition) -> None:
        """The stop that rests for a position we have is live, also if it was given up with its entry."""
        name = venue.stop_order_id
        if name is None or self._book.order(name) is not None or self._engine.is_in_flight(name):
            return
        try:
            stop = await self._store.order(name)
        except NotFound:
            return
        if stop.role is OrderRole.STOP and stop.state is not OrderState.FILLED and stop.state.is_terminal:
            await self._tracker.revive(stop, "rests at the venue after all")


def _facts(order: Order) -> Mapping[str, object]:
    facts = {"order": order.client_order_id, "symbol": order.symbol, "role": order.role.value}
    return {**facts, "had_ended": order.state.value}
