"""Orders of Binance spot: each sent once, each sale bounded by what its entry holds, for there is no reduce-only."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from bot.errors import BrokerUnavailable, OrderFateUnknown
from bot.instruments import Instrument, Symbol
from bot.interfaces import Clock
from bot.layer1_data.broker_interface import (
    WOULD_TRIGGER,
    LastWord,
    VenueOrder,
    beyond_bound,
    foreign_name,
    nothing_against,
)
from bot.layer1_data.brokers.binance import from_binance, to_binance
from bot.layer1_data.brokers.binance.account import Account, orders_of
from bot.layer1_data.brokers.binance.errors import Fate, Reply, readable, unanswered
from bot.layer1_data.brokers.binance.from_binance import ZERO, rejection
from bot.layer1_data.brokers.binance.ledger import SymbolLedger
from bot.layer1_data.brokers.binance.wire import Endpoint, Wire
from bot.layer1_data.brokers.limiter import Priority
from bot.models import ApprovedOrder, ClientOrderId, OrderAck, OrderKind, OrderState, Quote, ReduceOrder, Side, entry_of

_NOTHING_DONE: Final = (Fate.NOT_SENT, Fate.UNAVAILABLE, Fate.CLOCK, Fate.KEY)
_NO_SHORTS: Final = "SHORT_NOT_POSSIBLE: a spot account sells only what it holds; trade shorts at another venue"
POSITION_NOT_FOUND: Final = "POSITION_NOT_FOUND"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Doubt:
    """A sale of unknown fate, until it is seen or too old to come."""

    entry: ClientOrderId
    quantity: Decimal
    until_s: float


HeldOf = Callable[[ClientOrderId, Instrument], Awaitable[Decimal]]
QuoteOf = Callable[[Symbol], Awaitable[Quote]]


class Orders:
    """Places, cancels and finds."""

    def __init__(
        self,
        wire: Wire,
        account: Account,
        ledgers: Mapping[Symbol, SymbolLedger],
        *,
        clock: Clock,
        expires_after_s: float,
        quote: QuoteOf,
        foreign_quantity: HeldOf,
    ) -> None:
        """`foreign_quantity` tells how much of a foreign position is there. After `expires_after_s` the venue has acted
        on a request or never will."""
        self._wire = wire
        self._account = account
        self._ledgers = ledgers
        self._clock = clock
        self._expires_after_s = expires_after_s
        self._doubtful: dict[ClientOrderId, _Doubt] = {}
        self._unanswered: dict[ClientOrderId, _Doubt] = {}  # stops
        self._quote = quote
        self._foreign_quantity = foreign_quantity
        self._selling = {each: asyncio.Lock() for each in ledgers}

    async def enter(self, order: ApprovedOrder, last_word: LastWord) -> OrderAck:
        """Buy. LIMIT rests until it is filled or cancelled, MARKET takes what is there within its bound. Without a stop
        that could rest nothing is bought."""
        name, ledger = order.client_order_id, self._ledgers.get(order.symbol)
        if ledger is None:
            return rejection(name, "UNKNOWN_SYMBOL")
        if order.side is Side.SELL:
            return rejection(name, _NO_SHORTS)
        if order.kind is not OrderKind.MARKET and order.limit_price is None:
            return rejection(name, "PRICE_MISSING")
        if refusal := _stop_refusal(order, ledger.instrument, (await self._quote(order.symbol)).bid):
            return rejection(name, refusal)
        if order.kind is OrderKind.MARKET:
            asked = to_binance.entry(ledger.instrument, name, order.side, order.quantity, order.price_bound)
            ack = await self._place(ledger, name, asked, Priority.ORDER, last_word)
            return _within_bound(ack, order)
        asked = to_binance.order(ledger.instrument, name, order.side, order.kind, order.quantity, order.limit_price)
        return await self._place(ledger, name, asked, Priority.ORDER, last_word)

    async def reduce(self, order: ReduceOrder, last_word: LastWord) -> OrderAck:
        """Sell no more than the entry holds and nothing else locks."""
        name, ledger = order.client_order_id, self._ledgers.get(order.symbol)
        if ledger is None:
            return rejection(name, "UNKNOWN_SYMBOL")
        if order.side is not Side.SELL:
            return rejection(name, "WRONG_SIDE: a spot position is closed by a sale")
        async with self._selling[order.symbol]:
            if refusal := await self._doubt(order.entry_order_id, ledger, order.quantity):
                return rejection(name, refusal)
            await self._look_for_stops(order.entry_order_id, ledger)
            held, locked = await self._held(order.entry_order_id, ledger, Priority.EXIT)
            if held <= ZERO:
                return rejection(name, POSITION_NOT_FOUND)
            quantity = min(order.quantity, held)
            if quantity > held - locked:
                return rejection(name, _locked(quantity, held, locked))
            asked = to_binance.order(ledger.instrument, name, Side.SELL, order.kind, quantity, order.limit_price)
            try:
                return await self._place(ledger, name, asked, Priority.EXIT, last_word)
            except OrderFateUnknown:
                self._doubtful[name] = self._doubted(order.entry_order_id, quantity)
                raise

    async def protect(
        self,
        entry: ClientOrderId,
        ledger: SymbolLedger,
        name: ClientOrderId,
        quantity: Decimal,
        stop: Decimal,
        order_types: frozenset[str],
    ) -> OrderAck:
        """Rest a stop for no more than the entry holds: what it sells beyond that would not be ours."""
        async with self._selling[ledger.instrument.symbol]:
            held, locked = await self._held(entry, ledger, Priority.PROTECTION)
            if held <= ZERO:
                return rejection(name, POSITION_NOT_FOUND)
            quantity = min(ledger.instrument.round_quantity(quantity), held)
            if quantity > held - locked:
                return rejection(name, _locked(quantity, held, locked))
            asked = to_binance.stop(ledger.instrument, name, quantity, stop, order_types)
            try:
                return await self._place(ledger, name, asked, Priority.PROTECTION)
            except OrderFateUnknown:
                self._unanswered[name] = self._doubted(entry, quantity)
                raise

    async def cancel(self, name: ClientOrderId) -> OrderAck:
        """Take one order back; where it is not open any more, say what became of it."""
        ledger = self._ledger_of(name)
        if ledger is None:
            found = await self.find(name, Priority.PROTECTION)
            if found is None or found.state.is_terminal:
                return _ended(name, found, "Unknown order sent.")
            ledger = self._ledgers[found.symbol]
        asked = {"symbol": ledger.instrument.venue_symbol, "origClientOrderId": name}
        reply = await self._wire.send(to_binance.CANCEL, asked, priority=Priority.PROTECTION)
        if reply.fate in (Fate.NOT_OPEN, Fate.NOT_FOUND):
            return _ended(name, await self.find(name, Priority.PROTECTION), reply.says)
        return self._answer(reply, name, ledger, to_binance.CANCEL)

    async def cancel_foreign(self, order: VenueOrder) -> OrderAck:
        """Take back what somebody else has placed: by its number, since its name may be anything."""
        name, ledger = foreign_name(order), self._ledgers[order.symbol]
        asked = {"symbol": ledger.instrument.venue_symbol, "orderId": order.venue_order_id}
        reply = await self._wire.send(to_binance.CANCEL, asked, priority=Priority.PROTECTION)
        if reply.fate is Fate.ACK:
            return OrderAck(client_order_id=name, state=OrderState.CANCELED, venue_order_id=order.venue_order_id)
        if reply.fate in (Fate.NOT_OPEN, Fate.NOT_FOUND):
            return rejection(name, reply.says)
        return self._answer(reply, name, ledger, to_binance.CANCEL)

    async def find(self, name: ClientOrderId, priority: Priority = Priority.READ) -> VenueOrder | None:
        """Ask where it was placed; at every symbol if that is not known, since ids do not tell it."""
        known = self._ledger_of(name)
        ledgers = self._ledgers.values() if known is None else [known]
        found = await asyncio.gather(*(self._find_at(each, name, priority) for each in ledgers))
        return next((each for each in found if each is not None), None)

    # -------------------------------------------------------------------------------------------------------- inside

    async def _find_at(self, ledger: SymbolLedger, name: ClientOrderId, priority: Priority) -> VenueOrder | None:
        asked = {"symbol": ledger.instrument.venue_symbol, "origClientOrderId": name}
        reply = await self._wire.send(to_binance.FIND, asked, priority=priority)
        if reply.fate is Fate.NOT_FOUND:
            return None
        if reply.fate is not Fate.ACK:
            raise unanswered(f"whether there is an order {name} was not answered", reply)
        with readable(f"order {name}"):
            row = from_binance.mapping(reply.data, "an order")
            told = from_binance.venue_order(row, ledger.instrument)
            ledger.note_maker(row["orderId"], replace(from_binance.maker(row), client_order_id=name))
        return replace(told, client_order_id=name)

    async def _held(self, entry: ClientOrderId, ledger: SymbolLedger, priority: Priority) -> tuple[Decimal, Decimal]:
        """What the entry has in whole steps, and how much of that rests in other sales of it.

        What rests is read first: what fills between the two looks is then missing from what is held, and never from
        both. The account may hold coins of others, and a sale too many would sell those (B10).
        """
        instrument = ledger.instrument
        working = await self._account.working(priority, (instrument.symbol,))
        if entry_of(entry) != entry:
            held = await self._foreign_quantity(entry, instrument)
        else:
            with readable("trades"):
                await ledger.refresh(priority)
            holding = ledger.holdings.get(entry)
            left = ZERO if holding is None else max(ZERO, holding.quantity - ledger.untold(entry))
            held = instrument.round_quantity(left)
        sales = [each for each in orders_of(entry, (*working.orders, *working.stops)) if each.side is Side.SELL]
        return held, sum((each.quantity - each.filled_quantity for each in sales), ZERO)

    async def _look_for_stops(self, entry: ClientOrderId, ledger: SymbolLedger) -> None:
        """One whose answer was lost may have come to rest and filled since: what it says it has sold is noted."""
        for name, doubt in [each for each in self._unanswered.items() if each[1].entry == entry]:
            found = await self._find_at(ledger, name, Priority.EXIT)
            never = found is None and self._clock.monotonic() > doubt.until_s
            if never or (found is not None and found.state.is_terminal):
                self._unanswered.pop(name, None)

    def _doubted(self, entry: ClientOrderId, quantity: Decimal) -> _Doubt:
        return _Doubt(entry=entry, quantity=quantity, until_s=self._clock.monotonic() + self._expires_after_s)

    async def _doubt(self, entry: ClientOrderId, ledger: SymbolLedger, quantity: Decimal) -> str:
        """Why `quantity` may not be sold beside an earlier sale of unknown fate; empty if it may.

        Spot has no reduce-only: if that one arrives late it is refused for lack of coins, unless there are others than
        this entry's. Then it would sell those.
        """
        doubtful = ZERO
        for name, doubt in [each for each in self._doubtful.items() if each[1].entry == entry]:
            if self._clock.monotonic() > doubt.until_s or await self._find_at(ledger, name, Priority.EXIT):
                self._doubtful.pop(name, None)
            else:
                doubtful += doubt.quantity
        if not doubtful:
            return ""
        facts = await self._account.facts(Priority.EXIT)
        with readable("balances"):
            beyond = from_binance.free(facts, ledger.instrument.base_currency) - quantity
        if beyond < doubtful:
            return ""
        return (
            f"IN_DOUBT: an earlier sale of {doubtful:f} is of unknown fate and would now sell what is not this entry's"
        )

    async def _place(
        self,
        ledger: SymbolLedger,
        name: ClientOrderId,
        asked: dict[str, str],
        priority: Priority,
        last_word: LastWord = nothing_against,
    ) -> OrderAck:
        ledger.note_name(name)
        reply = await self._wire.send(to_binance.ORDER, asked, priority=priority, last_word=last_word)
        if reply.fate is Fate.EXISTS:
            return await self._existing(ledger, name, reply)
        return self._answer(reply, name, ledger, to_binance.ORDER)

    def _answer(self, reply: Reply, name: ClientOrderId, ledger: SymbolLedger, endpoint: Endpoint) -> OrderAck:
        if reply.fate is Fate.WOULD_TRIGGER:
            return rejection(name, WOULD_TRIGGER)
        if reply.fate is Fate.REJECTED:
            return rejection(name, reply.says)
        if reply.fate in _NOTHING_DONE:
            raise unanswered(f"{endpoint.method} of order {name} had no effect", reply)
        if reply.fate is not Fate.ACK:
            raise OrderFateUnknown(
                f"binance: no usable answer to {endpoint.method} of order {name}: {reply.says}; reconcile"
            )
        try:
            row = from_binance.mapping(reply.data, "an order")
            answered = from_binance.ack(row, name)
            done = from_binance.trades_of_ack(row)
            made_by = from_binance.maker(row)
        except (ValueError, KeyError, TypeError) as error:
            raise OrderFateUnknown(f"binance: the answer to order {name} cannot be read: {error}; reconcile") from error
        ledger.note_maker(row["orderId"], made_by)
        ledger.note_trades(done)
        return answered

    async def _existing(self, ledger: SymbolLedger, name: ClientOrderId, reply: Reply) -> OrderAck:
        """The id is in use: the order that has it is the answer. Without seeing that one nothing is known."""
        try:
            found = await self._find_at(ledger, name, Priority.PROTECTION)
        except BrokerUnavailable as error:
            raise OrderFateUnknown(f"binance: order {name}: {reply.says}; {error}; reconcile") from error
        if found is None:
            raise OrderFateUnknown(f"binance: order {name}: {reply.says}, but it is not shown; reconcile")
        return _found(name, found)

    def _ledger_of(self, name: ClientOrderId) -> SymbolLedger | None:
        """Where it was placed or seen; names do not tell it."""
        return next((each for each in self._ledgers.values() if each.knows(name)), None)


def _stop_refusal(order: ApprovedOrder, instrument: Instrument, bid: Decimal) -> str:
    """Why the stop that is to follow would be refused; empty if it would not."""
    stop = order.plan.stop
    if order.stop_order_id == order.client_order_id:
        return f"DUPLICATE_STOP_ID: {order.stop_order_id} names the entry and its stop"
    if stop % instrument.tick:
        return f"PRECISION: stop {stop:f} is not on the tick {instrument.tick:f}"
    if stop >= bid:
        return f"STOP_ON_WRONG_SIDE: stop {stop:f} is not below the bid {bid:f}"
    return ""


def _within_bound(ack: OrderAck, order: ApprovedOrder) -> OrderAck:
    """An order that was taken and of which nothing was there at its price, in words."""
    if ack.state is not OrderState.REJECTED or ack.reason.partition(" ")[0] != "EXPIRED":
        return ack
    return replace(ack, reason=beyond_bound(ack.reason, order.side, order.price_bound))


def _locked(quantity: Decimal, held: Decimal, locked: Decimal) -> str:
    return (
        f"LOCKED: {quantity:f} cannot be sold, {locked:f} of the {held:f} that the entry holds rest in its "
        "other orders; cancel those first"
    )


def _ended(name: ClientOrderId, found: VenueOrder | None, says: str) -> OrderAck:
    return rejection(name, says) if found is None else _found(name, found)


def _found(name: ClientOrderId, found: VenueOrder) -> OrderAck:
    state = found.state if found.state.is_terminal else OrderState.WORKING
    return OrderAck(client_order_id=name, state=state, venue_order_id=found.venue_order_id)
