"""Protective stops as large as what is open, where the venue does not see to that itself: protect or flatten.

A stop counts only once it was read back among the venue's resting stops. It is sized after each fill; surplus ones are
cancelled, the last ones only when the venue itself says that nothing is open. What is not protected in time is closed.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from bot.errors import BrokerError, OrderFateUnknown
from bot.instruments import BrokerId
from bot.interfaces import Clock, OrderStore
from bot.layer1_data.broker_interface import WOULD_TRIGGER, BrokerInterface, VenueOrder
from bot.layer3_execution.book import Book
from bot.layer3_execution.engine import ExecutionEngine, is_acknowledged, is_attached, is_attached_id
from bot.layer3_execution.order_state import OrderEvent
from bot.layer3_execution.order_tracker import OrderTracker, Recorder, is_unresolved
from bot.layer3_execution.unprotected import Gap, UnprotectedTime
from bot.models import ORDER_ID_PREFIX, ClientOrderId, Order, OrderRole, OrderState, Position, PositionId, leg_of

ZERO: Final = Decimal(0)
SETTLING: Final = timedelta(seconds=5)  # venues may show a stop only some seconds after they took it
UNPROTECTED: Final = "UNPROTECTED"
_REFUSALS_ALLOWED: Final = 1
_ROUNDS: Final = 4  # change, read back, and once more of both
_CANCELLABLE: Final = (OrderState.WORKING, OrderState.TRIGGERED, OrderState.PARTIAL)


@dataclass(frozen=True, slots=True)
class _Wanted:
    quantity: Decimal
    price: Decimal
    tick: Decimal

    def is_met_by(self, quantity: Decimal, price: Decimal | None) -> bool:
        return quantity == self.quantity and price is not None and abs(price - self.price) < self.tick


def entry_of(stop_order_id: ClientOrderId) -> ClientOrderId:
    """The entry that a stop of ours belongs to."""
    return leg_of(stop_order_id, "E0")


class StopKeeper:
    """Sizes, replaces and cancels stops, one position at a time; closes what cannot be protected."""

    def __init__(
        self,
        *,
        store: OrderStore,
        book: Book,
        engine: ExecutionEngine,
        tracker: OrderTracker,
        broker_of: Callable[[BrokerId], BrokerInterface],
        clock: Clock,
        record: Recorder,
        unprotected: UnprotectedTime,
        protect_within_s: float,
    ) -> None:
        """`record` must not fail. After `protect_within_s` without a whole stop a position is closed instead."""
        self._store = store
        self._book = book
        self._engine = engine
        self._tracker = tracker
        self._broker_of = broker_of
        self._clock = clock
        self._record = record
        self._unprotected = unprotected
        self._protect_within_s = protect_within_s
        self._keeping: dict[PositionId, asyncio.Lock] = {}
        self._again: set[PositionId] = set()
        self._flattening: set[PositionId] = set()
        self._beyond: set[PositionId] = set()

    async def on_resized(self, position: Position, filled_at: datetime) -> None:
        """Fills have changed a position: its stop follows. What the venue does not answer waits for the next look."""
        if self._broker_of(position.broker_id).capabilities.keeps_stops:
            return
        if not position.is_open:
            self._unprotected.end(position.entry_order_id)
        elif not self._was_covered(position):
            self._unprotected.begin(position, ago_s=(self._clock.now() - filled_at).total_seconds())
        if self._lock(position.id).locked():
            self._again.add(position.id)  # whoever keeps it now looks once more
            return
        try:
            await self.keep(position)
        except BrokerError as error:
            facts = {"what": "stop not sized yet", "position": position.id, "error": str(error)}
            await self._record("protection", position.task_id, facts)

    async def keep(self, position: Position, *, at_venue: Decimal = ZERO, price: Decimal | None = None) -> bool:
        """Make one stop rest for all of `position`, and no other; True once that was read back.

        `at_venue` is what the venue says is open, `price` where the stop should go if not where it is. Raises
        BrokerError where the venue does not answer; its position is closed if that lasts too long.
        """
        async with self._lock(position.id):
            while True:
                self._again.discard(position.id)
                try:
                    rests = await self._keep(position, at_venue, price)
                except BrokerError:
                    await self._flatten_if_late(position.id, at_venue)
                    raise
                if position.id not in self._again:
                    break
                at_venue = ZERO  # fills came meanwhile
        if self._book.position(position.id) is None:
            self._keeping.pop(position.id, None)
        return rests

    async def make_room(self, position: Position, quantity: Decimal) -> None:
        """Where stops lock what they protect: leave one for what stays, so that `quantity` can be sold."""
        if position.id in self._flattening:
            return
        async with self._lock(position.id):
            for name in await self._resting(position):
                await self._cancel(position.broker_id, name)
            now = self._book.position(position.id)
            left = ZERO if now is None else now.quantity - quantity
            if now is not None and left > ZERO:
                await self._engine.rest_stop(now, left, now.stop_price)
            if now is not None:
                self._unprotected.begin(now)

    def was_beyond(self, position_id: PositionId) -> bool:
        """The last move of its stop was refused because the price is beyond it. Told once."""
        if position_id not in self._beyond:
            return False
        self._beyond.remove(position_id)
        return True

    async def clear(
        self, broker_id: BrokerId, stops: Sequence[VenueOrder], entries: Mapping[ClientOrderId, Decimal]
    ) -> None:
        """Cancel stops that protect nothing: neither we nor the venue (`entries`) have anything open there."""
        opened = {each.entry_order_id for each in self._book.positions() if each.is_open}
        for stop in stops:
            name = stop.client_order_id
            if (
                name is not None
                and name.startswith(ORDER_ID_PREFIX)
                and entry_of(name) not in (opened | entries.keys())
            ):
                await self._cancel(broker_id, name)
        names = {each.client_order_id for each in stops}
        for row in self._book.orders():
            if row.role is not OrderRole.STOP or row.broker_id != broker_id or row.client_order_id in names:
                continue
            ended = self._book.position(row.position_id) is None and entry_of(row.client_order_id) not in entries
            if ended and is_acknowledged(row) and not self._engine.is_in_flight(row.client_order_id):
                await self._tracker.move(row, OrderEvent.CANCELED, "its position has ended, and it rests no more")

    # ------------------------------------------------------------------------------------------------------ one look

    async def _keep(self, first: Position, at_venue: Decimal, price: Decimal | None) -> bool:
        for _ in range(_ROUNDS):
            position = self._book.position(first.id)
            if position is None or not (position.is_open or at_venue):
                await self._clear_of(first)
                return True
            resting = await self._resting(position)
            wanted = self._wanted(position, at_venue, price, resting)
            exact = [name for name, each in resting.items() if self._is_exact(name, each, wanted)]
            await self._measure(position, resting, wanted)
            if exact:
                await self._settled(position, wanted, exact[0], resting)
                return True
            if self._is_hopeless(position) or await self._waits(position, resting, wanted):
                break
            if not await self._change(position, resting, wanted):
                break
        await self._flatten_if_late(first.id, at_venue)
        return False

    def _wanted(
        self,
        position: Position,
        at_venue: Decimal,
        price: Decimal | None,
        resting: Mapping[ClientOrderId, VenueOrder],
    ) -> _Wanted:
        """All of it, also what is not told yet; at the best of what was decided and what rests: a stop may have been
        moved before a crash, and is never taken back."""
        sign = position.direction.sign
        prices = [position.stop_price, *([] if price is None else [price])]
        prices += [each.price for name, each in resting.items() if each.price is not None and self._is_sound(name)]
        best = max(prices, key=lambda each: sign * each)
        return _Wanted(max(position.quantity, at_venue), best, position.plan.tick)

    async def _settled(
        self, position: Position, wanted: _Wanted, name: ClientOrderId, resting: Mapping[ClientOrderId, VenueOrder]
    ) -> None:
        """The right stop was read back: remember where it is, and take the others away."""
        if abs(wanted.price - position.stop_price) >= wanted.tick or position.stop_order_id != name:
            await self._tracker.change(position.id, lambda now: _with_stop(now, wanted.price, name))
        for other in resting:
            if other != name:
                await self._cancel(position.broker_id, other)
        for row in self._book.orders_of(position.id, OrderRole.STOP):
            if row.state is OrderState.CANCEL_PENDING and row.client_order_id not in resting:
                await self._is_coming(row, wanted)  # the answer to its cancel was lost: ask what became of it

    async def _clear_of(self, position: Position) -> None:
        """Flat by our record: once the venue says so too, its stops are cancelled."""
        self._unprotected.end(position.entry_order_id)
        broker = self._broker_of(position.broker_id)
        if broker.capabilities.stop_follows_position:
            return
        opened = {each.entry_order_id: each.quantity for each in await broker.positions()}
        if position.entry_order_id not in opened:
            await self.clear(position.broker_id, list((await self._resting(position)).values()), opened)

    async def _resting(self, position: Position) -> dict[ClientOrderId, VenueOrder]:
        """What the venue says rests for it; the fate of ours that nobody knew is thereby known."""
        found = {}
        for each in await self._broker_of(position.broker_id).protective_orders():
            name = each.client_order_id
            if name is None or not name.startswith(ORDER_ID_PREFIX) or entry_of(name) != position.entry_order_id:
                continue
            found[name] = each
            row = self._book.order(name)
            if row is not None and is_unresolved(row) and not self._engine.is_in_flight(name):
                await self._tracker.move(row, OrderEvent.ACK, "found resting", venue_order_id=each.venue_order_id)
        return found

    def _is_sound(self, name: ClientOrderId) -> bool:
        """It is one that our record counts on."""
        row = self._book.order(name)
        return row is not None and row.state is not OrderState.CANCEL_PENDING

    def _is_exact(self, name: ClientOrderId, stop: VenueOrder, wanted: _Wanted) -> bool:
        return self._is_sound(name) and wanted.is_met_by(stop.quantity - stop.filled_quantity, stop.price)

    async def _measure(self, position: Position, resting: Mapping[ClientOrderId, VenueOrder], wanted: _Wanted) -> None:
        covered = sum((each.quantity - each.filled_quantity for each in resting.values()), ZERO)
        if covered < wanted.quantity:
            self._unprotected.begin(position)
            return
        gap_s = self._unprotected.end(position.entry_order_id)
        if gap_s is not None:
            facts = {"position": position.id, "symbol": position.symbol, "gap_s": gap_s}
            await self._record("protection", position.task_id, {"what": "stop rests again", **facts})

    def _was_covered(self, position: Position) -> bool:
        """Judged by our record: stops that were taken are enough for what is open now."""
        rows = self._book.orders_of(position.id, OrderRole.STOP)
        return (
            sum((each.quantity - each.filled_quantity for each in rows if is_acknowledged(each)), ZERO)
            >= position.quantity
        )

    async def _waits(self, position: Position, resting: Mapping[ClientOrderId, VenueOrder], wanted: _Wanted) -> bool:
        """Something that is not shown yet will do: it was just taken, or it has fills that are not told yet."""
        waits = False
        for row in self._book.orders_of(position.id, OrderRole.STOP):
            if row.client_order_id in resting or self._engine.is_in_flight(row.client_order_id):
                continue
            waits = await self._is_coming(row, wanted) or waits
        return waits

    async def _is_coming(self, row: Order, wanted: _Wanted) -> bool:
        if row.state is OrderState.INTENT or (is_unresolved(row) and is_attached(row)):
            return False
        young = self._clock.now() - row.updated_at < SETTLING
        if row.state in _CANCELLABLE and young:
            return wanted.is_met_by(row.quantity - row.filled_quantity, row.price)
        found = await self._broker_of(row.broker_id).find_order(row.client_order_id)
        if found is not None and found.filled_quantity > row.filled_quantity:
            return True
        if found is not None and not found.state.is_terminal:
            return wanted.is_met_by(found.quantity - found.filled_quantity, found.price)
        if is_acknowledged(row):
            await self._tracker.move(row, OrderEvent.CANCELED, "gone at the venue")
        elif found is not None:
            event = OrderEvent.REJECT if found.state is OrderState.REJECTED else OrderEvent.CANCELED
            await self._tracker.move(row, event, f"found {found.state.value} at the venue")
        return False  # of unknown fate and not found by a clean question: another attempt may follow (2.2 rule 4)

    # ------------------------------------------------------------------------------------------------------- changes

    async def _change(self, position: Position, resting: Mapping[ClientOrderId, VenueOrder], wanted: _Wanted) -> bool:
        """Bring what rests nearer to what is wanted; True if it is worth reading back at once."""
        able = self._broker_of(position.broker_id).capabilities
        ours = [each for each in self._book.orders_of(position.id, OrderRole.STOP) if each.state in _CANCELLABLE]
        if not resting:
            facts = {"what": "position without a stop", "position": position.id, "symbol": position.symbol}
            await self._record("protection" if self._is_young(position) else "incident", position.task_id, facts)
        if able.amends_stop and not able.stop_follows_position and ours:
            return await self._resize(position, ours[-1], wanted)
        if able.stop_reserves or able.stop_follows_position:
            for name in resting:
                await self._cancel(position.broker_id, name)
        return await self._place(position, wanted)

    def _is_young(self, position: Position) -> bool:
        """No stop was ever asked for: it comes after the first fill, and its absence is no incident."""
        attached = self._broker_of(position.broker_id).capabilities.attached_stop
        return not attached and is_attached_id(position.stop_order_id)

    async def _resize(self, position: Position, stop: Order, wanted: _Wanted) -> bool:
        try:
            refusal = await self._engine.resize_stop(stop, wanted.quantity, wanted.price)
        except OrderFateUnknown:
            return False  # what rests is read back with the next look
        if refusal:
            self._refused(position, refusal)
        return not refusal

    async def _place(self, position: Position, wanted: _Wanted) -> bool:
        row = await self._engine.rest_stop(position, wanted.quantity, wanted.price)
        if row.state is OrderState.REJECTED:
            said = (await self._store.order_events(row.client_order_id))[-1][3]
            self._refused(position, said)
            return not self._is_hopeless(position)
        return is_acknowledged(row)

    def _refused(self, position: Position, said: str) -> None:
        """A definite no. It matters only while something is unprotected: else the old stop still rests."""
        if said == WOULD_TRIGGER:
            self._beyond.add(position.id)
        if self._unprotected.is_unprotected(position.entry_order_id):
            gap = self._unprotected.begin(position)
            gap.refused += 1
            gap.flatten = gap.flatten or said == WOULD_TRIGGER or gap.refused > _REFUSALS_ALLOWED

    def _is_hopeless(self, position: Position) -> bool:
        return self._unprotected.is_unprotected(position.entry_order_id) and self._unprotected.begin(position).flatten

    async def _cancel(self, broker_id: BrokerId, name: ClientOrderId) -> None:
        """Take one surplus stop away; what it has filled meanwhile is applied first."""
        row = self._book.order(name)
        if row is not None and row.state in _CANCELLABLE:
            await self._tracker.move(row, OrderEvent.CANCEL_SENT, "surplus")
        ack = await self._broker_of(broker_id).cancel(name)
        await self._tracker.collect(broker_id)
        row = self._book.order(name)
        if row is not None and ack.state in (OrderState.CANCELED, OrderState.EXPIRED):
            await self._tracker.move(row, OrderEvent.CANCELED, "surplus")

    # ---------------------------------------------------------------------------------------------- protect or flatten

    async def _flatten_if_late(self, position_id: PositionId, at_venue: Decimal) -> None:
        position = self._book.position(position_id)
        if position is None or not (position.is_open or at_venue):
            return
        if not self._unprotected.is_unprotected(position.entry_order_id):
            return
        gap = self._unprotected.begin(position)
        gap_s = self._unprotected.length_s(gap)
        if not gap.flatten and gap_s < self._protect_within_s:
            return
        await self._flatten(position, max(position.quantity, at_venue), gap, gap_s)

    async def _flatten(self, position: Position, quantity: Decimal, gap: Gap, gap_s: float) -> None:
        """Close it. The engine spaces the attempts out; whoever looks after gaps calls again until it is flat."""
        self._flattening.add(position.id)
        try:
            if self._broker_of(position.broker_id).capabilities.stop_reserves:
                for stop in self._book.orders_of(position.id, OrderRole.STOP):
                    await self._cancel(position.broker_id, stop.client_order_id)  # what it locks could not be sold
            order = await self._engine.reduce(position, quantity, None, UNPROTECTED)
        finally:
            self._flattening.discard(position.id)
        if order.client_order_id != gap.closing:
            gap.closing = order.client_order_id
            why = "its stop was refused" if gap.flatten else f"no stop for {gap_s:.1f} s"
            facts = {"what": "unprotected position is closed", "position": position.id, "symbol": position.symbol}
            await self._record("incident", position.task_id, {**facts, "why": why, "order": order.client_order_id})

    def _lock(self, position_id: PositionId) -> asyncio.Lock:
        return self._keeping.setdefault(position_id, asyncio.Lock())


def _with_stop(position: Position, price: Decimal, name: ClientOrderId) -> Position:
    better = position.direction.sign * (price - position.stop_price) > 0
    return replace(position, stop_order_id=name, stop_price=price if better else position.stop_price)
