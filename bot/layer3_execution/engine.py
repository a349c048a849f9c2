"""Approved order to broker, once: intent first, then SENDING, then exactly one call, then what the venue said.

A crash or a silence anywhere after SENDING leaves the order UNKNOWN; only reconciliation leaves that state.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from itertools import takewhile
from operator import attrgetter
from typing import Any, Final, TypeVar

from loguru import logger

from bot.errors import BrokerUnavailable, CommitUnknown, EntryRefused, NotFound, OrderFateUnknown
from bot.instruments import BrokerId
from bot.interfaces import Clock, OrderStore
from bot.layer1_data.broker_interface import BrokerInterface
from bot.layer3_execution.book import Book
from bot.layer3_execution.legs import (
    entry_rows,
    exit_name,
    exit_request,
    exit_row,
    is_attached,
    is_attempt,
    is_target,
    stop_request,
    stop_row,
)
from bot.layer3_execution.order_state import OrderEvent
from bot.layer3_execution.order_tracker import OrderTracker
from bot.layer3_execution.pauses import Ages, pause_after_s
from bot.layer3_execution.positions import pending_position
from bot.models import (
    ApprovedOrder,
    ClientOrderId,
    Order,
    OrderAck,
    OrderRole,
    OrderState,
    Position,
)
from bot.patience import within

Legs = tuple[Order, ...]  # an entry, and its stop where that travels with it
T = TypeVar("T")
_LAST_WORD_S: Final = 0.5
_ENDED: Final = (OrderState.CANCELED, OrderState.EXPIRED)
Send = Callable[[BrokerInterface, Order], Awaitable[OrderAck]]


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
        entry_refusal: Callable[[BrokerId], Coroutine[Any, Any, str]],
        known_refusal: Callable[[BrokerId], str],
    ) -> None:
        """`entry_refusal` says why no entry may leave at this moment (the kill switch); empty if it may.

        `known_refusal` says it as far as this process has heard, without asking anybody.
        """
        self._store = store
        self._book = book
        self._tracker = tracker
        self._broker_of = broker_of
        self._clock = clock
        self._entry_refusal = entry_refusal
        self._known_refusal = known_refusal
        self._ages = Ages(clock)
        self._in_flight: Counter[ClientOrderId] = Counter()
        self.make_room: Callable[[Position, Decimal], Awaitable[None]] | None = None
        """Called before a reduction where resting stops lock what is to be sold."""

    def is_in_flight(self, client_order_id: ClientOrderId) -> bool:
        """It is being sent at this moment: reconciliation leaves it alone until the call has ended."""
        return client_order_id in self._in_flight

    async def submit(self, approved: ApprovedOrder) -> Order:
        """Open or add as approved. The same approval given twice is sent once."""
        entry, stop = entry_rows(approved, self._clock.now())
        attached = self._broker_of(approved.broker_id).capabilities.attached_stop
        position = pending_position(approved, at=self._clock.now())
        return await to_the_end(self._submit((entry, stop) if attached else (entry,), position, approved))

    async def _submit(self, legs: Legs, position: Position, approved: ApprovedOrder) -> Order:
        with self._sending(*legs):
            if not await self._intended(legs, position, approved):
                return await self._store.order(approved.client_order_id)
            self._book.put_position(position)
            for leg in legs:
                self._book.put_order(leg)
            if self._clock.now() > approved.valid_until:
                return await self._drop(legs, OrderEvent.STALE, _too_late(approved))
            return await self._send_entry(legs, approved)

    async def _intended(self, legs: Legs, position: Position, approved: ApprovedOrder) -> bool:
        """Store the intent; False if it is there already. A commit without an answer is read back by its key first."""
        for attempt in range(2):
            try:
                return await self._store.record_intent(legs, signal_id=approved.signal_id, position=position)
            except CommitUnknown:
                with suppress(NotFound):
                    return (await self._store.order(approved.client_order_id)).state is OrderState.INTENT
                if attempt:
                    raise
        return False

    async def reduce(self, position: Position, quantity: Decimal, limit_price: Decimal | None, reason: str) -> Order:
        """Close `quantity` of a position, at `limit_price` or better if given. The same leg is sent once.

        One that failed is tried again under its next name, ever more slowly, never given up; while it is too early
        the answer is the failed one.
        """
        rows = await self._store.orders_of(position.id)
        ended = [each for each in rows if is_attempt(each, reason)]
        if not is_target(reason):
            absent = await self._absent_closes(rows) if quantity >= position.quantity else []
            if living := [each for each in rows if _is_living_close(each) and each not in absent]:
                return living[-1]
            ended = sorted(ended + absent, key=attrgetter("created_at", "client_order_id"))
        failed = list(takewhile(lambda each: not each.filled_quantity, reversed(ended)))
        if failed and self._age_s(failed[0]) < pause_after_s(len(failed)):
            return failed[0]
        name = exit_name(position, reason, len(ended))
        asked = next((each for each in rows if each.client_order_id == name), None)
        if asked is not None and asked.state is not OrderState.INTENT:
            return asked  # nothing will be sent, so no stop makes room for it
        able = self._broker_of(position.broker_id).capabilities
        limit = limit_price if able.limit_exits else None  # the price is there: that is why it is closed now
        if asked is not None and await self._has_given_up(asked, (quantity, limit, reason)):
            name = exit_name(position, reason, len(ended) + 1)
        return await to_the_end(self._reduce(position, name, quantity, limit, reason))

    async def _reduce(
        self, position: Position, name: ClientOrderId, quantity: Decimal, limit: Decimal | None, reason: str
    ) -> Order:
        if self.make_room is not None and self._broker_of(position.broker_id).capabilities.stop_reserves:
            await self.make_room(position, quantity)
        row = exit_row(position, name, quantity, limit, reason, self._clock.now())
        return await self._once(row, lambda broker, stored: broker.place(exit_request(stored, position)))

    def _age_s(self, row: Order) -> float:
        return self._ages.of_s(row.client_order_id, row.updated_at)

    async def _absent_closes(self, rows: Sequence[Order]) -> list[Order]:
        """Closes of unknown fate that the venue, asked cleanly, does not have: another attempt may follow at once.

        If such a one arrives after all, it reduces what is left or is refused: it opens nothing (2.2 rule 4).
        """
        absent = []
        for row in rows:
            if row.role is not OrderRole.EXIT or is_target(row.reason) or self.is_in_flight(row.client_order_id):
                continue
            if row.state in (OrderState.SENDING, OrderState.UNKNOWN):
                with suppress(BrokerUnavailable):
                    if await self._broker_of(row.broker_id).find_order(row.client_order_id) is None:
                        absent.append(row)
        return absent

    async def rest_stop(self, position: Position, quantity: Decimal, price: Decimal, reason: str) -> Order:
        """Rest one more stop for `quantity` of a position. Who asks has made sure that none is on its way.

        `reason` is what its fills are called: the plan's word, or that of the step which brought it to `price`.
        """
        return await to_the_end(self._rest_stop(position, quantity, price, reason))

    async def _rest_stop(self, position: Position, quantity: Decimal, price: Decimal, reason: str) -> Order:
        rows = [each for each in await self._store.orders_of(position.id) if each.role is OrderRole.STOP]
        tried = 0
        for each in rows:
            if not is_attached(each):
                tried += each.state is not OrderState.INTENT or await self._has_given_up(
                    each, (quantity, price, reason)
                )
        row = stop_row(position, quantity, price, reason, tried, self._clock.now())
        row = await self._once(row, lambda broker, stored: broker.place_stop(*stop_request(stored, position)))
        if is_acknowledged(row):
            await self._tracker.change(position.id, lambda now: replace(now, stop_order_id=row.client_order_id))
        return row

    async def _has_given_up(self, intent: Order, meant: tuple[Decimal, Decimal | None, str]) -> bool:
        """An intent that nobody sent, because its commit was not confirmed to us: under its name goes what it says, or
        nothing any more. True if it says something else than what is `meant` now: quantity, price and reason.
        """
        if (intent.quantity, intent.price, intent.reason) == meant or self.is_in_flight(intent.client_order_id):
            return False
        await self._tracker.move(intent, OrderEvent.STALE, "never sent: something else is wanted by now")
        return True

    async def resize_stop(self, stop: Order, quantity: Decimal, price: Decimal) -> str:
        """Give a resting stop what is left to protect, and its price. Empty if the venue agreed, else its words.

        Raises BrokerUnavailable or OrderFateUnknown: what rests is then read back before anything else is done.
        """
        ack = await self._broker_of(stop.broker_id).resize_stop(stop.client_order_id, quantity, price)
        if ack.state is OrderState.REJECTED:
            return ack.reason or "REJECTED"
        terms = (stop.filled_quantity + quantity, price)
        await self._tracker.move(stop, OrderEvent.ACK, f"resized to {quantity} at {price}", terms=terms)
        await self._tracker.follow(stop, ack.venue_order_id)
        return ""

    async def _once(self, row: Order, send: Send) -> Order:
        """Store the intent, then send what is stored; whoever comes second gets what the first one has."""
        with self._sending(row):
            if not await self._is_new(row):
                row = await self._store.order(row.client_order_id)
                if row.state is not OrderState.INTENT or self._in_flight[row.client_order_id] > 1:
                    return row  # else its commit was never confirmed to us, and nothing was sent
            self._book.put_order(row)
            return await self._send(row, send)

    async def _is_new(self, row: Order) -> bool:
        """Store an intent; False if it is there already. One whose commit got no answer is read back later."""
        try:
            return await self._store.record_intent((row,), signal_id=None)
        except CommitUnknown:
            self._tracker.doubt(row.position_id)
            raise

    async def move_stop(self, position: Position, stop: Decimal) -> str:
        """Put a stop that follows its position at `stop`. Answers and raises as `resize_stop`."""
        ack = await self._broker_of(position.broker_id).amend_stop(position.entry_order_id, stop)
        if ack.state is OrderState.REJECTED:
            return ack.reason or "REJECTED"
        row = self._book.order(ack.client_order_id)
        if row is not None and row.role is OrderRole.STOP:
            await self._tracker.follow(row, ack.venue_order_id)
        return ""

    async def _send_entry(self, legs: Legs, approved: ApprovedOrder) -> Order:
        entry, *attached = legs
        entry = await self._tracker.move(entry, OrderEvent.SEND, "entry")
        for stop in attached:
            await self._tracker.move(stop, OrderEvent.SEND, "attached to the entry")
        broker = self._broker_of(entry.broker_id)
        try:
            ack = await broker.place(approved, lambda: self._last_word(approved))
        except OrderFateUnknown as error:
            for stop in attached:
                await self._tracker.move(stop, OrderEvent.NO_ANSWER, str(error))
            return await self._tracker.move(entry, OrderEvent.NO_ANSWER, str(error))
        except EntryRefused as error:
            return await self._never_left(legs, str(error))
        except BrokerUnavailable as error:
            return await self._never_left(legs, f"venue not reached: {error}")
        if ack.state is OrderState.REJECTED:
            return await self._drop(legs, OrderEvent.REJECT, ack.reason)
        for stop in attached:
            await self._tracker.move(stop, OrderEvent.ACK, "attached")
        entry = await self._acknowledged(entry, ack)
        if ack.state in _ENDED and not entry.state.is_terminal:
            return await self._with_its_end((entry, *attached), ack)
        return entry

    async def _with_its_end(self, legs: Legs, ack: OrderAck) -> Order:
        """The venue has ended what of an entry was not to be had within its bound. Its fills come first: while some are
        not told it counts as working, and the resolver asks for it again."""
        entry = legs[0]
        try:
            found = await self._broker_of(entry.broker_id).find_order(entry.client_order_id)
        except BrokerUnavailable:
            return entry
        if found is None or not found.state.is_terminal or found.filled_quantity > entry.filled_quantity:
            return entry
        event = OrderEvent.EXPIRED if ack.state is OrderState.EXPIRED else OrderEvent.CANCELED
        cause = ack.reason or f"{ack.state.value} at the venue: no more of it was to be had within its bound"
        if not entry.filled_quantity:
            return await self._drop(legs, event, cause)
        entry = await self._tracker.move(entry, event, cause)
        await self.abandon(entry, cause)  # fees may have left nothing that could be sold
        return entry

    async def _last_word(self, approved: ApprovedOrder) -> None:
        """Asked by the adapter when the bytes of the entry are the next to leave: an exit may stand behind them."""
        try:
            refusal = await within(_LAST_WORD_S, self._entry_refusal(approved.broker_id))
        except TimeoutError:
            refusal = f"whether it may leave was not answered within {_LAST_WORD_S:g} s"
        if refusal := refusal or self._known_refusal(approved.broker_id):
            raise EntryRefused(refusal)
        if self._clock.now() > approved.valid_until:
            raise EntryRefused(_too_late(approved))

    async def _send(self, row: Order, send: Send) -> Order:
        row = await self._tracker.move(row, OrderEvent.SEND, row.reason)
        if overtaken := self._overtaken(row):  # the last word: nothing is awaited before the send
            return await self._not_sent(row, overtaken)
        try:
            ack = await send(self._broker_of(row.broker_id), row)
        except OrderFateUnknown as error:
            return await self._tracker.move(row, OrderEvent.NO_ANSWER, str(error))
        except BrokerUnavailable as error:
            return await self._not_sent(row, str(error))
        if ack.state is OrderState.REJECTED:
            return await self._tracker.move(row, OrderEvent.REJECT, ack.reason)
        return await self._acknowledged(row, ack)

    def _overtaken(self, row: Order) -> str:
        """Why an exit is not wanted any more: fills that were told while it was stored. Empty if it is."""
        if row.role is not OrderRole.EXIT:
            return ""
        if self._book.position(row.position_id) is None:
            return "its position has ended meanwhile"
        others = [each for each in self._book.orders_of(row.position_id, OrderRole.EXIT) if each.reason == row.reason]
        lives = any(is_acknowledged(each) for each in others if each.client_order_id != row.client_order_id)
        return "another order for the same target lives after all" if lives and is_target(row.reason) else ""

    async def _not_sent(self, row: Order, cause: str) -> Order:
        """Proven: no byte of it was sent. Where it is still wanted, another attempt follows."""
        row = await self._tracker.move(row, OrderEvent.NOT_SENT, cause)
        return await self._tracker.move(row, OrderEvent.STALE, cause)

    async def _acknowledged(self, order: Order, ack: OrderAck) -> Order:
        order = await self._tracker.move(order, OrderEvent.ACK, "acknowledged", venue_order_id=ack.venue_order_id)
        try:
            await self._tracker.collect(order.broker_id)
        except BrokerUnavailable:
            return order  # the fills are read by the next round
        return self._book.order(order.client_order_id) or await self._store.order(order.client_order_id)

    async def _never_left(self, legs: Legs, cause: str) -> Order:
        """Proven: no byte of the entry was sent."""
        for leg in legs:
            await self._tracker.move(leg, OrderEvent.NOT_SENT, cause)
        return await self._drop(legs, OrderEvent.STALE, cause)

    async def _drop(self, legs: Legs, event: OrderEvent, cause: str) -> Order:
        """The entry will never be: end its stop and its pending position too."""
        entry, *attached = legs
        for stop in attached:
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


async def to_the_end(sending: Coroutine[None, None, T]) -> T:
    """Run `sending` to its end also if the caller is cancelled: half a send would leave its fate unknown."""
    task = asyncio.ensure_future(sending)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait((task,))
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.opt(exception=error).error("an order failed while its sender was being stopped")
        raise


def is_acknowledged(order: Order) -> bool:
    """The venue is known to have it."""
    return (
        order.state not in (OrderState.INTENT, OrderState.SENDING, OrderState.UNKNOWN) and not order.state.is_terminal
    )


def _too_late(approved: ApprovedOrder) -> str:
    return f"not sent by {approved.valid_until:%H:%M:%S} UTC"


def _is_living_close(order: Order) -> bool:
    """It may close something yet. What was never sent closes nothing; a target closes its own part only."""
    ended = order.state is OrderState.INTENT or order.state.is_terminal
    return order.role is OrderRole.EXIT and not is_target(order.reason) and not ended


def _not_opened(position: Position, cause: str, at: datetime) -> Position:
    if not position.is_pending or position.closed_quantity:
        return position  # a fill came first
    return replace(position, closed_at=at, exit_reason=f"NOT_OPENED: {cause}")
