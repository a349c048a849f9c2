"""Protective stops as large as what is open, where the venue does not see to that itself: protect or flatten.

A stop counts only once it was read back among the venue's resting stops. It is sized after each fill; surplus ones are
cancelled, the last ones only when the venue itself says that nothing is open. What is not protected in time is closed.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Final

from bot.errors import BrokerError
from bot.instruments import BrokerId
from bot.interfaces import Clock, OrderStore
from bot.layer1_data.broker_interface import BrokerInterface, VenueOrder
from bot.layer3_execution.aside import Aside, side_by_side
from bot.layer3_execution.book import Book
from bot.layer3_execution.engine import ExecutionEngine, is_acknowledged, to_the_end
from bot.layer3_execution.exits import ExitState, MoveStop, called
from bot.layer3_execution.last_resort import LastResort
from bot.layer3_execution.missing import MissingPositions
from bot.layer3_execution.order_tracker import OrderTracker, Recorder
from bot.layer3_execution.resting import RestingOrders, is_stop_for, left_of
from bot.layer3_execution.stop_requests import Resting, StopRequests, WantedStop
from bot.layer3_execution.unprotected import UnprotectedTime
from bot.models import ORDER_ID_PREFIX, ClientOrderId, Order, OrderRole, Position, PositionId

ZERO: Final = Decimal(0)
_ROUNDS: Final = 4  # change, read back, and once more of both


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
        aside: Aside,
        protect_within_s: float,
    ) -> None:
        """`record` must not fail. After `protect_within_s` without a whole stop a position is closed instead."""
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
            aside=aside,
            protect_within_s=protect_within_s,
        )
        self.requests = StopRequests(
            store=store,
            book=book,
            engine=engine,
            broker_of=broker_of,
            clock=clock,
            record=record,
            unprotected=unprotected,
            resting=self._resting,
        )
        self._keeping: dict[PositionId, asyncio.Lock] = {}
        self._again: set[PositionId] = set()

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
            self.requests.forget(position.id)
        return rests

    async def make_room(self, position: Position, quantity: Decimal) -> None:
        """Where stops lock what they protect: leave one for what stays, so that `quantity` can be sold.

        Those that our record knows and no list shows are cancelled by name: what they have sold is thereby known.
        """
        if self._last_resort.is_closing(position.id):
            return
        async with self._lock(position.id):
            stops = await self._resting.stops_of(position)
            self._unprotected.begin(position)  # from the first cancel on, whatever comes of the rest
            known = [each for each in self._book.orders_of(position.id, OrderRole.STOP) if is_acknowledged(each)]
            names = dict.fromkeys([*stops, *(each.client_order_id for each in known)])
            await self._resting.cancel_all(position.broker_id, names)
            now = self._book.position(position.id)
            left = ZERO if now is None else self._missing.open_of(now) - quantity
            if now is not None and left > ZERO:
                await self._engine.rest_stop(now, left, now.stop_price, ExitState.of(now).stop_reason)

    def is_keeping(self, position_id: PositionId) -> bool:
        """Its stop is being looked after at this moment, perhaps by the caller himself."""
        return position_id in self._keeping and self._keeping[position_id].locked()

    def keep_only(self, positions: Collection[PositionId]) -> None:
        """Forget what has ended."""
        self._again.intersection_update(positions)
        for ended in [each for each in self._keeping if each not in positions and not self.is_keeping(each)]:
            del self._keeping[ended]

    def is_keeping_only_others(self, position_id: PositionId) -> bool:
        """Its stop is left alone at this moment, and that of another position is not."""
        return not self.is_keeping(position_id) and any(each.locked() for each in self._keeping.values())

    def left_over(
        self, stops: Sequence[VenueOrder], entries: Mapping[ClientOrderId, Decimal]
    ) -> Sequence[ClientOrderId]:
        """Stops of ours that protect nothing: neither we nor the venue (`entries`) have anything open there."""
        opened = {each.entry_order_id for each in self._book.positions() if each.is_open} | entries.keys()
        names = [each.client_order_id for each in stops if each.client_order_id is not None]
        return [each for each in names if each.startswith(ORDER_ID_PREFIX) and not is_stop_for(each, *opened)]

    async def clear(
        self, broker_id: BrokerId, stops: Sequence[VenueOrder], entries: Mapping[ClientOrderId, Decimal]
    ) -> None:
        """Cancel what is left over, and what our record knows and no list shows."""
        await self._resting.cancel_all(broker_id, self.left_over(stops, entries))
        listed = [each.client_order_id for each in stops if each.client_order_id is not None]
        await side_by_side([self._resting.take_back(row) for row in self._left_behind(broker_id, entries, listed)])

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
            if (
                exact is not None
                or wanted.quantity <= ZERO
                or await self.requests.has_to_wait(position, resting, wanted)
            ):
                break
            if not await to_the_end(self.requests.change(position, resting, wanted)):  # half of it could leave none
                break
        await self._last_resort.close_if_late(first.id, at_venue)
        return False

    def _wanted(
        self, position: Position, open_quantity: Decimal, sold: Decimal, move: MoveStop | None, resting: Resting
    ) -> WantedStop:
        """All of it, also what is not told yet; at the best of what was decided and what rests: a stop may have been
        moved before a crash, and is never taken back."""
        sign = position.direction.sign
        places = [MoveStop(position.stop_price, ExitState.of(position).stop_reason), *([] if move is None else [move])]
        for name, each in resting.items():
            row = self._book.order(name)
            if row is not None and each.price is not None and self._resting.is_sound(name):
                places.append(MoveStop(each.price, called(position, row)))
        best = max(places, key=lambda each: sign * each.price)
        return WantedStop(open_quantity - sold, best.price, best.reason, position.plan.tick, open_quantity)

    async def _drop_leftovers(
        self, position: Position, resting: dict[ClientOrderId, VenueOrder], wanted: WantedStop
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

    async def _settled(self, position: Position, wanted: WantedStop, name: ClientOrderId, resting: Resting) -> None:
        """The right stop was read back: remember where it is, and take the others away."""
        self.requests.succeeded(position.id)
        if abs(wanted.price - position.stop_price) >= wanted.tick or position.stop_order_id != name:
            await self._tracker.change(position.id, lambda now: _with_stop(now, wanted.price, name))
        await self._resting.cancel_all(position.broker_id, [other for other in resting if other != name])
        follows = self._broker_of(position.broker_id).capabilities.stop_follows_position
        for row in self._book.orders_of(position.id, OrderRole.STOP):
            if row.client_order_id in resting or not is_acknowledged(row):
                continue
            if follows:  # one stop at most, whatever its name: to cancel another one would take this one away
                await self._resting.is_coming(row, lambda *_: False)
            else:
                await self._resting.take_back(row)

    def _is_exact(self, name: ClientOrderId, stop: VenueOrder, wanted: WantedStop) -> bool:
        return self._resting.is_sound(name) and wanted.is_met_by(stop.quantity - stop.filled_quantity, stop.price)

    async def _measure(self, position: Position, resting: Resting, wanted: WantedStop) -> None:
        if left_of(resting) < wanted.open_quantity:
            self._unprotected.found_gone(position)
        else:
            await self.note_resting(position)

    async def note_resting(self, position: Position) -> None:
        """A stop for all of it was read back."""
        gap = self._unprotected.rests(position)
        if gap is not None:
            facts = {"position": position.id, "symbol": position.symbol, "gap_s": self._unprotected.length_s(gap)}
            unseen = {"unseen_s": gap.unseen_s} if gap.unseen_s else {}
            await self._record("protection", position.task_id, {"what": "stop rests again", **facts, **unseen})

    def _was_covered(self, position: Position) -> bool:
        """Judged by our record: stops that were taken are enough for what is open now."""
        rows = self._book.orders_of(position.id, OrderRole.STOP)
        return (
            sum((each.quantity - each.filled_quantity for each in rows if is_acknowledged(each)), ZERO)
            >= position.quantity
        )

    def _lock(self, position_id: PositionId) -> asyncio.Lock:
        return self._keeping.setdefault(position_id, asyncio.Lock())


def _with_stop(position: Position, price: Decimal, name: ClientOrderId) -> Position:
    better = position.direction.sign * (price - position.stop_price) > 0
    return replace(position, stop_order_id=name, stop_price=price if better else position.stop_price)
