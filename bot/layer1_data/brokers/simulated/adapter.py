"""The simulated venue behind the broker contract: what the bot asks, and what it orders.

It stands on two classes: `venue.py` keeps the account and lets the market fill it, `others.py` adds what people and the
venue itself do to it. Whoever drives them (the replay loop, the market player, a simulation) calls their synchronous
methods; the bot calls the asynchronous ones here, as at any venue.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

import numpy as np

from bot.errors import BrokerUnavailable, OrderFateUnknown, StorageError
from bot.instruments import BrokerId, Symbol
from bot.layer1_data.broker_interface import (
    BrokerCapabilities,
    BrokerInterface,
    LastWord,
    RateBudget,
    VenueIdentity,
    VenueOrder,
    VenueTerms,
    foreign_name,
    nothing_against,
)
from bot.layer1_data.brokers.simulated.admission import (
    entry_refusal,
    loose_stop_refusal,
    new_stop_refusal,
    reduction_refusal,
    sale_refusal,
    stop_refusal,
)
from bot.layer1_data.brokers.simulated.entries import BookOrder
from bot.layer1_data.brokers.simulated.matching import Book
from bot.layer1_data.brokers.simulated.others import SharedVenue
from bot.layer1_data.brokers.simulated.translation import (
    answer_of,
    entered,
    open_position,
    reduction_of,
    rejection,
    stop_of,
    told,
)
from bot.models import (
    AccountState,
    ApprovedOrder,
    Candle,
    ClientOrderId,
    Fill,
    OrderAck,
    OrderKind,
    Quote,
    ReduceOrder,
    Side,
    Timeframe,
    VenuePosition,
    entry_of,
    is_stop_leg,
)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class SimulatedBroker(SharedVenue, BrokerInterface):
    """One simulated account as the bot sees it. What kind of venue it is, is said by its `VenueTraits`."""

    # -------------------------------------------------------------------------------------------------------- questions

    @property
    def broker_id(self) -> BrokerId:
        return self._broker_id

    @property
    def capabilities(self) -> BrokerCapabilities:
        return self._traits

    async def identity(self) -> VenueIdentity:
        """A simulated account belongs to nobody."""
        name = f"simulated {self._broker_id}"
        return VenueIdentity(
            account=name, fingerprint=name, is_live=False, currency=self._currency, may_trade=True, may_withdraw=False
        )

    async def terms(self, symbols: Sequence[Symbol]) -> Sequence[VenueTerms]:
        """As the registry has them: this venue was made of it."""
        known = [self._books[each].instrument for each in symbols if each in self._books]
        return [
            VenueTerms(
                symbol=each.symbol,
                tick=each.tick,
                quantity_step=each.quantity_step,
                min_quantity=each.min_quantity,
                min_notional=each.min_notional,
                contract_size=each.contract_size,
                is_open=True,
                says="simulated",
            )
            for each in known
        ]

    async def server_time(self) -> datetime:
        """The market's clock."""
        return self._clock.now()

    @property
    def rate_budget(self) -> RateBudget | None:
        """Nobody counts requests here."""
        return None

    async def candles(
        self, symbol: Symbol, timeframe: Timeframe, *, since: datetime | None, limit: int
    ) -> Sequence[Candle]:
        """What `history` has until now; a candle is closed once its whole time has passed on the market's clock.

        None of a venue without history. Raises BrokerUnavailable of an instrument that is not traded here.
        """
        self._book(symbol)
        if self._history is None:
            return ()
        series = self._history.series(symbol, timeframe)
        newest_open = (self._clock.now() - _EPOCH).total_seconds() - timeframe.seconds
        stop = int(np.searchsorted(series.opened_at_s, newest_open, side="right"))
        start = max(0, stop - limit)
        if since is not None:
            start = int(np.searchsorted(series.opened_at_s, (since - _EPOCH).total_seconds(), side="left"))
            stop = min(stop, start + limit)
        return tuple(series.candle(index) for index in range(start, stop))

    async def quote(self, symbol: Symbol) -> Quote:
        book = self._book(symbol)
        if book.at is None:
            raise BrokerUnavailable(f"{self._broker_id}: no price of {symbol} was observed yet; ask again later")
        return Quote(symbol=symbol, bid=book.bid, ask=book.ask, at=book.at)

    def quotes(self, symbols: Sequence[Symbol]) -> AsyncIterator[Quote]:
        return self._stream.read(symbols)

    async def account(self) -> AccountState:
        return AccountState(
            broker_id=self._broker_id,
            currency=self._currency,
            balance=self._ledger.balance,
            equity=self._ledger.equity(),
            margin_used=self._ledger.margin_used(),
            at=self._clock.now(),
        )

    async def find_order(self, client_order_id: ClientOrderId) -> VenueOrder | None:
        order = self._newest(client_order_id)
        return None if order is None or not self._is_visible(order) else told(order)

    async def open_orders(self) -> Sequence[VenueOrder]:
        orders = (order for book in self._books.values() for order in book.orders.values())
        return tuple(told(order) for order in orders if self._is_visible(order))

    async def protective_orders(self) -> Sequence[VenueOrder]:
        stops = (stop for book in self._books.values() for stop in book.stops)
        return tuple(told(stop) for stop in stops if self._is_visible(stop))

    async def positions(self) -> Sequence[VenuePosition]:
        return tuple(
            open_position(position, [each for each in book.stops_of(key) if self._is_visible(each)])
            for book in self._books.values()
            for key, position in book.positions.items()
            if position.quantity
        )

    async def fills_since(self, cursor: str) -> tuple[Sequence[Fill], str]:
        if cursor and not cursor.isdecimal():
            raise BrokerUnavailable(
                f"{self._broker_id}: fill cursor {cursor!r} is not a sequence number of this venue; "
                "read from the beginning with an empty cursor"
            )
        return self._ledger.fills_after(int(cursor or 0)), str(self._ledger.fill_count)

    async def check_connectivity(self) -> None:
        """Always reached: the venue is in this process."""

    async def close(self) -> None:
        self._stream.close()

    # ----------------------------------------------------------------------------------------------------------- orders

    async def place(self, order: ApprovedOrder | ReduceOrder, last_word: LastWord = nothing_against) -> OrderAck:
        """As the contract says; an id that the venue still knows gets the answer of the order that has it, and does
        nothing."""
        await last_word()
        taken = self._same(order.client_order_id)
        if taken is None:
            taken = self._enter(order) if isinstance(order, ApprovedOrder) else self._reduce(order)
        return self._answer(taken)

    async def place_stop(self, position: VenuePosition, stop_order_id: ClientOrderId, stop: Decimal) -> OrderAck:
        taken = self._same(stop_order_id)
        return self._answer(self._protect(position, stop_order_id, stop) if taken is None else taken)

    async def amend_stop(self, entry_order_id: ClientOrderId, stop: Decimal) -> OrderAck:
        """Move the stop. Beyond the current price it triggers at once: where that was reached by a jump, at the price;
        inside a candle at the stop, because the price must have come back through it (SPEC 16, candles, step 5)."""
        entry = self._orders.get(entry_order_id)
        if entry is None or entry.symbol not in self._books:
            return rejection(entry_order_id, "POSITION_NOT_FOUND")
        book = self._books[entry.symbol]
        position = book.positions.get(entry_order_id)
        refusal = stop_refusal(position, book.instrument, stop)
        if not (self._traits.amends_stop and self._traits.stop_follows_position):
            refusal = "NOT_AMENDABLE"
        resting = None if position is None else position.stop
        if position is None or resting is None or refusal:
            return rejection(entry.attached_id or entry_order_id, refusal or "STOP_NOT_FOUND")
        self._unsaved = True
        self._record(book.move_stop(position, resting, stop, self._clock.now()))
        return self._answer(resting)

    async def resize_stop(self, stop_order_id: ClientOrderId, quantity: Decimal, stop: Decimal) -> OrderAck:
        """Only a stop that is an order of its own: it is to close `quantity` more, whatever it has closed already.
        Beyond the standing price it would trigger at once: that is refused, and it stays as it was."""
        resting = self._newest(stop_order_id)
        book = None if resting is None else self._books.get(resting.symbol)
        if resting is None or book is None or resting.client_order_id not in book.loose:
            return rejection(stop_order_id, "STOP_NOT_FOUND")
        refusal = loose_stop_refusal(resting, book, quantity, stop) if self._traits.amends_stop else "NOT_AMENDABLE"
        if refusal:
            return rejection(stop_order_id, refusal)
        self._unsaved = True
        resting.quantity, resting.price = resting.filled + quantity, stop
        return self._answer(resting)

    async def cancel(self, client_order_id: ClientOrderId) -> OrderAck:
        order = self._level(client_order_id) or self._newest(client_order_id)
        if order is None:
            return rejection(client_order_id, "ORDER_NOT_FOUND")
        self._take_back(order)
        return replace(self._answer(order), client_order_id=client_order_id)

    async def cancel_foreign(self, order: VenueOrder) -> OrderAck:
        working = (each for book in self._books.values() for each in book.orders.values())
        found = next((each for each in working if each.venue_order_id == order.venue_order_id), None)
        if found is None:
            return rejection(foreign_name(order), "ORDER_NOT_FOUND")
        self._take_back(found)
        return replace(self._answer(found), client_order_id=foreign_name(order))

    def _take_back(self, order: BookOrder) -> None:
        if not order.state.is_terminal:
            self._unsaved = True
            self._books[order.symbol].cancel(order, "CANCELED_BY_CLIENT")

    def _level(self, stop_order_id: ClientOrderId) -> BookOrder | None:
        """The stop of that one's position, whatever it is called; None where stops have names."""
        if self._traits.names_stops or not is_stop_leg(stop_order_id):
            return None
        held = (position for book in self._books.values() for position in book.positions.values())
        return next((each.stop for each in held if entry_of(each.entry_order_id) == entry_of(stop_order_id)), None)

    # --------------------------------------------------------------------------------------------- taking and answering

    def _enter(self, order: ApprovedOrder) -> BookOrder:
        book = self._books.get(order.symbol)
        taken = entered(order, self._key(order.client_order_id), self._next_venue_id())
        refusal = self._entry_refusal(order, book)
        if self._traits.attached_stop:
            taken.attached_id = self._key(order.stop_order_id)
            taken.attached_venue_id, taken.attached_stop = self._next_venue_id(), order.plan.stop
        return self._admit(taken, book, refusal)

    def _entry_refusal(self, order: ApprovedOrder, book: Book | None) -> str:
        if book is None:
            return "UNKNOWN_SYMBOL"
        if order.side is Side.SELL and not self._traits.allows_short:
            return "NO_SHORT"
        if order.stop_order_id == order.client_order_id or self._same(order.stop_order_id) is not None:
            return "DUPLICATE_STOP_ID"
        free = self._ledger.equity() - self._ledger.margin_used()
        return entry_refusal(order, book, rate=self._ledger.rate(book.instrument), free_margin=free)

    def _reduce(self, order: ReduceOrder) -> BookOrder:
        book = self._books.get(order.symbol)
        position = None if book is None else book.positions.get(order.entry_order_id)
        taken = reduction_of(order, self._key(order.client_order_id), self._next_venue_id(), position)
        return self._admit(taken, book, self._reduction_refusal(order, taken, book))

    def _reduction_refusal(self, order: ReduceOrder, taken: BookOrder, book: Book | None) -> str:
        if order.kind is not OrderKind.MARKET and not self._traits.limit_exits:
            return "LIMIT_NOT_POSSIBLE"
        if book is None:
            return "UNKNOWN_SYMBOL"
        return reduction_refusal(order, book) or sale_refusal(taken, book)

    def _protect(self, claimed: VenuePosition, stop_order_id: ClientOrderId, stop: Decimal) -> BookOrder:
        book = self._books.get(claimed.symbol)
        taken = stop_of(claimed, self._key(stop_order_id), self._next_venue_id(), stop)
        return self._admit(taken, book, "UNKNOWN_SYMBOL" if book is None else new_stop_refusal(taken, book))

    def _answer(self, order: BookOrder) -> OrderAck:
        """Save, then speak. Raises OrderFateUnknown if the state could not be saved: a crash now would forget it."""
        try:
            self.save()
        except StorageError as error:
            raise OrderFateUnknown(
                f"{self._broker_id}: order {order.client_order_id} was taken but not saved ({error}); reconcile"
            ) from error
        return answer_of(order)
