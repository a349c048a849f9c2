"""The simulated venue behind the broker contract. It only translates: matching decides, the ledger counts.

Whoever drives the market (the replay loop, the market player) calls the synchronous methods; the bot calls the
asynchronous ones, as at any venue. Every change is saved before the answer, so that a venue remembers over our crash.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

import numpy as np

from bot.errors import BrokerUnavailable, OrderFateUnknown, StorageError
from bot.instruments import BrokerId, Currency, Instrument, Symbol
from bot.interfaces import CandleSource, Clock, VenueStateStore
from bot.layer1_data.broker_interface import BrokerCapabilities, BrokerInterface, DuplicateIds, VenueOrder
from bot.layer1_data.brokers.simulated.admission import (
    ADMITTED,
    entry_refusal,
    reduction_refusal,
    stop_refusal,
)
from bot.layer1_data.brokers.simulated.ledger import Ledger
from bot.layer1_data.brokers.simulated.matching import ZERO, Book, BookOrder, BookPosition, Execution, Sweep
from bot.layer1_data.brokers.simulated.memory import VenueMemory
from bot.layer1_data.brokers.simulated.quote_stream import QuoteStream
from bot.models import (
    AccountState,
    ApprovedOrder,
    Candle,
    ClientOrderId,
    Fill,
    OrderAck,
    OrderKind,
    OrderRole,
    OrderState,
    Quote,
    ReduceOrder,
    Side,
    Timeframe,
    VenuePosition,
)

ORDERS_KEPT: Final = 2_000
_PRUNED_AT: Final = ORDERS_KEPT + 500
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class SimulatedBroker(BrokerInterface):
    """One simulated account. `liquidity` is the most quantity filled per observation and instrument (None: any).

    Raises StorageError from the constructor if the saved state cannot be used, and from the market side if a change
    cannot be saved (it is tried again with the next change).
    """

    def __init__(
        self,
        *,
        broker_id: BrokerId,
        instruments: Sequence[Instrument],
        clock: Clock,
        currency: Currency,
        balance: Decimal,
        state: VenueStateStore | None = None,
        history: CandleSource | None = None,
        liquidity: Decimal | None = None,
    ) -> None:
        self._broker_id = broker_id
        self._clock = clock
        self._currency = currency
        self._history = history
        self._orders: dict[ClientOrderId, BookOrder] = {}
        self._books = {each.symbol: Book(each, self._orders, liquidity) for each in instruments}
        self._ledger = Ledger(broker_id, currency, balance, self._books.values())
        self._stream = QuoteStream()
        self._order_count = 0
        self._unsaved = False
        self._memory: VenueMemory | None = None
        if state is not None:
            self._memory = VenueMemory(state, orders=self._orders, books=self._books, ledger=self._ledger)
            self._order_count = self._memory.restore()

    # ---------------------------------------------------------------------------------------------- the market side

    def observe(self, symbol: Symbol, *, bid: Decimal, ask: Decimal, at: datetime, gap: bool) -> bool:
        """One price point; True if anything filled. `gap`: reached by a jump (a quote, a candle's open), so stops fill
        at the price itself; otherwise the price moved there continuously and stops fill at the stop."""
        done = self._book(symbol).observe(bid, ask, at, gap=gap)
        if self._stream.is_read(symbol):
            self._stream.publish(Quote(symbol=symbol, bid=bid, ask=ask, at=at))
        return self._settle(done) if done else False

    def observe_range(
        self,
        symbol: Symbol,
        *,
        bid_low: Decimal,
        bid_high: Decimal,
        ask_low: Decimal,
        ask_high: Decimal,
        at: datetime,
    ) -> bool:
        """The rest of a candle after its open: stops first, at the stop price, then limits, at theirs. True if anything
        filled. No price stands until the candle's close is observed (`gap=False`): market orders wait for it."""
        sweep = Sweep(bid_low, bid_high, ask_low, ask_high, at, False, False)
        return self._settle(self._book(symbol).observe_range(sweep))

    def pause(self, symbol: Symbol) -> None:
        """No price until the next observation: between candles nothing trades."""
        self._book(symbol).pause()

    def is_idle(self, symbol: Symbol) -> bool:
        """No order and no position there: observing it can change nothing."""
        return self._book(symbol).is_idle

    # ----------------------------------------------------------------------------------------------------- questions

    @property
    def broker_id(self) -> BrokerId:
        return self._broker_id

    @property
    def capabilities(self) -> BrokerCapabilities:
        return BrokerCapabilities(
            duplicate_ids=DuplicateIds.PERMANENT,
            attached_stop=True,
            stop_follows_position=True,
            amends_stop=True,
            streams_quotes=True,
        )

    async def candles(
        self, symbol: Symbol, timeframe: Timeframe, *, since: datetime | None, limit: int
    ) -> Sequence[Candle]:
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
        order = self._orders.get(client_order_id)
        return None if order is None else _told(order)

    async def open_orders(self) -> Sequence[VenueOrder]:
        return tuple(_told(order) for book in self._books.values() for order in book.orders.values())

    async def protective_orders(self) -> Sequence[VenueOrder]:
        stops = (position.stop for book in self._books.values() for position in book.positions.values())
        return tuple(_told(stop) for stop in stops if stop is not None)

    async def positions(self) -> Sequence[VenuePosition]:
        return tuple(_open(position) for book in self._books.values() for position in book.positions.values())

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

    # -------------------------------------------------------------------------------------------------------- orders

    async def place(self, order: ApprovedOrder | ReduceOrder) -> OrderAck:
        """As the contract says; an id seen before gets the answer of the order that has it, and does nothing."""
        taken = self._orders.get(order.client_order_id)
        if taken is None:
            taken = self._enter(order) if isinstance(order, ApprovedOrder) else self._reduce(order)
        return self._answer(taken)

    async def place_stop(self, position: VenuePosition, stop_order_id: ClientOrderId, stop: Decimal) -> OrderAck:
        taken = self._orders.get(stop_order_id)
        return self._answer(self._protect(position, stop_order_id, stop) if taken is None else taken)

    async def amend_stop(self, entry_order_id: ClientOrderId, stop: Decimal) -> OrderAck:
        """Move the stop. Beyond the current price it triggers at once: where that was reached by a jump, at the price;
        inside a candle at the stop, because the price must have come back through it (SPEC 16, candles, step 5)."""
        entry = self._orders.get(entry_order_id)
        if entry is None or entry.symbol not in self._books:
            return _no(entry_order_id, "POSITION_NOT_FOUND")
        book = self._books[entry.symbol]
        position = book.positions.get(entry_order_id)
        refusal = stop_refusal(position, book.instrument, stop)
        if position is None or refusal:
            return _no(entry.attached_id or entry_order_id, refusal)
        resting = position.stop
        if resting is None:
            return _no(entry.attached_id or entry_order_id, "STOP_NOT_FOUND")
        self._unsaved = True
        self._list(book.move_stop(position, resting, stop, self._clock.now()))
        return self._answer(resting)

    async def cancel(self, client_order_id: ClientOrderId) -> OrderAck:
        order = self._orders.get(client_order_id)
        if order is None:
            return _no(client_order_id, "ORDER_NOT_FOUND")
        if not order.state.is_terminal:
            self._unsaved = True
            self._books[order.symbol].cancel(order, "CANCELED_BY_CLIENT")
        return self._answer(order)

    # ----------------------------------------------------------------------------------------------------- inside

    def _book(self, symbol: Symbol) -> Book:
        book = self._books.get(symbol)
        if book is None:
            raise BrokerUnavailable(f"{self._broker_id}: {symbol} is not traded here; route it to another broker")
        return book

    def _enter(self, order: ApprovedOrder) -> BookOrder:
        book = self._books.get(order.symbol)
        taken = BookOrder(
            client_order_id=order.client_order_id,
            venue_order_id=self._next_venue_id(),
            symbol=order.symbol,
            side=order.side,
            role=OrderRole.ENTRY,
            kind=order.kind,
            quantity=order.quantity,
            price=ZERO if order.kind is OrderKind.MARKET else order.limit_price or ZERO,
            entry_order_id=order.client_order_id,
            attached_id=order.stop_order_id,
            attached_venue_id=self._next_venue_id(),
            attached_stop=order.plan.stop,
        )
        return self._admit(taken, book, self._entry_refusal(order, book))

    def _entry_refusal(self, order: ApprovedOrder, book: Book | None) -> str:
        if book is None:
            return "UNKNOWN_SYMBOL"
        if order.stop_order_id in self._orders or order.stop_order_id == order.client_order_id:
            return "DUPLICATE_STOP_ID"
        free = self._ledger.equity() - self._ledger.margin_used()
        return entry_refusal(order, book, rate=self._ledger.rate(book.instrument), free_margin=free)

    def _reduce(self, order: ReduceOrder) -> BookOrder:
        book = self._books.get(order.symbol)
        position = None if book is None else book.positions.get(order.entry_order_id)
        taken = BookOrder(
            client_order_id=order.client_order_id,
            venue_order_id=self._next_venue_id(),
            symbol=order.symbol,
            side=order.side,
            role=OrderRole.EXIT,
            kind=order.kind,
            quantity=order.quantity if position is None else min(order.quantity, position.quantity),
            price=ZERO if order.kind is OrderKind.MARKET else order.limit_price or ZERO,
            entry_order_id=order.entry_order_id,
        )
        refusal = "UNKNOWN_SYMBOL" if book is None else reduction_refusal(order, position, book.instrument)
        return self._admit(taken, book, refusal)

    def _protect(self, claimed: VenuePosition, stop_order_id: ClientOrderId, stop: Decimal) -> BookOrder:
        book = self._books.get(claimed.symbol)
        position = None if book is None else book.positions.get(claimed.entry_order_id)
        taken = BookOrder(
            client_order_id=stop_order_id,
            venue_order_id=self._next_venue_id(),
            symbol=claimed.symbol,
            side=Side.closing(claimed.direction if position is None else position.direction),
            role=OrderRole.STOP,
            kind=OrderKind.STOP,
            quantity=claimed.quantity,
            price=stop,
            entry_order_id=claimed.entry_order_id,
        )
        refusal = "UNKNOWN_SYMBOL" if book is None else stop_refusal(position, book.instrument, stop)
        if position is not None and position.stop is not None:
            refusal = "STOP_EXISTS"
        if book is None or position is None or refusal:
            return self._admit(taken, book, refusal)
        self._unsaved = True
        self._orders[stop_order_id] = taken
        self._list(book.move_stop(position, taken, stop, self._clock.now()))
        return taken

    def _admit(self, order: BookOrder, book: Book | None, refusal: str) -> BookOrder:
        """Remember the order; give it to its book unless it is refused."""
        self._unsaved = True
        self._orders[order.client_order_id] = order
        if refusal != ADMITTED or book is None:
            order.state, order.reason = OrderState.REJECTED, refusal
        else:
            self._list(book.accept(order, self._clock.now()))
        return order

    def _next_venue_id(self) -> str:
        self._order_count += 1
        return f"{self._broker_id}-o-{self._order_count}"

    def _list(self, done: list[Execution]) -> None:
        for execution in done:
            self._ledger.book(execution)

    def _settle(self, done: list[Execution]) -> bool:
        """Book what the market filled and save it; what a failed save left open is saved now too."""
        if done:
            self._unsaved = True
            self._list(done)
        self._save()
        return bool(done)

    def _answer(self, order: BookOrder) -> OrderAck:
        """Save, then speak. Raises OrderFateUnknown if the state could not be saved: a crash now would forget it."""
        try:
            self._save()
        except StorageError as error:
            raise OrderFateUnknown(
                f"{self._broker_id}: order {order.client_order_id} was taken but not saved ({error}); reconcile"
            ) from error
        return OrderAck(
            client_order_id=order.client_order_id,
            state=order.state if order.state.is_terminal else OrderState.WORKING,
            venue_order_id=order.venue_order_id,
            reason=order.reason,
        )

    def _save(self) -> None:
        if not self._unsaved:
            return
        if len(self._orders) > _PRUNED_AT:
            self._prune()
        if self._memory is not None:
            self._memory.save(order_count=self._order_count)
        self._unsaved = False

    def _prune(self) -> None:
        """Forget the oldest finished orders beyond ORDERS_KEPT, so that a long run stays bounded; never the entry of
        an open position."""
        needed = {entry_order_id for book in self._books.values() for entry_order_id in book.positions}
        finished = [key for key, each in self._orders.items() if each.state.is_terminal and key not in needed]
        for client_order_id in finished[: len(self._orders) - ORDERS_KEPT]:
            del self._orders[client_order_id]
            if self._memory is not None:
                self._memory.forget(client_order_id)


def _no(client_order_id: ClientOrderId, reason: str) -> OrderAck:
    """A rejection of something that has no order of its own."""
    return OrderAck(client_order_id=client_order_id, state=OrderState.REJECTED, venue_order_id=None, reason=reason)


def _told(order: BookOrder) -> VenueOrder:
    return VenueOrder(
        client_order_id=order.client_order_id,
        venue_order_id=order.venue_order_id,
        symbol=order.symbol,
        side=order.side,
        state=order.state,
        quantity=order.quantity,
        filled_quantity=order.filled,
        price=None if order.kind is OrderKind.MARKET else order.price,
        reduces_only=order.role is not OrderRole.ENTRY,
    )


def _open(position: BookPosition) -> VenuePosition:
    return VenuePosition(
        entry_order_id=position.entry_order_id,
        symbol=position.symbol,
        direction=position.direction,
        quantity=position.quantity,
        average_price=position.average_price,
        stop_price=None if position.stop is None else position.stop.price,
        stop_order_id=None if position.stop is None else position.stop.client_order_id,
    )
