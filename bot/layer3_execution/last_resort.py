"""Protect or flatten: a position that has no stop for all of it in time is closed, for ever tried again."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from decimal import Decimal
from functools import partial
from typing import Final

from bot.errors import BotError, BrokerError
from bot.instruments import BrokerId
from bot.layer1_data.broker_interface import BrokerInterface, VenueOrder
from bot.layer3_execution.aside import Aside
from bot.layer3_execution.book import Book
from bot.layer3_execution.engine import ExecutionEngine, is_acknowledged
from bot.layer3_execution.order_tracker import Recorder
from bot.layer3_execution.positions import tradable
from bot.layer3_execution.resting import RestingOrders, left_of
from bot.layer3_execution.unprotected import Gap, UnprotectedTime
from bot.models import ClientOrderId, Order, OrderKind, OrderRole, Position, PositionId

UNPROTECTED: Final = "UNPROTECTED"


class LastResort:
    """Closes what could not be protected. Called with each look, as long as something is left."""

    def __init__(
        self,
        *,
        book: Book,
        engine: ExecutionEngine,
        resting: RestingOrders,
        broker_of: Callable[[BrokerId], BrokerInterface],
        record: Recorder,
        unprotected: UnprotectedTime,
        aside: Aside,
        protect_within_s: float,
    ) -> None:
        """`record` must not fail."""
        self._book = book
        self._engine = engine
        self._resting = resting
        self._broker_of = broker_of
        self._record = record
        self._unprotected = unprotected
        self._aside = aside
        self._protect_within_s = protect_within_s
        self._closing: set[PositionId] = set()

    def is_closing(self, position_id: PositionId) -> bool:
        """At this moment: whoever wants room for that has it made here."""
        return position_id in self._closing

    async def close_if_late(self, position_id: PositionId, at_venue: Decimal) -> None:
        """Close a position whose gap has lasted too long or is hopeless; `at_venue` is what the venue says is open."""
        position = self._book.position(position_id)
        if position is None or not (position.is_open or at_venue):
            return
        if not self._unprotected.is_unprotected(position.entry_order_id):
            return
        gap = self._unprotected.begin(position)
        gap_s = self._unprotected.length_s(gap)
        if gap.flatten or gap_s >= self._protect_within_s:
            await self._close(position, at_venue, gap, gap_s)

    async def _close(self, position: Position, at_venue: Decimal, gap: Gap, gap_s: float) -> None:
        """The engine spaces the attempts out. A stop whose answer was lost may rest by now: then nothing is closed."""
        stops = await self._stops_of(position)
        if not gap.flatten and left_of(stops) >= max(position.quantity, at_venue):
            return
        self._take_back_entries(position)
        self._closing.add(position.id)
        try:
            if self._broker_of(position.broker_id).capabilities.stop_reserves:
                await self._unlock(position, stops)
            now = self._book.position(position.id)
            if now is None:
                return  # what was taken away had closed it
            told = now.first_quantity - position.first_quantity  # by fills that were read since the venue said it
            untold = max(at_venue - position.quantity - told, Decimal(0))
            gap.given_up = True
            order = await self._engine.reduce(now, tradable(now.quantity + untold, now), None, UNPROTECTED)
        finally:
            self._closing.discard(position.id)
        if order.client_order_id != gap.closing:
            gap.closing = order.client_order_id
            why = "its stop was refused" if gap.flatten else f"no stop for {gap_s:.1f} s"
            facts = {"what": "unprotected position is closed", "position": position.id, "symbol": position.symbol}
            await self._record("incident", position.task_id, {**facts, "why": why, "order": order.client_order_id})

    def _take_back_entries(self, position: Position) -> None:
        """What still works of them makes it larger while it is closed. The close waits for no answer about that; while
        something works, each look asks again."""
        for entry in self._book.orders_of(position.id, OrderRole.ENTRY):
            if entry.filled_quantity and is_acknowledged(entry):
                self._aside.once(partial(self._take_back, entry), name=f"take back {entry.client_order_id}")

    async def _take_back(self, entry: Order) -> None:
        with suppress(BotError):
            await self._resting.cancel(entry.broker_id, entry.client_order_id, UNPROTECTED)

    async def _stops_of(self, position: Position) -> Mapping[ClientOrderId, VenueOrder]:
        """What rests for it; nothing that could be relied on where the venue does not say."""
        with suppress(BrokerError):
            return await self._resting.stops_of(position)
        return {}

    async def _unlock(self, position: Position, stops: Mapping[ClientOrderId, VenueOrder]) -> None:
        """Take away what locks it, all at once. Silence stops nothing: a close that comes too early is refused."""
        rows = self._book.orders_of(position.id)
        waiting = [each for each in rows if each.role is OrderRole.EXIT and each.kind is OrderKind.LIMIT]
        known = [each for each in rows if each.role is OrderRole.STOP and is_acknowledged(each)]  # lists are cut short
        names = dict.fromkeys([*(each.client_order_id for each in (*waiting, *known)), *stops])
        cancels = (self._resting.cancel(position.broker_id, name, UNPROTECTED) for name in names)
        for failed in await asyncio.gather(*cancels, return_exceptions=True):
            if failed is not None and not isinstance(failed, BrokerError):
                raise failed
