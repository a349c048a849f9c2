"""A simulated venue at the other end of a bad line: the broker contract with every network and venue fault of a tape.

What the venue really did is in `venue`; what the bot is told passes here. The bot's side is the contract, the world's
side are the plain methods at the end.
"""

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, TypeVar

from bot.errors import BrokerUnavailable, OrderFateUnknown
from bot.instruments import Symbol
from bot.layer1_data.broker_interface import (
    WOULD_TRIGGER,
    DuplicateIds,
    LastWord,
    VenueOrder,
    VenueTerms,
    foreign_name,
    nothing_against,
)
from bot.layer1_data.brokers.simulated.adapter import SimulatedBroker
from bot.layer1_data.delegating_broker import DelegatingBroker
from bot.models import (
    ApprovedOrder,
    Candle,
    ClientOrderId,
    Fill,
    OrderAck,
    OrderState,
    Quote,
    ReduceOrder,
    Timeframe,
    VenuePosition,
)
from bot.simulation.clock import LoopClock
from bot.simulation.loop import SimulatedLoop
from bot.simulation.ports import Boundaries, Unforeseen, Wire, at_once
from bot.simulation.tape import Tape
from bot.simulation.told_orders import ToldOrders
from bot.simulation.told_prices import CandleBook, ToldPrices
from bot.simulation.told_terms import ToldTerms
from bot.simulation.watch import Request, Watch

T = TypeVar("T")

TIMEOUT_S: Final = 10.0


