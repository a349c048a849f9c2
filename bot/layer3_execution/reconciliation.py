"""The venue's truth against our record: the same code at start-up and on the timer.

Broker truth wins for what exists; our record keeps the history. An answer counts only if the question itself
succeeded: a venue that does not answer is unknown, never flat.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from bot.errors import BrokerUnavailable
from bot.instruments import BrokerId
from bot.interfaces import Clock, OrderStore
from bot.layer1_data.broker_interface import BrokerInterface, VenueOrder
from bot.layer3_execution.book import Book
from bot.layer3_execution.engine import ExecutionEngine
from bot.layer3_execution.order_state import OrderEvent
from bot.layer3_execution.order_tracker import OrderTracker, Recorder, is_unresolved
from bot.models import ORDER_ID_PREFIX, Order, OrderRole, OrderState, VenuePosition

CLEAN_ANSWERS_NEEDED: Final = 3
ABSENCE_NEEDED: Final = timedelta(seconds=120)


@dataclass(slots=True)
class ReconcileReport:
    """What was found at one venue. `complete` is False when it did not answer; then nothing follows from absence."""

    broker_id: BrokerId
    complete: bool = True
    matched: int = 0
    resolved: list[str] = field(default_factory=list)
    unresolved: list[str] = field(default_factory=list)
    unknown_positions: list[VenuePosition] = field(default_factory=list)
    lost_positions: list[str] = field(default_factory=list)
    foreign_orders: list[VenueOrder] = field(default_factory=list)
    error: str = ""

    @property
    def clean(self) -> bool:
        """Entries may go on: the venue answered, and nothing is unexplained."""
        return self.complete and not (self.unresolved or self.unknown_positions or self.lost_positions)


class Reconciler:
    """Resolves orders of unknown fate and compares positions, one venue at a time."""

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
        self._store = store
        self._book = book
        self._tracker = tracker
        self._engine = engine
        self._broker_of = broker_of
        self._clock = clock
        self._record = record
        self._absent: dict[str, int] = {}

    async def run(self, broker_id: BrokerId) -> ReconcileReport:
        """Compare one venue with our record; never raises for a venue that is down."""
        report = ReconcileReport(broker_id)
        try:
            await self._tracker.collect(broker_id)
            for order in self._book.orders():
                if order.broker_id == broker_id and not self._engine.is_in_flight(order.client_order_id):
                    await self._settle(order, report)
            await self._tracker.collect(broker_id)
            if not await self._positions_match(broker_id, report):
                await self._tracker.collect(broker_id)  # a fill may have come between the two answers: look again
                await self._positions_match(broker_id, report)
            await self._find_foreign_orders(broker_id, report)
        except BrokerUnavailable as error:
            report.complete = False
            report.error = str(error)
        if not report.clean:
            await self._record("reconcile", None, _facts(report))
        return report

    async def _settle(self, order: Order, report: ReconcileReport) -> None:
        if order.state is OrderState.INTENT:
            await self._never_sent(order, report)
        elif is_unresolved(order):
            await self._resolve(order, report)
        else:
            report.matched += 1

    async def _never_sent(self, order: Order, report: ReconcileReport) -> None:
        """A row found in INTENT outside a send: the process ended before the first byte. It is not sent now."""
        await self._tracker.move(order, OrderEvent.STALE, "found unsent at reconciliation")
        if order.role is OrderRole.ENTRY:
            await self._engine.abandon(order, "never sent")
        report.resolved.append(order.client_order_id)

    async def _resolve(self, order: Order, report: ReconcileReport) -> None:
        if order.role is OrderRole.STOP:
            return  # it travelled with its entry and shares its fate
        found = await self._broker_of(order.broker_id).find_order(order.client_order_id)
        stops = self._book.orders_of(order.position_id, OrderRole.STOP)
        if found is not None:
            event = OrderEvent.REJECT if found.state is OrderState.REJECTED else OrderEvent.ACK
            await self._tracker.move(order, event, "found at the venue", venue_order_id=found.venue_order_id)
            for stop in stops:
                if is_unresolved(stop):
                    await self._tracker.move(stop, event, "found with its entry")
            report.resolved.append(order.client_order_id)
            return
        if not self._absence_is_final(order):
            report.unresolved.append(order.client_order_id)
            return
        await self._tracker.move(order, OrderEvent.NEGATIVE_EVIDENCE, "absent in complete answers (presumed)")
        for stop in stops:
            if order.role is OrderRole.ENTRY and is_unresolved(stop):
                await self._tracker.move(stop, OrderEvent.NEGATIVE_EVIDENCE, "its entry was not placed")
        await self._engine.abandon(order, "not placed")
        report.resolved.append(order.client_order_id)

    def _absence_is_final(self, order: Order) -> bool:
        """Presumptive evidence E3: at least three clean answers without it, over at least two minutes."""
        seen = self._absent.get(order.client_order_id, 0) + 1
        self._absent[order.client_order_id] = seen
        long_enough = self._clock.now() - order.updated_at >= ABSENCE_NEEDED
        return seen >= CLEAN_ANSWERS_NEEDED and long_enough

    async def _positions_match(self, broker_id: BrokerId, report: ReconcileReport) -> bool:
        venue = {each.entry_order_id: each for each in await self._broker_of(broker_id).positions()}
        ours = {each.entry_order_id: each for each in self._book.positions() if each.broker_id == broker_id}
        report.unknown_positions = [
            theirs
            for entry_id, theirs in venue.items()
            if entry_id not in ours or ours[entry_id].quantity != theirs.quantity
        ]
        report.lost_positions = [each.id for entry_id, each in ours.items() if each.is_open and entry_id not in venue]
        report.matched += len(venue) - len(report.unknown_positions)
        return not (report.unknown_positions or report.lost_positions)

    async def _find_foreign_orders(self, broker_id: BrokerId, report: ReconcileReport) -> None:
        for order in await self._broker_of(broker_id).open_orders():
            name = order.client_order_id
            if name is None or not name.startswith(ORDER_ID_PREFIX) or self._book.order(name) is None:
                report.foreign_orders.append(order)


def _facts(report: ReconcileReport) -> dict[str, object]:
    return {
        "broker": report.broker_id,
        "complete": report.complete,
        "unresolved": list(report.unresolved),
        "unknown_positions": [each.entry_order_id for each in report.unknown_positions],
        "lost_positions": list(report.lost_positions),
        "error": report.error,
    }
