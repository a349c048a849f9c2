"""Protect or flatten: a position that has no stop for all of it in time is closed, for ever tried again."""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Final

from bot.errors import BrokerError
from bot.instruments import BrokerId
from bot.layer1_data.broker_interface import BrokerInterface
from bot.layer3_execution.book import Book
from bot.layer3_execution.engine import ExecutionEngine
from bot.layer3_execution.order_tracker import Recorder
from bot.layer3_execution.resting import RestingOrders
from bot.layer3_execution.unprotected import Gap, UnprotectedTime
from bot.models import ClientOrderId, OrderKind, OrderRole, Position, PositionId

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
        protect_within_s: float,
    ) -> None:
        """`record` must not fail."""
        self._book = book
        self._engine = engine
        self._resting = resting
        self._broker_of = broker_of
        self._record = record
        self._unprotected = unprotected
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
        """The engine spaces the attempts out."""
        self._closing.add(position.id)
        try:
            if self._broker_of(position.broker_id).capabilities.stop_reserves:
                await self._unlock(position)
            now = self._book.position(position.id)
            if now is None:
                return  # what was taken away had closed it
            untold = max(at_venue - position.quantity, Decimal(0))
            order = await self._engine.reduce(now, now.quantity + untold, None, UNPROTECTED)
        finally:
            self._closing.discard(position.id)
        if order.client_order_id != gap.closing:
            gap.closing = order.client_order_id
            why = "its stop was refused" if gap.flatten else f"no stop for {gap_s:.1f} s"
            facts = {"what": "unprotected position is closed", "position": position.id, "symbol": position.symbol}
            await self._record("incident", position.task_id, {**facts, "why": why, "order": order.client_order_id})

    async def _unlock(self, position: Position) -> None:
        """Take away what locks it, all at once. Silence stops nothing: a close that comes too early is refused."""
        names: list[ClientOrderId] = [
            each.client_order_id
            for each in self._book.orders_of(position.id, OrderRole.EXIT)
            if each.kind is OrderKind.LIMIT  # waits for its price; a close at market is what is wanted here
        ]
        try:
            names += await self._resting.stops_of(position)
        except BrokerError:  # what our record knows, then
            names += [each.client_order_id for each in self._book.orders_of(position.id, OrderRole.STOP)]
        cancels = (self._resting.cancel(position.broker_id, name, UNPROTECTED) for name in names)
        for failed in await asyncio.gather(*cancels, return_exceptions=True):
            if failed is not None and not isinstance(failed, BrokerError):
                raise failed