class VenueLine(DelegatingBroker):
    """One venue as one bot sees it, over restarts."""

    def __init__(
        self,
        venue: SimulatedBroker,
        *,
        loop: SimulatedLoop,
        tape: Tape,
        boundaries: Boundaries,
        candles: CandleBook,
        clock: LoopClock,
    ) -> None:
        super().__init__(venue)
        self.venue = venue
        self.watch = Watch()
        self.dark_until = self.mute_until = self.deaf_until = 0.0
        self.banned_until = self.closed_until = 0.0
        self.told = ToldOrders(venue, loop=loop, tape=tape, watch=self.watch)
        self.prices = ToldPrices(venue.broker_id, loop=loop, tape=tape, watch=self.watch)
        self.described = ToldTerms(tape)
        self._clock = clock
        self._loop = loop
        self._tape = tape
        self._boundaries = boundaries
        self._candles = candles
        self._wire = Wire(loop, tape, venue.broker_id)

    # ------------------------------------------------------------------------------------------------------- orders

    async def place(self, order: Request, last_word: LastWord = nothing_against) -> OrderAck:
        """As the contract says. N13w: an entry waits for its turn in the request budget, or behind other requests."""
        if isinstance(order, ApprovedOrder) and self._tape.fires("N13w"):
            turn = self._wire.waiting()
            self._wire.later(self._tape.amount("N13w", 0.5, 15.0), self._wire.answer, turn, None)
            await turn
        await last_word()
        self.watch.sending(self.broker_id, order.client_order_id, order)
        return await self._request(order.client_order_id, lambda: self._placed(order))

    async def place_stop(self, position: VenuePosition, stop_order_id: ClientOrderId, stop: Decimal) -> OrderAck:
        self.watch.sending(self.broker_id, stop_order_id, position)
        if self._tape.fires("B2"):
            self.watch.told_beyond(position.entry_order_id)
            return await self._refused(stop_order_id, WOULD_TRIGGER)
        if self._tape.fires("B3"):
            self.watch.refused_stop(position.entry_order_id)
            return await self._refused(stop_order_id, "-4120 UNKNOWN_CODE")
        send = self.venue.place_stop
        return await self._request(stop_order_id, lambda: send(position, stop_order_id, stop))

    async def amend_stop(self, entry_order_id: ClientOrderId, stop: Decimal) -> OrderAck:
        self.watch.moving_stop(self.broker_id, entry_order_id, stop)
        return await self._request(entry_order_id, lambda: self._changed(self.venue.amend_stop(entry_order_id, stop)))

    async def resize_stop(self, stop_order_id: ClientOrderId, quantity: Decimal, stop: Decimal) -> OrderAck:
        self.watch.resizing_stop(stop_order_id, stop)
        return await self._request(stop_order_id, lambda: self._resized(stop_order_id, quantity, stop))

    async def cancel(self, client_order_id: ClientOrderId) -> OrderAck:
        """Take an order back. B5: the venue confirms it at once, and carries it out some seconds later."""
        self.watch.cancelling(self.broker_id, client_order_id)
        if self._tape.fires("B5"):
            later = self._tape.amount("B5", 0.5, 4.0)
            self._wire.much_later(later, lambda: _ignored(at_once(self.venue.cancel(client_order_id))))
            answer = at_once(self.venue.find_order(client_order_id))
            if answer is not None and not answer.state.is_terminal:
                return await self._answered(
                    OrderAck(client_order_id=client_order_id, state=OrderState.CANCELED, venue_order_id=None)
                )
        if self._tape.fires("B6"):
            self.trade_through()
        return await self._request(client_order_id, lambda: self.venue.cancel(client_order_id))

    async def cancel_foreign(self, order: VenueOrder) -> OrderAck:
        """Nobody answers "flatten" to what is foreign here: it must never come to this."""
        self.watch.cancelling(self.broker_id, foreign_name(order))
        return await self.venue.cancel_foreign(order)

    async def _request(self, name: ClientOrderId, act: Callable[[], Coroutine[Any, Any, OrderAck]]) -> OrderAck:
        """Send once over the line. Raises BrokerUnavailable or OrderFateUnknown as the contract says."""
        await self._boundaries.cross()
        if self._now() < max(self.dark_until, self.banned_until):
            dark = self._now() < self.dark_until
            self.watch.not_sent(name)
            await self._answered(None)
            why = "name resolution failed; nothing was sent" if dark else "429, banned; nothing was processed"
            raise BrokerUnavailable(f"{self.broker_id}: {why}")
        if self.is_closed or self._is_out_of_time():
            return await self._refused(name, "MARKET_CLOSED" if self.is_closed else "REQUEST_EXPIRED")
        waiting = self._wire.waiting()
        self._send(name, waiting, act)
        ack, error = await waiting
        await self._boundaries.cross()
        if error is not None:
            raise error
        return ack  # type: ignore[no-any-return]

    def _send(self, name: ClientOrderId, waiting: Any, act: Callable[[], Coroutine[Any, Any, OrderAck]]) -> None:
        """Put it on the line. A fault decides what becomes of it; the asker gives up after TIMEOUT_S."""
        wire, tape = self._wire, self._tape
        there, back = wire.delay_s(), wire.delay_s()
        silence = OrderFateUnknown(f"{self.broker_id}: no usable answer to {name} within 10 s; reconcile")
        wire.later(TIMEOUT_S, wire.answer, waiting, None, silence)
        if self._now() < self.mute_until:
            return
        if tape.fires("N1"):
            self.watch.lost(name)
            return
        if tape.fires("N3"):
            self.watch.lost(name)
            late_s, expires_s = tape.amount("N3", 3.0, 180.0), self.capabilities.request_expires_after_s
            if expires_s is None or late_s <= expires_s:
                wire.much_later(late_s, lambda: _ignored(self._taken(name, act)))
            return
        if tape.fires("N7"):
            if tape.dice("N7/when").random() < 0.7:
                wire.later(there, lambda: _ignored(self._taken(name, act)))
            wire.later(there + back, wire.answer, waiting, None, silence)
            return
        if self.capabilities.duplicate_ids is not DuplicateIds.NONE and tape.fires("B8"):
            wire.later(there, lambda: _ignored(self._taken(name, act)))
            wire.later(there * 3, self._delivered_again, name, act, False)
            exists = OrderFateUnknown(f"{self.broker_id}: {name} exists already, says the second delivery; reconcile")
            wire.later(there + 2 * back, wire.answer, waiting, None, exists)
            return
        if tape.fires("N2"):
            wire.later(there, lambda: _ignored(self._taken(name, act)))
            return
        if tape.fires("N6"):
            wire.later(tape.amount("N6", 0.0, TIMEOUT_S - 0.1), lambda: _ignored(self._taken(name, act)))
            return
        garbled = silence if tape.fires("N5") else None
        if tape.fires("N4"):
            wire.later(there * 3, self._delivered_again, name, act, True)

        def arrive() -> None:
            ack = self._taken(name, act)
            wire.later(back, wire.answer, waiting, ack, garbled)

        wire.later(there, arrive)

    def _taken(self, name: ClientOrderId, act: Callable[[], Coroutine[Any, Any, OrderAck]]) -> OrderAck:
        """The request has reached the venue."""
        ack = at_once(act())
        if ack.state is not OrderState.REJECTED:
            self.told.may_hide(name)
        return ack

    def _delivered_again(
        self, name: ClientOrderId, act: Callable[[], Coroutine[Any, Any, OrderAck]], may_double: bool
    ) -> None:
        """Where the venue does not know the id (any more), this is a second order of that name."""
        if not self._knows(name):
            if not may_double:
                return
            self.watch.doubled(name)
        self._taken(name, act)

    def _knows(self, name: ClientOrderId) -> bool:
        """It takes no second order of that name."""
        found, ids = at_once(self.venue.find_order(name)), self.capabilities.duplicate_ids
        lives = found is not None and not found.state.is_terminal
        return ids is DuplicateIds.PERMANENT or (lives and ids is DuplicateIds.OPEN_ONLY)

    async def _placed(self, order: Request) -> OrderAck:
        """The venue has it. M6: what fills at once fills far from where the price is."""
        if isinstance(order, ReduceOrder):
            self._stop_fills_before(order)
        if not self._tape.fires("M6"):
            return await self.venue.place(order)
        _, before = await self.venue.fills_since("")
        with self.venue.worse_by(Decimal(str(round(self._tape.amount("M6", 0.002, 0.02), 4)))):
            ack = await self.venue.place(order)
        self.watch.worsened((await self.venue.fills_since(before))[0])
        return ack

    def _stop_fills_before(self, order: ReduceOrder) -> None:
        """B10: both legs. The stop of the same position fills right before a target or a close is taken. Every other
        time that is told later than what became of the second."""
        if self.is_closed or not self.venue.can_stop_out(order) or not self._tape.fires("B10"):
            return
        stops = self.venue.stop_out(order.entry_order_id)
        if self._tape.dice("B10/told").random() < 0.5:
            self.told.tell_late(stops, self._tape.amount("B10", 0.5, 8.0))

    async def _resized(self, name: ClientOrderId, quantity: Decimal, stop: Decimal) -> OrderAck:
        """The venue has been asked for another size of a stop, and where it is to rest."""
        ack = await self._changed(self.venue.resize_stop(name, quantity, stop))
        if ack.state is OrderState.WORKING:
            self.watch.resized_stop(name, stop)
        return ack

    async def _changed(self, change: Coroutine[Any, Any, OrderAck]) -> OrderAck:
        """The venue has changed an order, or has replaced it (B9)."""
        ack = await change
        number = self.told.may_replace(ack.client_order_id) if ack.state is OrderState.WORKING else None
        return replace(ack, venue_order_id=number or ack.venue_order_id)

    async def _refused(self, name: ClientOrderId, reason: str) -> OrderAck:
        await self._boundaries.cross()
        ack = OrderAck(client_order_id=name, state=OrderState.REJECTED, venue_order_id=None, reason=reason)
        return await self._answered(ack)

    async def _answered(self, ack: T) -> T:
        waiting = self._wire.waiting()
        self._wire.later(self._wire.delay_s(), self._wire.answer, waiting, None)
        await waiting
        return ack

    # ----------------------------------------------------------------------------------------------------- questions

    async def _through(self, call: str, send: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return await self._ask(call, lambda: at_once(send()))

    async def _ask(self, what: str, answer: Callable[[], T]) -> T:
        """One question: the answer is that of the instant at which it reaches the venue."""
        wire = self._wire
        waiting = wire.waiting()

        def arrive() -> None:
            wire.later(wire.delay_s(), wire.answer, waiting, answer())

        if self._tape.fires("P5"):
            raise Unforeseen(f"a library stumbled over {what} of {self.broker_id}")
        if self._now() < max(self.dark_until, self.deaf_until, self.banned_until):
            error = BrokerUnavailable(f"{self.broker_id}: {what} was not answered; ask again later")
            wire.later(wire.delay_s(), wire.answer, waiting, None, error)
        else:
            wire.later(wire.delay_s(), arrive)
        value, failed = await waiting
        if failed is not None:
            raise failed
        return value  # type: ignore[no-any-return]

    async def terms(self, symbols: Sequence[Symbol]) -> Sequence[VenueTerms]:
        return await self._ask("terms", lambda: self.described.told(at_once(self.venue.terms(symbols))))

    async def candles(
        self, symbol: Symbol, timeframe: Timeframe, *, since: datetime | None, limit: int
    ) -> Sequence[Candle]:
        return await self._ask("candles", lambda: self.prices.candles(self._candles.closed(symbol, since, limit)))

    async def quote(self, symbol: Symbol) -> Quote:
        told = await self._ask("quote", lambda: self.prices.quote(at_once(self.venue.quote(symbol))))
        self.prices.heard(told)
        return told

    def quotes(self, symbols: Sequence[Symbol]) -> AsyncIterator[Quote]:
        return self.prices.read(symbols)

    async def find_order(self, client_order_id: ClientOrderId) -> VenueOrder | None:
        found = await self._ask("find_order", lambda: self.told.found(client_order_id))
        if found is None:
            self.watch.told_absent(client_order_id)
        return found

    async def open_orders(self) -> Sequence[VenueOrder]:
        return await self._ask("open_orders", lambda: self.told.listed(at_once(self.venue.open_orders())))

    async def protective_orders(self) -> Sequence[VenueOrder]:
        return await self._ask("protective_orders", lambda: self.told.listed(at_once(self.venue.protective_orders())))

    async def positions(self) -> Sequence[VenuePosition]:
        return await self._ask("positions", self.told.positions)

    async def fills_since(self, cursor: str) -> tuple[Sequence[Fill], str]:
        return await self._ask("fills_since", lambda: self.told.fills(cursor))

    async def close(self) -> None:
        self.prices.end_streams()

    # ----------------------------------------------------------------------------------------------- the world's side

    def publish(self, quote: Quote) -> None:
        """The market has moved, and the stream tells it."""
        self.prices.publish(quote, dark_until=self.dark_until)

    def break_stream(self) -> None:
        """It ends with an error, and the venue tells its old fills once more (N11)."""
        self.prices.end_streams()
        self.prices.forget_readers()
        self.told.tell_again()

    def trade_through(self) -> None:
        """What works at the venue fills as far as the price allows, before the next thing happens (B6)."""
        for symbol in {each.symbol: None for each in at_once(self.venue.open_orders())}:
            quote = at_once(self.venue.quote(symbol))
            self.venue.observe(symbol, bid=quote.bid, ask=quote.ask, at=quote.at, gap=True)

    def heal(self) -> None:
        """Faults off: the line is good, what was under way has arrived, and there is somebody to trade with."""
        self.dark_until = self.mute_until = self.deaf_until = 0.0
        self.banned_until = self.closed_until = 0.0
        self.told.heal()
        self.prices.heal()
        self.venue.deepen()
        self._wire.flush()

    def _now(self) -> float:
        return self._loop.time()

    @property
    def is_open(self) -> bool:
        """Orders and questions pass at this moment."""
        until = max(self.dark_until, self.mute_until, self.deaf_until, self.banned_until, self.closed_until)
        return self._now() >= until and not self._is_out_of_time()

    @property
    def is_closed(self) -> bool:
        """Outside the session: nothing trades, nothing is taken (B16)."""
        return self._now() < self.closed_until

    def _is_out_of_time(self) -> bool:
        """The bot's clock is so wrong that the venue takes none of its requests (C2)."""
        expires_s = self.capabilities.request_expires_after_s
        return expires_s is not None and abs(self._clock.step.total_seconds()) > expires_s


def _ignored(_: object) -> None:
    """An answer that nobody gets."""
