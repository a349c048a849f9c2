"""Approved order to broker, once: intent first, then SENDING, then exactly one call, then what the venue said.

A crash or a silence anywhere after SENDING leaves the order UNKNOWN; only reconciliation leaves that state.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from bot.errors import BrokerUnavailable, OrderFateUnknown
from bot.instruments import BrokerId
from bot.interfaces import Clock, OrderStore
from bot.layer1_data.broker_interface import BrokerInterface
from bot.layer3_execution.book import Book
from bot.layer3_execution.order_state import OrderEvent
from bot.layer3_execution.order_tracker import OrderTracker
from bot.layer3_execution.positions import pending_position
from bot.models import (
    ApprovedOrder,
    ClientOrderId,
    Order,
    OrderAck,
    OrderKind,
    OrderRole,
    OrderState,
    Position,
    ReduceOrder,
    Side,
    leg_of,
)


class ExecutionEngine:
    """The only door through which orders leave. Takes an ApprovedOrder or reduces; nothing else opens risk."""

    def __init__(
        self,
        *,
        store: OrderStore,
        book: Book,
        tracker: OrderTracker,
        broker_of: Callable[[BrokerId], BrokerInterface],
        clock: Clock,
    ) -> None:
        self._store = store
        self._book = book
        self._tracker = tracker
        self._broker_of = broker_of
        self._clock = clock
        self._in_flight: set[ClientOrderId] = set()

    def is_in_flight(self, client_order_id: ClientOrderId) -> bool:
        """It is being sent at this moment: reconciliation leaves it alone until the call has ended."""
        return client_order_id in self._in_flight

    async def submit(self, approved: ApprovedOrder) -> Order:
        """Open or add as approved. The same approval given twice is sent once."""
        entry, stop = _entry_rows(approved, self._clock.now())
        position = pending_position(approved, at=self._clock.now())
        with self._sending(entry, stop):
            return await asyncio.shield(self._submit(entry, stop, position, approved))

    async def _submit(self, entry: Order, stop: Order, position: Position, approved: ApprovedOrder) -> Order:
        if not await self._store.record_intent((entry, stop), signal_id=approved.signal_id, position=position):
            return await self._store.order(approved.client_order_id)
        self._book.put_position(position)
        self._book.put_order(entry)
        self._book.put_order(stop)
        if self._clock.now() > approved.valid_until:
            return await self._drop(entry, stop, OrderEvent.STALE, f"not sent by {approved.valid_until:%H:%M:%S} UTC")
        return await self._send_entry(entry, stop, approved)

    async def reduce(self, position: Position, quantity: Decimal, limit_price: Decimal | None, reason: str) -> Order:
        """Close `quantity` of a position, at `limit_price` or better if given. The same leg is sent once."""
        name = await self._free_leg(position, reason)
        row = _reduce_row(position, name, quantity, limit_price, reason, self._clock.now())
        with self._sending(row):
            return await asyncio.shield(self._reduce(row, position))

    async def _reduce(self, row: Order, position: Position) -> Order:
        if not await self._store.record_intent((row,), signal_id=None):
            return await self._store.order(row.client_order_id)
        self._book.put_order(row)
        return await self._send_reduce(row, position)

    async def move_stop(self, position: Position, stop: Decimal) -> bool:
        """Put the resting stop of a position at `stop`; False if the venue did not take it (it stays where it was)."""
        try:
            ack = await self._broker_of(position.broker_id).amend_stop(position.entry_order_id, stop)
        except (BrokerUnavailable, OrderFateUnknown):
            return False  # the next observation asks again; the old stop still rests
        return ack.state is not OrderState.REJECTED

    async def _send_entry(self, entry: Order, stop: Order, approved: ApprovedOrder) -> Order:
        entry = await self._tracker.move(entry, OrderEvent.SEND, "entry")
        stop = await self._tracker.move(stop, OrderEvent.SEND, "attached to the entry")
        try:
            ack = await self._broker_of(entry.broker_id).place(approved)
        except OrderFateUnknown as error:
            await self._tracker.move(stop, OrderEvent.NO_ANSWER, str(error))
            return await self._tracker.move(entry, OrderEvent.NO_ANSWER, str(error))
        except BrokerUnavailable as error:
            entry = await self._tracker.move(entry, OrderEvent.NOT_SENT, str(error))
            stop = await self._tracker.move(stop, OrderEvent.NOT_SENT, str(error))
            return await self._drop(entry, stop, OrderEvent.STALE, f"venue not reached: {error}")
        if ack.state is OrderState.REJECTED:
            return await self._drop(entry, stop, OrderEvent.REJECT, ack.reason)
        await self._tracker.move(stop, OrderEvent.ACK, "attached")
        return await self._acknowledged(entry, ack)

    async def _send_reduce(self, row: Order, position: Position) -> Order:
        request = ReduceOrder(
            client_order_id=row.client_order_id,
            position_id=position.id,
            entry_order_id=position.entry_order_id,
            broker_id=row.broker_id,
            symbol=row.symbol,
            side=row.side,
            kind=row.kind,
            quantity=row.quantity,
            limit_price=row.price,
            reason=row.reason,
        )
        row = await self._tracker.move(row, OrderEvent.SEND, row.reason)
        try:
            ack = await self._broker_of(row.broker_id).place(request)
        except OrderFateUnknown as error:
            return await self._tracker.move(row, OrderEvent.NO_ANSWER, str(error))
        except BrokerUnavailable as error:
            row = await self._tracker.move(row, OrderEvent.NOT_SENT, str(error))
            return await self._tracker.move(row, OrderEvent.STALE, "a new attempt follows")
        if ack.state is OrderState.REJECTED:
            return await self._tracker.move(row, OrderEvent.REJECT, ack.reason)
        return await self._acknowledged(row, ack)

    async def _acknowledged(self, order: Order, ack: OrderAck) -> Order:
        order = await self._tracker.move(order, OrderEvent.ACK, "acknowledged", venue_order_id=ack.venue_order_id)
        try:
            await self._tracker.collect(order.broker_id)
        except BrokerUnavailable:
            return order  # the fills are read by the next round
        return self._book.order(order.client_order_id) or await self._store.order(order.client_order_id)

    async def _drop(self, entry: Order, stop: Order, event: OrderEvent, cause: str) -> Order:
        """The entry will never be: end its stop and its pending position too."""
        await self._tracker.move(stop, event, cause)
        dropped = await self._tracker.move(entry, event, cause)
        await self.abandon(entry, cause)
        return dropped

    async def abandon(self, entry: Order, cause: str) -> None:
        """End the pending position of an entry that surely did not happen."""
        position = self._book.position(entry.position_id)
        if position is None or not position.is_pending:
            return
        ended = replace(position, closed_at=self._clock.now(), exit_reason=f"NOT_OPENED: {cause}")
        await self._store.save_position(ended)
        self._book.put_position(ended)

    @contextmanager
    def _sending(self, *orders: Order) -> Iterator[None]:
        names = {each.client_order_id for each in orders}
        self._in_flight |= names
        try:
            yield
        finally:
            self._in_flight -= names

    async def _free_leg(self, position: Position, reason: str) -> ClientOrderId:
        """The leg's own name, so that the same close decided twice collides.

        Only orders that have ended without the wanted effect count as attempts; while one is unresolved its name is
        used again and so blocks a second one. A target is wanted once; a market close until nothing is left.
        """
        target = reason.startswith("TARGET_")
        letter = "T" if target else "X"
        ended = 0
        for row in await self._store.orders_of(position.id):
            ours = row.role is OrderRole.EXIT and row.reason.startswith("TARGET_") == target
            if ours and row.state.is_terminal and (not target or (row.reason == reason and not row.filled_quantity)):
                ended += 1
        number = reason[-1] if target else str(ended // 10 % 10)
        return leg_of(position.entry_order_id, f"{letter}{number}", ended % 10)


def _reduce_row(
    position: Position, name: ClientOrderId, quantity: Decimal, limit: Decimal | None, reason: str, now: datetime
) -> Order:
    return Order(
        client_order_id=name,
        position_id=position.id,
        signal_id=None,
        task_id=position.task_id,
        broker_id=position.broker_id,
        symbol=position.symbol,
        role=OrderRole.EXIT,
        side=Side.closing(position.direction),
        kind=OrderKind.MARKET if limit is None else OrderKind.LIMIT,
        quantity=quantity,
        price=limit,
        state=OrderState.INTENT,
        reason=reason,
        created_at=now,
        updated_at=now,
    )


def _entry_rows(approved: ApprovedOrder, now: datetime) -> tuple[Order, Order]:
    entry = Order(
        client_order_id=approved.client_order_id,
        position_id=approved.position_id,
        signal_id=approved.signal_id,
        task_id=approved.task_id,
        broker_id=approved.broker_id,
        symbol=approved.symbol,
        role=OrderRole.ENTRY,
        side=approved.side,
        kind=approved.kind,
        quantity=approved.quantity,
        price=approved.limit_price,
        state=OrderState.INTENT,
        reason="ENTRY",
        created_at=now,
        updated_at=now,
    )
    stop = replace(
        entry,
        client_order_id=approved.stop_order_id,
        role=OrderRole.STOP,
        side=Side.closing(approved.plan.direction),
        kind=OrderKind.STOP,
        price=approved.plan.stop,
        reason="STOP",
    )
    return entry, stop
