"""The simulated venue with the bad habits of real ones, each behind a switch. It tells the truth late, twice or not at
all; what it really did is always in `venue`."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeVar

from bot.errors import BrokerUnavailable, OrderFateUnknown
from bot.interfaces import Clock
from bot.layer1_data.broker_interface import WOULD_TRIGGER, LastWord, VenueOrder, foreign_name, nothing_against
from bot.layer1_data.brokers.simulated.adapter import SimulatedBroker
from bot.layer1_data.delegating_broker import DelegatingBroker
from bot.models import ApprovedOrder, ClientOrderId, Fill, OrderAck, OrderState, ReduceOrder, VenuePosition

Hook = Callable[[], Awaitable[object]]
T = TypeVar("T")


class Fault(StrEnum):
    """What happens to one request that should change something."""

    REQUEST_LOST = "request lost"  # a proxy drops the connection before it reaches the venue
    REPLY_LOST = "reply lost"  # Binance -1007: "execution status unknown, could have been a success"
    UNREACHABLE = "unreachable"  # DNS failure, connection refused: proven that nothing left
    REJECTED = "rejected"  # an answer: OANDA cancels an order on arrival with 201
    BEYOND = "beyond"  # an answer: the price is beyond the stop, it would trigger at once
    BROKEN = "broken"  # the adapter meets an answer it cannot read and fails in a way nobody foresaw
    SLOW = "slow"  # the venue takes it 6.5 s after it was sent, and says so
    REFUSED_LATE = "refused late"  # an answer, 6.5 s after it was asked for: no
    SILENT = "silent"  # request lost, and nobody says so: the adapter gives up after 10 s


class AwkwardBroker(DelegatingBroker):
    """`venue` behind a bad line. Each request takes the next fault of its queue; when that is empty all is well.

    `failing` names the questions that are not answered. `latency` says how many turns of the event loop go by before
    and after each request reaches the venue, so that others run in between.
    """

    def __init__(self, venue: SimulatedBroker, clock: Clock) -> None:
        super().__init__(venue)
        self.venue = venue
        self.place_faults: deque[Fault] = deque()
        self.stop_faults: deque[Fault] = deque()
        self.amend_faults: deque[Fault] = deque()
        self.failing: set[str] = set()
        self.latency: Callable[[], int] = lambda: 0
        self.before_placing: Hook | None = None
        self.while_placing: Hook | None = None
        self.held_answers: asyncio.Event | None = None
        self.hidden_for: int = 0
        self.hold_fills = False
        self.repeat_fills = False
        self.reverse_fills = False
        self.left_out: set[ClientOrderId] = set()  # of the lists of what works; a question by name finds it
        self.cut_to: deque[int] = deque()  # how many stops the next lists show, at most
        self.stale_positions: Sequence[VenuePosition] | None = None
        self.placed: list[ApprovedOrder | ReduceOrder] = []
        self.stops_placed: list[ClientOrderId] = []
        self.amended: list[Decimal] = []
        self.cancel_faults: deque[Fault] = deque()
        self.cancelled: list[ClientOrderId] = []
        self.asked: list[str] = []
        self._clock = clock
        self._seen = ""
        self._held: list[Fill] = []
        self._told: list[Fill] = []

    # ------------------------------------------------------------------------------------------------- what is odd

    async def lose_stop(self, entry_order_id: ClientOrderId) -> None:
        """The resting stop is gone without a word (a conditional order that the venue dropped, or a person)."""
        for position in await self.venue.positions():
            if position.entry_order_id == entry_order_id and position.stop_order_id is not None:
                await self.venue.cancel(position.stop_order_id)

    async def place(self, order: ApprovedOrder | ReduceOrder, last_word: LastWord = nothing_against) -> OrderAck:
        """As the venue; before, while and after it whatever the switches say."""
        if self.before_placing is not None:
            await self.before_placing()
        await last_word()
        self.placed.append(order)
        return await self._change(self.place_faults, order.client_order_id, lambda: self.venue.place(order))

    async def place_stop(self, position: VenuePosition, stop_order_id: ClientOrderId, stop: Decimal) -> OrderAck:
        self.stops_placed.append(stop_order_id)
        send = self.venue.place_stop
        return await self._change(self.stop_faults, stop_order_id, lambda: send(position, stop_order_id, stop))

    async def amend_stop(self, entry_order_id: ClientOrderId, stop: Decimal) -> OrderAck:
        self.amended.append(stop)
        return await self._change(
            self.amend_faults, entry_order_id, lambda: self.venue.amend_stop(entry_order_id, stop)
        )

    async def resize_stop(self, stop_order_id: ClientOrderId, quantity: Decimal, stop: Decimal) -> OrderAck:
        self.amended.append(stop)
        send = self.venue.resize_stop
        return await self._change(self.amend_faults, stop_order_id, lambda: send(stop_order_id, quantity, stop))

    async def cancel(self, client_order_id: ClientOrderId) -> OrderAck:
        self.cancelled.append(client_order_id)
        return await self._change(self.cancel_faults, client_order_id, lambda: self.venue.cancel(client_order_id))

    async def cancel_foreign(self, order: VenueOrder) -> OrderAck:
        name = foreign_name(order)
        self.cancelled.append(name)
        return await self._change(self.cancel_faults, name, lambda: self.venue.cancel_foreign(order))

    async def find_order(self, client_order_id: ClientOrderId) -> VenueOrder | None:
        """Eventually consistent: for a while an order that exists is not found."""
        found = await super().find_order(client_order_id)
        if self.hidden_for > 0:
            self.hidden_for -= 1
            return None
        return found

    async def protective_orders(self) -> Sequence[VenueOrder]:
        """Some are left out, as by a list that is cut short."""
        listed = [each for each in await super().protective_orders() if each.client_order_id not in self.left_out]
        return listed[: self.cut_to.popleft()] if self.cut_to else listed

    async def open_orders(self) -> Sequence[VenueOrder]:
        """Some are left out here, too."""
        return tuple(each for each in await super().open_orders() if each.client_order_id not in self.left_out)

    async def positions(self) -> Sequence[VenuePosition]:
        """A cached answer may be older than the fills."""
        answer = await super().positions()
        if self.stale_positions is not None:
            answer = self.stale_positions
        await self._wait()
        return answer

    async def fills_since(self, cursor: str) -> tuple[Sequence[Fill], str]:
        """Late, twice, or newest first. The cursor counts what was told, not what happened."""
        fresh, self._seen = await super().fills_since(self._seen)
        self._held.extend(fresh)
        if not self.hold_fills:
            batch = self._held[::-1] if self.reverse_fills else self._held
            self._told.extend(each for fill in batch for each in [fill] * (2 if self.repeat_fills else 1))
            self._held = []
        answer = self._told[int(cursor or 0) :], str(len(self._told))
        await self._wait()
        return answer

    # ----------------------------------------------------------------------------------------------------- inside

    async def _change(
        self, faults: deque[Fault], name: ClientOrderId, send: Callable[[], Awaitable[OrderAck]]
    ) -> OrderAck:
        await self._wait()
        fault = faults.popleft() if faults else None
        if fault is Fault.UNREACHABLE:
            raise BrokerUnavailable(f"{self.broker_id}: connection refused; nothing was sent")
        if fault is Fault.SILENT:
            await self._clock.sleep(10)
        if fault in (Fault.REQUEST_LOST, Fault.SILENT):
            raise OrderFateUnknown(f"{self.broker_id}: connection lost while {name} was sent; reconcile")
        if fault in (Fault.SLOW, Fault.REFUSED_LATE):
            await self._clock.sleep(6.5)
        if fault in (Fault.REJECTED, Fault.REFUSED_LATE, Fault.BEYOND):
            reason = WOULD_TRIGGER if fault is Fault.BEYOND else "MARKET_HALTED"
            return OrderAck(client_order_id=name, state=OrderState.REJECTED, venue_order_id=None, reason=reason)
        ack = await send()
        await self._wait()
        if self.while_placing is not None:
            await self.while_placing()
        if self.held_answers is not None:
            await self.held_answers.wait()
        if fault is Fault.REPLY_LOST:
            raise OrderFateUnknown(f"{self.broker_id}: no answer to {name} within 10 s; reconcile")
        if fault is Fault.BROKEN:
            raise KeyError("orderFillTransaction")
        return ack

    async def _through(self, call: str, send: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """A question; what changes something goes its own way (`_change`)."""
        self.asked.append(call)
        await self._wait()
        if call in self.failing:
            raise BrokerUnavailable(f"{self.broker_id}: {call} answered 503; ask again later")
        return await send()

    async def _wait(self) -> None:
        for _ in range(self.latency()):
            await self._clock.sleep(0)
