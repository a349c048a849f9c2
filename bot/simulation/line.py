"""A simulated venue at the other end of a bad line: the broker contract with every network and venue fault of a tape.

What the venue really did is in `venue`; what the bot is told passes here. The bot's side is the contract, the world's
side are the plain methods at the end.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, TypeVar

from bot.errors import BrokerUnavailable, OrderFateUnknown
from bot.instruments import BrokerId, Symbol
from bot.layer1_data.broker_interface import (
    WOULD_TRIGGER,
    BrokerCapabilities,
    BrokerInterface,
    DuplicateIds,
    RateBudget,
    VenueIdentity,
    VenueOrder,
    VenueTerms,
)
from bot.layer1_data.brokers.simulated.adapter import SimulatedBroker
from bot.models import (
    AccountState,
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
    leg_of,
)
from bot.simulation.clock import LoopClock
from bot.simulation.loop import SimulatedLoop
from bot.simulation.ports import Boundaries, Unforeseen, Wire, at_once
from bot.simulation.tape import Tape

T = TypeVar("T")

TIMEOUT_S: Final = 10.0
_BAD_FACTORS: Final = ("0", "-1", "NaN", "Infinity", "10", "0.1")
Request = ApprovedOrder | ReduceOrder


class Watch:
    """Who looks at what passes the line. The world fills it in; by default nobody looks."""

    def __init__(self) -> None:
        self.sending: Callable[[BrokerId, ClientOrderId, Request | None], None] = lambda *_: None
        self.not_sent: Callable[[ClientOrderId], None] = lambda _: None
        self.told_beyond: Callable[[ClientOrderId], None] = lambda _: None
        self.refused_stop: Callable[[ClientOrderId], None] = lambda _: None
        self.doubled: Callable[[ClientOrderId], None] = lambda _: None
        self.moving_stop: Callable[[BrokerId, ClientOrderId, Decimal], None] = lambda *_: None
        self.cancelling: Callable[[BrokerId, ClientOrderId], None] = lambda *_: None
        self.told_absent: Callable[[ClientOrderId], None] = lambda _: None
        self.told_bad_quote: Callable[[Quote], None] = lambda _: None


class VenueLine(BrokerInterface):
    """One venue as one bot sees it, over restarts."""

    def __init__(
        self,
        venue: SimulatedBroker,
        *,
        loop: SimulatedLoop,
        tape: Tape,
        boundaries: Boundaries,
        candles: "CandleBook",
        clock: LoopClock,
    ) -> None:
        self.venue = venue
        self.watch = Watch()
        self.dark_until = self.mute_until = self.deaf_until = 0.0
        self.stalled_until = self.frozen_until = self.disagreeing_until = 0.0
        self.banned_until = self.closed_until = 0.0
        self._clock = clock
        self._loop = loop
        self._tape = tape
        self._boundaries = boundaries
        self._candles = candles
        self._wire = Wire(loop, tape, venue.broker_id)
        self._readers: list[_Reader] = []
        self._hidden: dict[ClientOrderId, float] = {}
        self._frozen: dict[Symbol, Quote] = {}
        self._lied_at: dict[Symbol, float] = {}
        self._old_positions: Sequence[VenuePosition] = ()
        self._seen = ""
        self._held: list[Fill] = []
        self._told: list[Fill] = []

    # ------------------------------------------------------------------------------------------------------- orders

    async def place(self, order: Request) -> OrderAck:
        self.watch.sending(self.broker_id, order.client_order_id, order)
        return await self._request(order.client_order_id, lambda: self._placed(order))

    async def place_stop(self, position: VenuePosition, stop_order_id: ClientOrderId, stop: Decimal) -> OrderAck:
        self.watch.sending(self.broker_id, stop_order_id, None)
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
        return await self._request(entry_order_id, lambda: self.venue.amend_stop(entry_order_id, stop))

    async def resize_stop(self, stop_order_id: ClientOrderId, quantity: Decimal, stop: Decimal) -> OrderAck:
        return await self._request(stop_order_id, lambda: self.venue.resize_stop(stop_order_id, quantity, stop))

    async def cancel(self, client_order_id: ClientOrderId) -> OrderAck:
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
        if self._now() < self.mute_until or tape.fires("N1"):
            return
        if tape.fires("N3"):
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
        if ack.state is not OrderState.REJECTED and name not in self._hidden and self._tape.fires("B18"):
            self._hidden[name] = self._now() + self._tape.amount("B18", 5.0, 30.0)
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
        if not self._tape.fires("M6"):
            return await self.venue.place(order)
        with self.venue.worse_by(Decimal(str(round(self._tape.amount("M6", 0.002, 0.02), 4)))):
            return await self.venue.place(order)

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

    @property
    def broker_id(self) -> BrokerId:
        return self.venue.broker_id

    @property
    def capabilities(self) -> BrokerCapabilities:
        return self.venue.capabilities

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

    async def identity(self) -> VenueIdentity:
        return await self._ask("identity", lambda: at_once(self.venue.identity()))

    async def terms(self, symbols: Sequence[Symbol]) -> Sequence[VenueTerms]:
        return await self._ask("terms", lambda: at_once(self.venue.terms(symbols)))

    async def server_time(self) -> datetime:
        return await self._ask("server time", lambda: at_once(self.venue.server_time()))

    @property
    def rate_budget(self) -> RateBudget | None:
        return self.venue.rate_budget

    async def candles(
        self, symbol: Symbol, timeframe: Timeframe, *, since: datetime | None, limit: int
    ) -> Sequence[Candle]:
        return await self._ask("candles", lambda: self._told_candles(self._candles.closed(symbol, since, limit)))

    async def quote(self, symbol: Symbol) -> Quote:
        return await self._ask("quote", lambda: self._told_quote(at_once(self.venue.quote(symbol))))

    def quotes(self, symbols: Sequence[Symbol]) -> AsyncIterator[Quote]:
        reader = _Reader(self._loop, frozenset(symbols), self.broker_id)
        self._readers.append(reader)
        return reader

    async def account(self) -> AccountState:
        return await self._ask("account", lambda: at_once(self.venue.account()))

    async def find_order(self, client_order_id: ClientOrderId) -> VenueOrder | None:
        found = await self._ask("find_order", lambda: self._found(client_order_id))
        if found is None:
            self.watch.told_absent(client_order_id)
        return found

    async def open_orders(self) -> Sequence[VenueOrder]:
        return await self._ask("open_orders", lambda: self._listed(at_once(self.venue.open_orders())))

    async def protective_orders(self) -> Sequence[VenueOrder]:
        return await self._ask("protective_orders", lambda: self._listed(at_once(self.venue.protective_orders())))

    async def positions(self) -> Sequence[VenuePosition]:
        return await self._ask("positions", self._positions)

    async def fills_since(self, cursor: str) -> tuple[Sequence[Fill], str]:
        return await self._ask("fills_since", lambda: self._fills(cursor))

    async def check_connectivity(self) -> None:
        await self._ask("check_connectivity", lambda: None)

    async def close(self) -> None:
        for reader in self._readers:
            reader.end()

    # ------------------------------------------------------------------------------------------------- what is told

    def _now(self) -> float:
        return self._loop.time()

    def _is_hidden(self, name: ClientOrderId | None) -> bool:
        return name is not None and self._hidden.get(name, 0.0) > self._now()

    def _found(self, name: ClientOrderId) -> VenueOrder | None:
        return None if self._is_hidden(name) else at_once(self.venue.find_order(name))

    def _listed(self, orders: Sequence[VenueOrder]) -> Sequence[VenueOrder]:
        shown = [each for each in orders if not self._is_hidden(each.client_order_id)]
        return shown[: len(shown) // 2] if shown and self._tape.fires("B17") else shown

    def _positions(self) -> Sequence[VenuePosition]:
        if self._now() < self.disagreeing_until:
            return self._old_positions
        return [each for each in at_once(self.venue.positions()) if not self._is_hidden(each.entry_order_id)]

    def _fills(self, cursor: str) -> tuple[Sequence[Fill], str]:
        """Fills that may be told now; the cursor counts what was told, not what happened."""
        fresh, self._seen = at_once(self.venue.fills_since(self._seen))
        self._held.extend(fresh)
        shown = [each for each in self._held if not self._is_hidden(each.client_order_id)]
        self._held = [each for each in self._held if self._is_hidden(each.client_order_id)]
        if shown and self._tape.fires("N12"):
            shown = [each for fill in reversed(shown) for each in (fill, fill)]
        self._told.extend(shown)
        return self._told[int(cursor or 0) :], str(len(self._told))

    def _told_candles(self, candles: Sequence[Candle]) -> Sequence[Candle]:
        """M2: one is missing, comes twice, comes first, is still open, or was not yet final."""
        if not candles or not self._tape.fires("M2"):
            return candles
        *rest, last = candles
        kind = self._tape.dice("M2/kind").randrange(5)
        if kind == 0:
            return rest
        if kind == 1:
            return [*rest, last, last]
        if kind == 2:
            return [last, *rest]
        if kind == 3:
            ahead = last.closed_at - last.opened_at
            return [*candles, replace(last, opened_at=last.closed_at, closed_at=last.closed_at + ahead)]
        return [*rest, replace(last, open=last.close)]

    def _told_quote(self, quote: Quote) -> Quote:
        if self._now() < self.frozen_until:
            return self._frozen.setdefault(quote.symbol, quote)
        told = quote
        if self._now() - self._lied_at.get(quote.symbol, -10.0) < 10.0:
            return quote  # one bad tick, not two that confirm each other
        if self._tape.fires("M1"):
            factor = Decimal(self._tape.dice("M1/kind").choice(_BAD_FACTORS))
            told = replace(quote, bid=quote.bid * factor, ask=quote.ask * factor)
        if self._tape.fires("M4"):
            gap = quote.mid / (50 if self._tape.dice("M4/kind").random() < 0.5 else -200)
            told = replace(quote, bid=quote.mid - gap, ask=quote.mid + gap)
        if told is not quote:
            self._lied_at[quote.symbol] = self._now()
            self.watch.told_bad_quote(told)
        return told

    # ----------------------------------------------------------------------------------------------- the world's side

    def publish(self, quote: Quote) -> None:
        """The market has moved: whoever reads the stream gets it, unless the stream stalls."""
        if self._readers and self._now() >= max(self.stalled_until, self.dark_until):
            for reader in self._readers:
                if quote.symbol in reader.symbols:
                    reader.put(self._told_quote(quote))

    def forget_readers(self) -> None:
        """The process that read is gone."""
        self._readers.clear()

    def break_stream(self) -> None:
        """It ends with an error, and the venue tells its old fills once more (N11)."""
        for reader in self._readers:
            reader.end()
        self._readers.clear()
        self._told.extend(self._told[-6:])

    def freeze_quotes(self, seconds: float) -> None:
        """Quotes stand still (M3)."""
        self._frozen.clear()
        self.frozen_until = self._now() + seconds

    def disagree(self, seconds: float) -> None:
        """Positions are told as they were (N14)."""
        self._old_positions = self._positions()
        self.disagreeing_until = self._now() + seconds

    def trade_through(self) -> None:
        """What works at the venue fills as far as the price allows, before the next thing happens (B6)."""
        for symbol in {each.symbol: None for each in at_once(self.venue.open_orders())}:
            quote = at_once(self.venue.quote(symbol))
            self.venue.observe(symbol, bid=quote.bid, ask=quote.ask, at=quote.at, gap=True)

    def heal(self) -> None:
        """Faults off: the line is good, what was under way has arrived, and there is somebody to trade with."""
        self.dark_until = self.mute_until = self.deaf_until = 0.0
        self.stalled_until = self.frozen_until = self.disagreeing_until = 0.0
        self.banned_until = self.closed_until = 0.0
        self._hidden.clear()
        self.venue.deepen()
        self._wire.flush()

    @property
    def is_open(self) -> bool:
        """Orders and questions pass at this moment."""
        until = max(self.dark_until, self.mute_until, self.deaf_until, self.banned_until, self.closed_until)
        return self._now() >= until and not self._is_out_of_time()

    def hides(self, entry_order_id: ClientOrderId) -> bool:
        """Some order of that entry is in no answer at this moment (B18)."""
        now = self._now()
        return any(until > now and leg_of(name, "E0") == entry_order_id for name, until in self._hidden.items())

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


class CandleBook:
    """Closed one-minute candles of each symbol, made of the market's ticks."""

    def __init__(self) -> None:
        self._closed: dict[Symbol, list[Candle]] = {}

    def add(self, symbol: Symbol, candle: Candle) -> None:
        """One more has closed."""
        self._closed.setdefault(symbol, []).append(candle)

    def closed(self, symbol: Symbol, since: datetime | None, limit: int) -> Sequence[Candle]:
        """As the broker contract says."""
        candles = self._closed.get(symbol, [])
        if since is None:
            return candles[-limit:]
        return [each for each in candles if each.opened_at >= since][:limit]


def minute_candle(opened_at: datetime, mids: Sequence[Decimal]) -> Candle:
    """One candle of mid prices; volume counts ticks."""
    return Candle(
        opened_at=opened_at,
        closed_at=opened_at + timedelta(minutes=1),
        open=mids[0],
        high=max(mids),
        low=min(mids),
        close=mids[-1],
        volume=Decimal(len(mids)),
    )


class _Reader(AsyncIterator[Quote]):
    """One open price stream."""

    def __init__(self, loop: SimulatedLoop, symbols: frozenset[Symbol], broker_id: BrokerId) -> None:
        self.symbols = symbols
        self._loop = loop
        self._broker_id = broker_id
        self._quotes: deque[Quote] = deque(maxlen=16)
        self._woken: asyncio.Future[None] | None = None
        self._ended = False

    def put(self, quote: Quote) -> None:
        self._quotes.append(quote)
        self._wake()

    def end(self) -> None:
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

    async def __anext__(self) -> Quote:
        while not self._quotes:
            if self._ended:
                raise BrokerUnavailable(f"{self._broker_id}: the price stream was closed; it is opened again")
            self._woken = self._loop.create_future()
            await self._woken
        return self._quotes.popleft()
