"""Asks a venue for a stop, or for a change of one; knows what it refused, and when to ask again."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from loguru import logger

from bot.errors import BrokerUnavailable, IllegalTransition, OrderFateUnknown
from bot.instruments import BrokerId
from bot.interfaces import Clock, OrderStore
from bot.layer1_data.broker_interface import WOULD_TRIGGER, BrokerInterface, VenueOrder
from bot.layer3_execution.aside import Aside
from bot.layer3_execution.book import Book
from bot.layer3_execution.engine import ExecutionEngine, is_acknowledged
from bot.layer3_execution.exits import MoveStop
from bot.layer3_execution.legs import is_attached_id
from bot.layer3_execution.order_tracker import Recorder
from bot.layer3_execution.pauses import Pauses
from bot.layer3_execution.resting import ANSWERED_WITHIN_S, CANCELLABLE, RestingOrders, left_of
from bot.layer3_execution.unprotected import UnprotectedTime
from bot.models import ClientOrderId, Order, OrderRole, OrderState, Position, PositionId

_REFUSALS_ALLOWED: Final = 1

Resting = Mapping[ClientOrderId, VenueOrder]


@dataclass(frozen=True, slots=True)
class WantedStop:
    """One stop for `quantity` at `price`; `open_quantity` has beside it what working exits lock.

    `reason` is what brought it there, and what a close is called that takes its place.
    """

    quantity: Decimal
    price: Decimal
    reason: str
    tick: Decimal
    open_quantity: Decimal

    def is_at(self, price: Decimal | None) -> bool:
        """A stop at `price` is where this one should be."""
        return price is not None and abs(price - self.price) < self.tick

    def is_met_by(self, quantity: Decimal, price: Decimal | None) -> bool:
        """Such a stop is this one."""
        return quantity == self.quantity and self.is_at(price)


class StopRequests:
    """One position at a time, and by whoever keeps its stop; what is refused too often is closed instead."""

    def __init__(
        self,
        *,
        store: OrderStore,
        book: Book,
        engine: ExecutionEngine,
        broker_of: Callable[[BrokerId], BrokerInterface],
        clock: Clock,
        record: Recorder,
        unprotected: UnprotectedTime,
        resting: RestingOrders,
    ) -> None:
        """`record` must not fail."""
        self._store = store
        self._book = book
        self._engine = engine
        self._broker_of = broker_of
        self._record = record
        self._unprotected = unprotected
        self._resting = resting
        self._pauses = Pauses(clock)
        self._beyond: dict[PositionId, str] = {}
        self._aside = Aside()
        self._given_up: set[asyncio.Task[bool]] = set()

    async def stop(self) -> None:
        """The daemon ends: what is being sent is sent to its end."""
        await self._aside.stop()

    def succeeded(self, position_id: PositionId) -> None:
        """Its stop is where it should be: nothing is asked for again."""
        self._pauses.succeeded(position_id)

    def forget(self, position_id: PositionId) -> None:
        """It has ended, or its stop was moved at last: no old word counts any more."""
        self._pauses.succeeded(position_id)
        self._beyond.pop(position_id, None)

    def was_beyond(self, position_id: PositionId) -> str:
        """Its stop was refused because the price is beyond it, while another one rests: what it would have been called.

        Told once; empty if it was not.
        """
        return self._beyond.pop(position_id, "")

    def is_hopeless(self, position: Position) -> bool:
        """No stop is asked for any more: it is closed instead."""
        return self._unprotected.is_unprotected(position.entry_order_id) and self._unprotected.begin(position).flatten

    async def has_to_wait(self, position: Position, resting: Resting, wanted: WantedStop) -> bool:
        """No stop is asked for now: it is closed instead, one is coming, or the venue refused just now."""
        if self._unprotected.is_unprotected(position.entry_order_id):
            if self.is_hopeless(position):
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

    async def change(self, position: Position, resting: Resting, wanted: WantedStop) -> bool:
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

    async def amend(self, position: Position, move: MoveStop) -> bool:
        """Where the stop follows its position: put it there; False if the venue has not agreed to that (yet)."""
        if self._pauses.is_early(position.id):
            return False
        try:
            refusal = await self._engine.move_stop(position, move.price)
        except (BrokerUnavailable, OrderFateUnknown):
            self._pauses.failed(position.id)
            return False  # no answer is no refusal; where it rests is read back with the next look
        if refusal:
            self._refused(position, refusal, move.reason)
        else:
            self.forget(position.id)
        return not refusal

    def _is_young(self, position: Position) -> bool:
        """No stop was ever asked for: it comes after the first fill, and its absence is no incident."""
        attached = self._broker_of(position.broker_id).capabilities.attached_stop
        return not attached and is_attached_id(position.stop_order_id)

    async def _resize(self, position: Position, stop: Order, wanted: WantedStop) -> bool:
        try:
            refusal = await self._engine.resize_stop(stop, wanted.quantity, wanted.price)
        except (BrokerUnavailable, OrderFateUnknown):
            self._pauses.failed(position.id)
            return False  # what rests is read back with the next look
        if refusal:
            self._refused(position, refusal, wanted.reason)
        return not refusal

    async def _place(self, position: Position, wanted: WantedStop) -> bool:
        """Ask for a stop. What gets no answer goes on aside: the next look reads back whether it rests, or asks for
        another one. Not where one more could only be refused: stops that lock what they sell, one stop a position."""
        able = self._broker_of(position.broker_id).capabilities
        patience_s = None if able.stop_reserves or able.stop_follows_position else ANSWERED_WITHIN_S
        placing = self._aside.begin(self._placed(position, wanted), name=f"stop of {position.id}")
        await asyncio.wait((placing,), timeout=patience_s)
        if placing.done():
            return placing.result()
        self._pauses.failed(position.id)
        self._given_up.add(placing)
        placing.add_done_callback(self._answered_late)
        return False

    async def _placed(self, position: Position, wanted: WantedStop) -> bool:
        row = await self._engine.rest_stop(position, wanted.quantity, wanted.price, wanted.reason)
        if asyncio.current_task() in self._given_up:
            return False  # another one was asked for: what is said of this one counts for nothing
        if row.state is OrderState.REJECTED:
            said = (await self._store.order_events(row.client_order_id))[-1][3]
            self._refused(position, said, wanted.reason)
            return self._unprotected.is_unprotected(position.entry_order_id) and not self.is_hopeless(position)
        if not is_acknowledged(row):
            self._pauses.failed(position.id)
        return is_acknowledged(row)

    def _answered_late(self, placing: "asyncio.Task[bool]") -> None:
        self._given_up.discard(placing)
        error = None if placing.cancelled() else placing.exception()
        if isinstance(error, IllegalTransition):
            logger.info("{}: it was taken away before its answer came", placing.get_name())
        elif error is not None:
            logger.opt(exception=error).error("{} failed when nobody waited for it", placing.get_name())

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
