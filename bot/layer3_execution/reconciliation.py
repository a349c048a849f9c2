"""The venue's truth against our record: the same code at start-up and on the timer.

Broker truth wins for what exists; our record keeps the history. An answer counts only if the question itself
succeeded: a venue that does not answer is unknown, never flat.
"""

from collections.abc import Callable, Sequence
from typing import Final

from bot.differences import DifferenceKind
from bot.errors import BrokerError, IllegalTransition
from bot.instruments import BrokerId
from bot.interfaces import Clock, OrderStore
from bot.layer1_data.broker_interface import BrokerInterface, VenueOrder
from bot.layer3_execution.adoption import TermsOf
from bot.layer3_execution.book import Book
from bot.layer3_execution.engine import ExecutionEngine, is_acknowledged
from bot.layer3_execution.foreign import ForeignStakes
from bot.layer3_execution.late_arrivals import LateArrivals
from bot.layer3_execution.legs import is_attached
from bot.layer3_execution.lost_positions import LostPositions
from bot.layer3_execution.order_state import OrderEvent
from bot.layer3_execution.order_tracker import OrderTracker, Recorder, is_unresolved, never_failing
from bot.layer3_execution.pauses import Ages, Pauses
from bot.layer3_execution.reconcile_report import ReconcileReport, facts_of_report, lost_seen, position_seen
from bot.layer3_execution.sightings import DifferenceLog
from bot.models import (
    ORDER_ID_PREFIX,
    ClientOrderId,
    Order,
    OrderKind,
    OrderRole,
    OrderState,
    PositionId,
    VenuePosition,
    leg_of,
)

K = DifferenceKind

