"""Approved order to broker, once: intent first, then SENDING, then exactly one call, then what the venue said.

A crash or a silence anywhere after SENDING leaves the order UNKNOWN; only reconciliation leaves that state.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import takewhile
from typing import Final

from loguru import logger

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
    VenuePosition,
    leg_of,
)

_TARGET: Final = "TARGET_"
# Legs of one entry: E0, S0 attached, S1.. rested later, T1.. targets, X0.. closes. Further letters follow where ten
# attempts were not enough: thousands of closes, one every 10 s, before a name would come again.
_TARGET_LETTERS: Final = "TFLOI"
_CLOSE_LETTERS: Final = "XYZWVUQRPNMKJHGDCBA"
_PLACES: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAUSES_S: Final = (1, 2, 5, 10)


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
        entry_refusal: Callable[[BrokerId], Awaitable[str]],
    ) -> None:
        """`entry_refusal` says why no entry may leave at this moment (the kill switch); empty if it may."""
        self._store = store
        self._book = book
        self._tracker = tracker
        self._broker_of = broker_of
        self._clock = clock
        self._entry_refusal = entry_refusal
        self._in_flight: Counter[ClientOrderId] = Counter()

    def is_in_flight(self, client_order_id: ClientOrderId) -> bool:
        """It is being sent at this moment: reconciliation leaves it alone until the call has ended."""
        return client_order_id in self._in_flight

    async def submit(self, approved: ApprovedOrder) -> Order:
        """Open or add as approved. The same approval given twice is sent once."""
        entry, stop = _entry_rows(approved, self._clock.now())
        position = pending_position(approved, at=self._clock.now())
        return await _to_the_end(self._submit(entry, stop, position, approved))

    async def _submit(self, entry: Order, stop: Order, position: Position, approved: ApprovedOrder) -> Order:
        with self._sending(entry, stop):
            if not await self._store.record_intent((entry, stop), signal_id=approved.signal_id, position=position):
                return await self._store.order(approved.client_order_id)
            self._book.put_position(position)
            self._book.put_order(entry)
            self._book.put_order(stop)
            if self._clock.now() > approved.valid_until:
                cause = f"not sent by {approved.valid_until:%H:%M:%S} UTC"
                return await self._drop(entry, stop, OrderEvent.STALE, cause)
            return await self._send_entry(entry, stop, approved)

    async def reduce(self, position: Position, quantity: Decimal, limit_price: Decimal | None, reason: str) -> Order:
        """Close `quantity` of a position, at `limit_price` or better if given. The same leg is sent once.

        One that failed is tried again under its next name, ever more slowly, never given up; while it is too early
        the answer is the failed one.
        """
        rows = await self._store.orders_of(position.id)
        ended = [each for each in rows if _is_attempt(each, reason)]
        failed = list(takewhile(lambda each: not each.filled_quantity, reversed(ended)))
        if failed and self._clock.now() - failed[0].updated_at < _pause_after(len(failed)):
            return failed[0]
        name = _leg_name(position, reason, len(ended))
        row = _reduce_row(position, name, quantity, limit_price, reason, self._clock.now())
        request = _reduce_request(row, position)
        return await _to_the_end(self._once(row, lambda broker: broker.place(request)))

    async def rest_stop(self, position: Position, venue: VenuePosition) -> Order:
        """Rest a new stop for what `venue` has open and no stop protects any more."""
        return await _to_the_end(self._rest_stop(position, venue))

    async def _rest_stop(self, position: Position, venue: VenuePosition) -> Order:
        tried = 0
        for order in await self._store.orders_of(position.id):
            if order.role is OrderRole.STOP and not order.state.is_terminal and is_acknowledged(order):
                order = await self._tracker.move(order, OrderEvent.CANCELED, "gone at the venue")
            tried += order.role is OrderRole.STOP and order.state.is_terminal and not is_attached(order)
        row = _stop_row(position, venue, tried, self._clock.now())
        name = row.client_order_id
        row = await self._once(row, lambda broker: broker.place_stop(venue, name, position.stop_price))
        if is_acknowledged(row):
            await self._tracker.change(position.id, lambda now: replace(now, stop_order_id=row.client_order_id))
        return row

    async def _once(self, row: Order, send: Callable[[BrokerInterface], Awaitable[OrderAck]]) -> Order:
        """Store the intent, then send; whoever comes second gets what the first one has."""
        with self._sending(row):
            if not await self._store.record_intent((row,), signal_id=None):
                row = await self._store.order(row.client_order_id)
                if row.state is not OrderState.INTENT or self._in_flight[row.client_order_id] > 1:
                    return row  # else its commit was never confirmed to us, and nothing was sent
            self._book.put_order(row)
            return await self._send(row, send)

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
        broker = self._broker_of(entry.broker_id)
        if refusal := await self._entry_refusal(entry.broker_id):  # the last word: nothing is awaited before the send
            return await self._never_left(entry, stop, refusal)
        try:
            ack = await broker.place(approved)
        except OrderFateUnknown as error:
            await self._tracker.move(stop, OrderEvent.NO_ANSWER, str(error))
            return await self._tracker.move(entry, OrderEvent.NO_ANSWER, str(error))
        except BrokerUnavailable as error:
            return await self._never_left(entry, stop, f"venue not reached: {error}")
        if ack.state is OrderState.REJECTED:
            return await self._drop(entry, stop, OrderEvent.REJECT, ack.reason)
        await self._tracker.move(stop, OrderEvent.ACK, "attached")
        return await self._acknowledged(entry, ack)

    async def _send(self, row: Order, send: Callable[[BrokerInterface], Awaitable[OrderAck]]) -> Order:
        row = await self._tracker.move(row, OrderEvent.SEND, row.reason)
        try:
            ack = await send(self._broker_of(row.broker_id))
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

    async def _never_left(self, entry: Order, stop: Order, cause: str) -> Order:
        """Proven: no byte of the entry was sent."""
        entry = await self._tracker.move(entry, OrderEvent.NOT_SENT, cause)
        stop = await self._tracker.move(stop, OrderEvent.NOT_SENT, cause)
        return await self._drop(entry, stop, OrderEvent.STALE, cause)

    async def _drop(self, entry: Order, stop: Order, event: OrderEvent, cause: str) -> Order:
        """The entry will never be: end its stop and its pending position too."""
        await self._tracker.move(stop, event, cause)
        dropped = await self._tracker.move(entry, event, cause)
        await self.abandon(entry, cause)
        return dropped

    async def abandon(self, entry: Order, cause: str) -> None:
        """End the pending position of an entry that surely did not happen."""
        position = self._book.position(entry.position_id)
        if position is not None and position.is_pending:
            ended_at = self._clock.now()
            await self._tracker.change(position.id, lambda now: _not_opened(now, cause, ended_at))

    @contextmanager
    def _sending(self, *orders: Order) -> Iterator[None]:
        names = [each.client_order_id for each in orders]
        self._in_flight.update(names)
        try:
            yield
        finally:
            self._in_flight -= Counter(names)  # drops those that nobody sends any more


async def _to_the_end(sending: Coroutine[None, None, Order]) -> Order:
    """Run `sending` to its end also if the caller is cancelled: half a send would leave its fate unknown."""
    task = asyncio.ensure_future(sending)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait((task,))
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.opt(exception=error).error("an order failed while its sender was being stopped")
        raise


def is_attached(stop: Order) -> bool:
    """It travelled with its entry, and shares its fate."""
    return stop.client_order_id == leg_of(stop.client_order_id, "S0")


def is_acknowledged(order: Order) -> bool:
    """The venue is known to have it."""
    return (
        order.state not in (OrderState.INTENT, OrderState.SENDING, OrderState.UNKNOWN) and not order.state.is_terminal
    )


def _not_opened(position: Position, cause: str, at: datetime) -> Position:
    if not position.is_pending or position.closed_quantity:
        return position  # a fill came first
    return replace(position, closed_at=at, exit_reason=f"NOT_OPENED: {cause}")


def _is_attempt(row: Order, reason: str) -> bool:
    """`row` is an ended attempt at what `reason` wants: a target is wanted once, a close until nothing is left."""
    if row.role is not OrderRole.EXIT or not row.state.is_terminal:
        return False
    if reason.startswith(_TARGET):
        return row.reason == reason and not row.filled_quantity
    return not row.reason.startswith(_TARGET)


def _pause_after(failures: int) -> timedelta:
    return timedelta(seconds=_PAUSES_S[min(failures, len(_PAUSES_S)) - 1])


def _leg_name(position: Position, reason: str, ended: int) -> ClientOrderId:
    """The leg's own name, so that the same close decided twice collides.

    Only attempts that have ended without the wanted effect count; while one is unresolved its name is used again and
    so blocks a second one.
    """
    tens = ended // 10
    if reason.startswith(_TARGET):
        leg = _TARGET_LETTERS[tens % len(_TARGET_LETTERS)] + reason[-1]
    else:
        leg = _CLOSE_LETTERS[tens // len(_PLACES) % len(_CLOSE_LETTERS)] + _PLACES[tens % len(_PLACES)]
    return leg_of(position.entry_order_id, leg, ended % 10)


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


def _reduce_request(row: Order, position: Position) -> ReduceOrder:
    return ReduceOrder(
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


def _stop_row(position: Position, venue: VenuePosition, tried: int, now: datetime) -> Order:
    name = leg_of(position.entry_order_id, "S" + _PLACES[1 + tried // 10 % (len(_PLACES) - 1)], tried % 10)
    row = _reduce_row(position, name, venue.quantity, position.stop_price, "STOP", now)
    return replace(row, role=OrderRole.STOP, kind=OrderKind.STOP)


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
