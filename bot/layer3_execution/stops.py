"""Protective stops as large as what is open, where the venue does not see to that itself: protect or flatten.

A stop counts only once it was read back among the venue's resting stops. It is sized after each fill; surplus ones are
cancelled, the last ones only when the venue itself says that nothing is open. What is not protected in time is closed.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Final

from loguru import logger

from bot.errors import BrokerError, BrokerUnavailable, OrderFateUnknown
from bot.instruments import BrokerId
from bot.interfaces import Clock, OrderStore
from bot.layer1_data.broker_interface import WOULD_TRIGGER, BrokerInterface, VenueOrder
from bot.layer3_execution.aside import Aside, side_by_side
from bot.layer3_execution.book import Book
from bot.layer3_execution.engine import ExecutionEngine, is_acknowledged, to_the_end
from bot.layer3_execution.exits import ExitState, MoveStop, called
from bot.layer3_execution.last_resort import LastResort
from bot.layer3_execution.legs import is_attached_id
from bot.layer3_execution.missing import MissingPositions
from bot.layer3_execution.order_tracker import OrderTracker, Recorder
from bot.layer3_execution.pauses import Pauses
from bot.layer3_execution.resting import ANSWERED_WITHIN_S, CANCELLABLE, RestingOrders, is_stop_for, left_of
from bot.layer3_execution.unprotected import UnprotectedTime
from bot.models import ORDER_ID_PREFIX, ClientOrderId, Order, OrderRole, OrderState, Position, PositionId

ZERO: Final = Decimal(0)
_REFUSALS_ALLOWED: Final = 1
_ROUNDS: Final = 4  # change, read back, and once more of both

Resting = Mapping[ClientOrderId, VenueOrder]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One stop for `quantity` at `price`; `open_quantity` has beside it what working exits lock.

    `reason` is what brought it there, and what a close is called that takes its place.
    """

    quantity: Decimal
    price: Decimal
    reason: str
    tick: Decimal
    open_quantity: Decimal

    def is_at(self, price: Decimal | None) -> bool:
        return price is not None and abs(price - self.price) < self.tick

    def is_met_by(self, quantity: Decimal, price: Decimal | None) -> bool:
        return quantity == self.quantity and self.is_at(price)


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
        missing: MissingPositions,
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
        self._missing = missing
        self._resting = RestingOrders(book=book, engine=engine, tracker=tracker, broker_of=broker_of, clock=clock)
        self._last_resort = LastResort(
            book=book,
            engine=engine,
            resting=self._resting,
            broker_of=broker_of,
            record=record,
            unprotected=unprotected,
            protect_within_s=protect_within_s,
        )
        self._pauses = Pauses(clock)
        self._aside = Aside()
        self._keeping: dict[PositionId, asyncio.Lock] = {}
        self._again: set[PositionId] = set()
        self._beyond: dict[PositionId, str] = {}

    async def stop(self) -> None:
        """The daemon ends: what is being sent is sent to its end."""
        await self._aside.stop()

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

    async def keep(self, position: Position, *, at_venue: Decimal = ZERO, move: MoveStop | None = None) -> bool:
        """Make one stop rest for all of `position`, and no other; True once that was read back.

        `at_venue` is what the venue says is open, `move` where the stop should go if not where it is. Raises
        BrokerError where the venue does not answer; its position is closed if that lasts too long.
        """
        async with self._lock(position.id):
            while True:
                self._again.discard(position.id)
                try:
                    rests = await self._keep(position, at_venue, move)
                except BrokerError:
                    await self._last_resort.close_if_late(position.id, at_venue)
                    raise
                if position.id not in self._again:
                    break
                at_venue = ZERO  # fills came meanwhile
        if self._book.position(position.id) is None:
            self._keeping.pop(position.id, None)
            self._beyond.pop(position.id, None)
            self._pauses.succeeded(position.id)
        return rests

    async def make_room(self, position: Position, quantity: Decimal) -> None:
        """Where stops lock what they protect: leave one for what stays, so that `quantity` can be sold."""
        if self._last_resort.is_closing(position.id):
            return
        async with self._lock(position.id):
            await self._resting.cancel_all(position.broker_id, await self._resting.stops_of(position))
            now = self._book.position(position.id)
            left = ZERO if now is None else self._missing.open_of(now) - quantity
            if now is not None and left > ZERO:
                await self._engine.rest_stop(now, left, now.stop_price, ExitState.of(now).stop_reason)
            if now is not None:
                self._unprotected.begin(now)

    async def amend(self, position: Position, move: MoveStop) -> bool:
        """Where the stop follows its position: put it there; False if the venue has not agreed to that (yet)."""
        if self._pauses.is_early(position.id):
            return False
        try:
            refusal = await self._engine.move_stop(position, move.price)
        except (BrokerUnavailable, OrderFateUnknown) as error:
            refusal = str(error)
        if refusal:
            self._refused(position, refusal, move.reason)
        else:
            self._pauses.succeeded(position.id)
        return not refusal

    def is_keeping(self, position_id: PositionId) -> bool:
        """Its stop is being looked after at this moment, perhaps by the caller himself."""
        return self._lock(position_id).locked()

    def is_keeping_only_others(self, position_id: PositionId) -> bool:
        """Its stop is left alone at this moment, and that of another position is not."""
        return not self.is_keeping(position_id) and any(each.locked() for each in self._keeping.values())

    def was_beyond(self, position_id: PositionId) -> str:
        """Its stop was refused because the price is beyond it, while another one rests: what it would have been called.

        Told once; empty if it was not.
        """
        return self._beyond.pop(position_id, "")

    async def clear(
        self, broker_id: BrokerId, stops: Sequence[VenueOrder], entries: Mapping[ClientOrderId, Decimal]
    ) -> None:
        """Cancel stops that protect nothing: neither we nor the venue (`entries`) have anything open there."""
        opened = {each.entry_order_id for each in self._book.positions() if each.is_open} | entries.keys()
        names = [each.client_order_id for each in stops if each.client_order_id is not None]
        ours = [each for each in names if each.startswith(ORDER_ID_PREFIX) and not is_stop_for(each, *opened)]
        await self._resting.cancel_all(broker_id, ours)
        await side_by_side([self._resting.take_back(row) for row in self._left_behind(broker_id, entries, names)])

    def _left_behind(
        self, broker_id: BrokerId, entries: Collection[ClientOrderId], listed: Collection[ClientOrderId]
    ) -> list[Order]:
        """Stops of what has ended that our record knows, and no list shows."""
        rows = [each for each in self._book.orders() if each.role is OrderRole.STOP and each.broker_id == broker_id]
        return [
            each
            for each in rows
            if self._book.position(each.position_id) is None
            and each.client_order_id not in listed
            and not is_stop_for(each.client_order_id, *entries)
            and is_acknowledged(each)
            and not self._engine.is_in_flight(each.client_order_id)
        ]

    async def clear_of(self, position: Position) -> None:
        """Nothing is left of it: once the venue says so too, its stops are cancelled."""
        self._unprotected.end(position.entry_order_id)
        broker = self._broker_of(position.broker_id)
        if broker.capabilities.stop_follows_position:
            return
        opened = {each.entry_order_id: each.quantity for each in await broker.positions()}
        if position.entry_order_id not in opened:
            await self._resting.cancel_all(position.broker_id, await self._resting.stops_of(position))

    # ------------------------------------------------------------------------------------------------------ one look

    async def _keep(self, first: Position, at_venue: Decimal, move: MoveStop | None) -> bool:
        for _ in range(_ROUNDS):
            position = self._book.position(first.id)
            if position is None or not (position.is_open or at_venue):
                await self.clear_of(first)
                return True
            sold = await self._resting.being_sold(position)
            resting = await self._resting.stops_of(position)
            position = self._book.position(first.id)
            if position is None:
                continue  # closed by what was just read
            if first.id in self._again:
                at_venue = ZERO  # fills came since the venue said so
            wanted = self._wanted(position, max(self._missing.open_of(position), at_venue), sold, move, resting)
            await self._measure(position, resting, wanted)
            await self._drop_leftovers(position, resting, wanted)
            exact = next((name for name, each in resting.items() if self._is_exact(name, each, wanted)), None)
            if exact is not None:
                await self._settled(position, wanted, exact, resting)
            if exact is not None and not sold:
                return True
            if exact is not None or wanted.quantity <= ZERO or await self._has_to_wait(position, resting, wanted):
                break
            if not await to_the_end(self._change(position, resting, wanted)):  # half of it could leave none
                break
        await self._last_resort.close_if_late(first.id, at_venue)
        return False

    def _wanted(
        self, position: Position, open_quantity: Decimal, sold: Decimal, move: MoveStop | None, resting: Resting
    ) -> _Wanted:
        """All of it, also what is not told yet; at the best of what was decided and what rests: a stop may have been
        moved before a crash, and is never taken back."""
        sign = position.direction.sign
        places = [MoveStop(position.stop_price, ExitState.of(position).stop_reason), *([] if move is None else [move])]
        for name, each in resting.items():
            row = self._book.order(name)
            if row is not None and each.price is not None and self._resting.is_sound(name):
                places.append(MoveStop(each.price, called(position, row)))
        best = max(places, key=lambda each: sign * each.price)
        return _Wanted(open_quantity - sold, best.price, best.reason, position.plan.tick, open_quantity)

    async def _drop_leftovers(
        self, position: Position, resting: dict[ClientOrderId, VenueOrder], wanted: _Wanted
    ) -> None:
        """What is not needed goes before anything is moved, because it could sell too much: all but one that counts and
        is enough at the right price; else those that do not count, where the others are enough together."""
        counting = {name: each for name, each in resting.items() if self._resting.is_sound(name)}
        enough = [
            name
            for name, each in counting.items()
            if left_of({name: each}) >= wanted.open_quantity and wanted.is_at(each.price)
        ]
        if enough:
            kept = [min(enough, key=lambda name: left_of({name: resting[name]}))]
        else:
            kept = list(counting if left_of(counting) >= wanted.open_quantity else resting)
        dropped = [each for each in resting if each not in kept]
        await self._resting.cancel_all(position.broker_id, dropped)
        for name in dropped:
            del resting[name]

    async def _settled(self, position: Position, wanted: _Wanted, name: ClientOrderId, resting: Resting) -> None:
        """The right stop was read back: remember where it is, and take the others away."""
        self._pauses.succeeded(position.id)
        if abs(wanted.price - position.stop_price) >= wanted.tick or position.stop_order_id != name:
            await self._tracker.change(position.id, lambda now: _with_stop(now, wanted.price, name))
        await self._resting.cancel_all(position.broker_id, [other for other in resting if other != name])
        for row in self._book.orders_of(position.id, OrderRole.STOP):
            if row.client_order_id not in resting and is_acknowledged(row):
                await self._resting.take_back(row)

    def _is_exact(self, name: ClientOrderId, stop: VenueOrder, wanted: _Wanted) -> bool:
        return self._resting.is_sound(name) and wanted.is_met_by(stop.quantity - stop.filled_quantity, stop.price)

    async def _measure(self, position: Position, resting: Resting, wanted: _Wanted) -> None:
        if left_of(resting) < wanted.open_quantity:
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

    async def _has_to_wait(self, position: Position, resting: Resting, wanted: _Wanted) -> bool:
        """No stop is asked for now: it is closed instead, one is coming, or the venue refused just now."""
        if self._unprotected.is_unprotected(position.entry_order_id):
            if self._is_hopeless(position):
                return True
        elif self._pauses.is_early(position.id) and left_of(resting) == wanted.open_quantity:
            return True  # the old one protects all of it, and no more
        waits = False
        for row in self._book.orders_of(position.id, OrderRole.STOP):
            if row.client_order_id in resting:
                continue
            if self._engine.is_in_flight(row.client_order_id):
                waits = waits or not self._resting.is_overdue(row)
            else:
                waits = await self._resting.is_coming(row, wanted.is_met_by) or waits
        return waits

    # ------------------------------------------------------------------------------------------------------- changes

    async def _change(self, position: Position, resting: Resting, wanted: _Wanted) -> bool:
        """Bring what rests nearer to what is wanted; True if it is worth reading back at once."""
        able = self._broker_of(position.broker_id).capabilities
        ours = [each for each in self._book.orders_of(position.id, OrderRole.STOP) if each.state in CANCELLABLE]
        if not resting:
            facts = {"what": "position without a stop", "position": position.id, "symbol": position.symbol}
            await self._record("protection" if self._is_young(position) else "incident", position.task_id, facts)
        if able.amends_stop and not able.stop_follows_position and ours:
            return await self._resize(position, ours[-1], wanted)
        if able.stop_reserves or able.stop_follows_position:
            self._unprotected.begin(position)  # the timer runs across the gap that the replacement makes
            await self._resting.cancel_all(position.broker_id, resting)
        return await self._place(position, wanted)

    def _is_young(self, position: Position) -> bool:
        """No stop was ever asked for: it comes after the first fill, and its absence is no incident."""
        attached = self._broker_of(position.broker_id).capabilities.attached_stop
        return not attached and is_attached_id(position.stop_order_id)

    async def _resize(self, position: Position, stop: Order, wanted: _Wanted) -> bool:
        try:
            refusal = await self._engine.resize_stop(stop, wanted.quantity, wanted.price)
        except (BrokerUnavailable, OrderFateUnknown):
            self._pauses.failed(position.id)
            return False  # what rests is read back with the next look
        if refusal:
            self._refused(position, refusal, wanted.reason)
        return not refusal

    async def _place(self, position: Position, wanted: _Wanted) -> bool:
        """Ask for a stop. What gets no answer goes on aside: the next look reads back whether it rests, or asks for
        another one; where stops lock what they sell, a second one could only be refused."""
        placing = self._aside.begin(self._placed(position, wanted), name=f"stop of {position.id}")
        locks = self._broker_of(position.broker_id).capabilities.stop_reserves
        await asyncio.wait((placing,), timeout=None if locks else ANSWERED_WITHIN_S)
        if placing.done():
            return placing.result()
        self._pauses.failed(position.id)
        placing.add_done_callback(_told_if_failed)
        return False

    async def _placed(self, position: Position, wanted: _Wanted) -> bool:
        row = await self._engine.rest_stop(position, wanted.quantity, wanted.price, wanted.reason)
        if row.state is OrderState.REJECTED:
            said = (await self._store.order_events(row.client_order_id))[-1][3]
            self._refused(position, said, wanted.reason)
            return self._unprotected.is_unprotected(position.entry_order_id) and not self._is_hopeless(position)
        if not is_acknowledged(row):
            self._pauses.failed(position.id)
        return is_acknowledged(row)

    def _refused(self, position: Position, said: str, reason: str) -> None:
        """A definite no. Without a stop the position is closed for it; while the old one rests, pauses grow instead."""
        if self._unprotected.is_unprotected(position.entry_order_id):
            gap = self._unprotected.begin(position)
            gap.refused += 1
            gap.flatten = gap.flatten or said == WOULD_TRIGGER or gap.refused > _REFUSALS_ALLOWED
            return
        self._pauses.failed(position.id)
        if said == WOULD_TRIGGER:
            self._beyond[position.id] = reason

    def _is_hopeless(self, position: Position) -> bool:
        return self._unprotected.is_unprotected(position.entry_order_id) and self._unprotected.begin(position).flatten

    def _lock(self, position_id: PositionId) -> asyncio.Lock:
        return self._keeping.setdefault(position_id, asyncio.Lock())


def _told_if_failed(placing: "asyncio.Task[bool]") -> None:
    if not placing.cancelled() and (error := placing.exception()) is not None:
        logger.opt(exception=error).error("{} was asked for, and failed after nobody waited for it", placing.get_name())


def _with_stop(position: Position, price: Decimal, name: ClientOrderId) -> Position:
    better = position.direction.sign * (price - position.stop_price) > 0
    return replace(position, stop_order_id=name, stop_price=price if better else position.stop_price)