CLEAN_ANSWERS_NEEDED: Final = 3
ABSENCE_NEEDED_S: Final = 120.0
ANSWERS_APART_S: Final = 2.0
_ASKED_AFTER_S: Final = 5.0  # an order without an answer, between comparisons
_ASKED_AGAIN_AFTER_S: Final = (2, 2, 2, 2, 2, 5, 5, 5, 5, 10)  # IG answers 30 questions a minute, of all kinds
VENUE_TIMEOUT_S: Final = 15.0  # Binance: its engine gives up after 10 s; and some for the difference of clocks


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
        terms_of: TermsOf,
    ) -> None:
        self._store = store
        self._book = book
        self._tracker = tracker
        self._engine = engine
        self._broker_of = broker_of
        self._clock = clock
        self._record = never_failing(record)
        self._late = LateArrivals(
            store=store,
            book=book,
            tracker=tracker,
            engine=engine,
            broker_of=broker_of,
            clock=clock,
            record=self._record,
        )
        self._lost = LostPositions(store=store, book=book, tracker=tracker, clock=clock, record=self._record)
        self.log = DifferenceLog(broker_of=broker_of, clock=clock, record=self._record)
        self.foreign = ForeignStakes(terms_of)
        self._absent: dict[ClientOrderId, list[float]] = {}
        self._ages = Ages(clock)
        self._asked = Pauses(clock, _ASKED_AGAIN_AFTER_S)

    async def run(self, broker_id: BrokerId) -> ReconcileReport:
        """Compare one venue with our record; never raises for a venue that is down."""
        report = ReconcileReport(broker_id, compared_at=self._clock.now())
        try:
            await self._tracker.recall(self._engine.is_in_flight)
            await self._read_fills(report)
            await self._settle_orders(broker_id, report)
            await self._read_fills(report)
            if not await self._positions_match(broker_id, report):
                await self._read_fills(report)  # a fill may have come between the two answers: look again
                await self._positions_match(broker_id, report)
            await self._compare_working(broker_id, report)
            for name in await self._late.look(broker_id):
                report.note(K.MISSING_FILL, await self._store.order(name))
            report.differences = await self.log.note(broker_id, report.sightings)
            await self._end_lost(report)
            await self.foreign.count(broker_id, report.sightings, report.differences)
        except BrokerError as error:
            report.complete = False
            report.error = str(error)
        if not report.clean:
            await self._record("reconcile", None, facts_of_report(report))
        return report

    async def resolve(self, broker_id: BrokerId) -> bool:
        """Between comparisons: ask for each order of unknown fate that is due, and for each entry or close at market
        that should have ended by now: nothing rests of it, and no other close is sent before. True if more is known of
        one by now.

        Raises BrokerError when the venue does not answer.
        """
        if self._tracker.is_in_doubt:
            await self._tracker.recall(self._engine.is_in_flight)
        doubted = [each for each in self._book.orders() if _is_asked_for(each)]
        self._asked.keep_only([each.position_id for each in doubted])
        due = [each for each in doubted if each.broker_id == broker_id and self._is_due(each)]
        if not due:
            return False
        for position_id in {each.position_id: None for each in due}:
            self._asked.failed(position_id)
        report = ReconcileReport(broker_id, compared_at=self._clock.now())
        await self._tracker.collect(broker_id)
        for each in due:
            if is_acknowledged(each):
                await self._look_up_missing(each, report)
            else:
                await self._settle_as_it_is_now(each.client_order_id, report)
        if report.resolved:
            await self._tracker.collect(broker_id)  # what it has filled needs its stop
        left = [self._book.order(each.client_order_id) for each in due]
        return any(each is None or each.state is not before.state for each, before in zip(left, due, strict=True))

    def _is_due(self, order: Order) -> bool:
        if self._engine.is_in_flight(order.client_order_id) or self._asked.is_early(order.position_id):
            return False
        return self._ages.of_s(order.client_order_id, order.updated_at) >= _ASKED_AFTER_S

    async def _read_fills(self, report: ReconcileReport) -> None:
        new = await self._tracker.collect(report.broker_id)
        report.count(fills=(report.classes.fills or 0) + new)

    async def _settle_orders(self, broker_id: BrokerId, report: ReconcileReport) -> None:
        for name in [each.client_order_id for each in self._book.orders() if each.broker_id == broker_id]:
            await self._settle_as_it_is_now(name, report)
        await self._end_orphaned(broker_id)

    async def _settle_as_it_is_now(self, name: ClientOrderId, report: ReconcileReport) -> None:
        """Looking others up took its time."""
        order = self._book.order(name)
        if order is None or self._engine.is_in_flight(name):
            return
        try:
            await self._settle(order, report)
        except IllegalTransition as error:
            report.note(K.UNKNOWN_FATE, order)
            await self._record("incident", order.task_id, {"what": "order cannot be settled", "error": str(error)})

    async def _end_orphaned(self, broker_id: BrokerId) -> None:
        """Pending positions whose entry has ended without anything to sell: the process ended between the two."""
        for position in self._book.positions():
            name = position.entry_order_id
            if position.broker_id != broker_id or not position.is_pending or self._engine.is_in_flight(name):
                continue
            if self._book.order(name) is None:
                entry = await self._store.order(name)
                if entry.state.is_terminal and (position.first_quantity or not entry.filled_quantity):
                    await self._engine.abandon(entry, entry.state.value)

    async def _settle(self, order: Order, report: ReconcileReport) -> None:
        if order.state is OrderState.INTENT:
            await self._never_sent(order, report)
        elif order.role is OrderRole.STOP and self._is_dropped(order):
            await self._tracker.move(order, OrderEvent.CANCELED, "its position has ended")
        elif is_unresolved(order):
            await self._resolve(order, report)

    def _is_dropped(self, stop: Order) -> bool:
        """Its position has ended, and the venue lets nothing rest for that."""
        follows = self._broker_of(stop.broker_id).capabilities.stop_follows_position
        return follows and self._book.position(stop.position_id) is None

    async def _never_sent(self, order: Order, report: ReconcileReport) -> None:
        """A row found in INTENT outside a send: the process ended before the first byte. It is not sent now."""
        await self._tracker.move(order, OrderEvent.STALE, "found unsent at reconciliation")
        if order.role is OrderRole.ENTRY:
            await self._engine.abandon(order, "never sent")
        report.resolved.append(order.client_order_id)

    async def _resolve(self, order: Order, report: ReconcileReport) -> None:
        stored = await self._store.order(order.client_order_id)
        if stored.state.is_terminal:  # the commit that ended it got no answer: its fate is no question
            self._book.put_order(stored)
            report.resolved.append(order.client_order_id)
            return
        if order.role is OrderRole.STOP and is_attached(order):
            await self._resolve_attached(order)
            return
        found = await self._broker_of(order.broker_id).find_order(order.client_order_id)
        if found is not None and found.state is OrderState.REJECTED:
            await self._end(order, OrderEvent.REJECT, "found rejected at the venue")
        elif found is not None:
            await self._adopt(order, found.venue_order_id)
        elif await self._has_position(order):
            await self._adopt(order, None)
        elif self._absence_is_final(order):
            await self._end(order, OrderEvent.NEGATIVE_EVIDENCE, "absent in complete answers (presumed)")
        else:
            report.note(K.UNKNOWN_FATE, order)
            return
        self._absent.pop(order.client_order_id, None)
        report.resolved.append(order.client_order_id)

    async def _resolve_attached(self, stop: Order) -> None:
        """It travelled with its entry and shares its fate; its position is known to be there."""
        name = leg_of(stop.client_order_id, "E0")
        entry = self._book.order(name) or await self._store.order(name)
        if is_unresolved(entry):
            return  # resolved first
        if entry.filled_quantity or not entry.state.is_terminal:
            await self._tracker.move(stop, OrderEvent.ACK, "its entry was taken")
        else:
            await self._tracker.move(stop, OrderEvent.CANCELED, f"its entry ended {entry.state.value}")

    async def _adopt(self, order: Order, venue_order_id: str | None) -> None:
        await self._tracker.move(order, OrderEvent.ACK, "found at the venue", venue_order_id=venue_order_id)
        for stop in self._attached_to(order):
            if is_unresolved(stop):
                await self._tracker.move(stop, OrderEvent.ACK, "found with its entry")

    async def _end(self, order: Order, event: OrderEvent, cause: str) -> None:
        """The venue does not have it: end it, and with an entry of which nothing filled all that hangs on it."""
        stops = self._attached_to(order)
        ended = await self._tracker.move(order, event, cause)
        if order.role is not OrderRole.ENTRY or ended.filled_quantity:
            return
        for stop in stops:
            event = event if is_unresolved(stop) else OrderEvent.CANCELED
            await self._tracker.move(stop, event, f"its entry: {cause}")
        await self._engine.abandon(order, cause)

    def _attached_to(self, order: Order) -> tuple[Order, ...]:
        return self._book.orders_of(order.position_id, OrderRole.STOP) if order.role is OrderRole.ENTRY else ()

    async def _has_position(self, order: Order) -> bool:
        """What an entry opened proves the entry, also while a look-up does not show it."""
        if order.role is not OrderRole.ENTRY:
            return False
        venue = await self._broker_of(order.broker_id).positions()
        return any(each.entry_order_id == order.client_order_id for each in venue)

    def _absence_is_final(self, order: Order) -> bool:
        """One more clean answer does not have it: is that proof?

        E3, presumptive: three such answers over two minutes. E2, authoritative, where the venue throws away what is
        older than it says: two answers, some seconds apart, both from when even the slowest request is too old.
        """
        now_s = self._clock.monotonic()  # the wall clock may be set while we count
        answers = self._absent.setdefault(order.client_order_id, [])
        answers.append(now_s)
        expires_s = self._broker_of(order.broker_id).capabilities.request_expires_after_s
        if expires_s is None or is_acknowledged(order):
            return len(answers) >= CLEAN_ANSWERS_NEEDED and now_s - answers[0] >= ABSENCE_NEEDED_S
        expired_s = answers[0] + expires_s + VENUE_TIMEOUT_S  # it had left before it was first asked for
        first_after_s = next((each for each in answers if each >= expired_s), now_s)
        return now_s - first_after_s >= ANSWERS_APART_S

    async def _positions_match(self, broker_id: BrokerId, report: ReconcileReport) -> bool:
        broker = self._broker_of(broker_id)
        is_balance = broker.capabilities.foreign_is_balance
        venue = {each.entry_order_id: each for each in await broker.positions()}
        ours = {each.entry_order_id: each for each in self._book.positions() if each.broker_id == broker_id}
        report.positions = [
            position_seen(theirs, ours.get(entry_id), foreign_is_balance=is_balance)
            for entry_id, theirs in venue.items()
            if entry_id not in ours or ours[entry_id].quantity != theirs.quantity
        ]
        alike = len(venue) - len(report.positions)
        lost = [each for entry_id, each in ours.items() if each.is_open and entry_id not in venue]
        report.positions += [lost_seen(each) for each in lost]
        for entry_id, theirs in venue.items():
            if entry_id in ours:
                await self._late.adopt_stop(theirs)
        report.count(positions=alike, stops=sum(self._stop_is_alike(each) for each in venue.values()))
        return not report.positions

    def _stop_is_alike(self, theirs: VenuePosition) -> bool:
        """What the venue names as resting for a position is a live stop in our record."""
        stop = None if theirs.stop_order_id is None else self._book.order(theirs.stop_order_id)
        return stop is not None and stop.role is OrderRole.STOP

    async def _end_lost(self, report: ReconcileReport) -> None:
        """Each lost position ends by the fills that tell of it, or when it was missing for long enough."""
        left = []
        for each in report.differences:
            if each.kind is not K.LOST_POSITION:
                left.append(each)
            elif not await self._lost.claim(PositionId(each.subject)):
                if each.counts and each.is_open:
                    await self._lost.end(PositionId(each.subject))
                else:
                    left.append(each)
        report.differences = tuple(left)

    async def _compare_working(self, broker_id: BrokerId, report: ReconcileReport) -> None:
        """Orders that work at the venue but not here, and here but not at the venue."""
        before = {each.client_order_id for each in self._book.orders() if each.broker_id == broker_id}
        working = await self._broker_of(broker_id).open_orders()
        for theirs in working:
            name = theirs.client_order_id
            if name is None or not (name.startswith(ORDER_ID_PREFIX) or name in before):
                report.note_unrecorded(K.FOREIGN_ORDER, theirs)
            elif name not in before and self._book.order(name) is None and not self._engine.is_in_flight(name):
                await self._not_in_our_book(theirs, name, report)
            elif (ours := self._book.order(name)) is not None and ours.state is OrderState.CANCEL_PENDING:
                await self._late.take_back(ours)  # the answer to its cancel was lost
        for name in sorted(before - {each.client_order_id for each in working}):  # an order that every run repeats
            order = self._book.order(name)
            if order is not None and order.role is not OrderRole.STOP and not self._engine.is_in_flight(name):
                await self._look_up_missing(order, report)
        self._count_working(working, report)

    def _count_working(self, working: Sequence[VenueOrder], report: ReconcileReport) -> None:
        """Orders that work on both sides, and about which nothing was noted."""
        named = [self._book.order(each.client_order_id) for each in working if each.client_order_id is not None]
        roles = [each.role for each in named if each is not None and each.client_order_id not in report.orders]
        report.count(entries=roles.count(OrderRole.ENTRY), exits=roles.count(OrderRole.EXIT))

    async def _not_in_our_book(self, theirs: VenueOrder, name: ClientOrderId, report: ReconcileReport) -> None:
        """An order of ours works at the venue, and our record has ended it, or never had it (I1 broken)."""
        if await self._late.settle(theirs):
            report.resolved.append(name)
            return
        report.note_unrecorded(K.ORPHAN_ORDER, theirs)

    async def _look_up_missing(self, order: Order, report: ReconcileReport) -> None:
        """It works here and is not among the venue's open orders: one question about it, and no verdict without."""
        if not is_acknowledged(order):
            return
        found = await self._broker_of(order.broker_id).find_order(order.client_order_id)
        now = self._book.order(order.client_order_id)
        if now is None or (found is not None and not found.state.is_terminal):
            self._absent.pop(order.client_order_id, None)
            return
        if found is None and not await self._has_position(now) and self._absence_is_final(now):
            self._absent.pop(order.client_order_id, None)
            await self._end(now, OrderEvent.CANCELED, "absent in complete answers (presumed)")
            report.resolved.append(order.client_order_id)
            return
        if found is None or found.filled_quantity > now.filled_quantity:
            report.note(K.LOST_ORDER if found is None else K.MISSING_FILL, now, found)
            return  # FILLED with no more than we know: the venue cut it down to what was left to reduce
        self._absent.pop(order.client_order_id, None)
        event = OrderEvent.EXPIRED if found.state is OrderState.EXPIRED else OrderEvent.CANCELED
        await self._end(now, event, f"{found.state.value} at the venue")
        report.resolved.append(order.client_order_id)


def _is_asked_for(order: Order) -> bool:
    never_rests = order.role is not OrderRole.STOP and order.kind is OrderKind.MARKET
    return is_unresolved(order) or order.state is OrderState.INTENT or (never_rests and is_acknowledged(order))
