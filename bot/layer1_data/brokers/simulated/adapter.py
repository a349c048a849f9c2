"""The simulated venue behind the broker contract. It only translates: matching decides, the ledger counts.

Whoever drives the market (the replay loop, the market player) calls the synchronous methods; the bot calls the
asynchronous ones, as at any venue. Every change is saved before the answer, so that a venue remembers over our crash.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

import numpy as np

from bot.errors import BrokerUnavailable, OrderFateUnknown, StorageError, UsageError
from bot.instruments import BrokerId, Currency, Instrument, Symbol
from bot.interfaces import CandleSource, Clock, VenueStateStore
from bot.layer1_data.broker_interface import (
    BrokerCapabilities,
    BrokerInterface,
    DuplicateIds,
    RateBudget,
    VenueIdentity,
    VenueOrder,
    VenueTerms,
)
from bot.layer1_data.brokers.simulated.admission import (
    ADMITTED,
    BELOW_NOTIONAL,
    entry_refusal,
    is_below_notional,
    loose_stop_refusal,
    reduction_refusal,
    stop_refusal,
)
from bot.layer1_data.brokers.simulated.busts import can_be_undone, undo
from bot.layer1_data.brokers.simulated.entries import REPEATED, ZERO, BookOrder, Execution, Sweep
from bot.layer1_data.brokers.simulated.ledger import Booked, Ledger
from bot.layer1_data.brokers.simulated.matching import Book
from bot.layer1_data.brokers.simulated.memory import VenueMemory
from bot.layer1_data.brokers.simulated.quote_stream import QuoteStream
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
    OrderRole,
    OrderState,
    Quote,
    ReduceOrder,
    Side,
    Timeframe,
    VenuePosition,
    entry_of,
    is_stop_leg,
)

ORDERS_KEPT: Final = 2_000
_PRUNED_AT: Final = ORDERS_KEPT + 500
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TOO_LITTLE: Final = "INSUFFICIENT_BALANCE"


class SimulatedBroker(BrokerInterface):
    """One simulated account. `liquidity` is the most quantity filled per observation and instrument (None: any).

    What kind of venue it is, is said by what follows. Without `stop_follows_position` stops are orders of their own:
    reduce-only, several beside each other, left resting when nothing is open any more. An attached one then grows with
    its entry's fills and never shrinks. Orders show in answers `visible_after_s` after they were taken. With
    `cumulative_fills` a fill is named by its order and what that had filled by then. Without `allows_short` nothing is
    sold that is not held. `withheld_ratio` of each purchase that opens is kept as its fee, in what was bought: what can
    be sold is then less than the fill, and whoever asks for more than that is refused. Without `names_stops` the stop
    that follows a position is a level of it: whoever cancels any stop of that position takes this one away. With
    `stop_reserves` exits are ordinary sales, and an instrument's least notional holds for them too, as at Binance spot;
    elsewhere they are reduce-only, and only entries must be worth that much.

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
        attached_stop: bool = True,
        stop_follows_position: bool = True,
        amends_stop: bool = True,
        stop_reserves: bool = False,
        duplicate_ids: DuplicateIds = DuplicateIds.PERMANENT,
        visible_after_s: float = 0,
        cumulative_fills: bool = False,
        request_expires_after_s: float | None = None,
        allows_short: bool = True,
        limit_exits: bool = True,
        exits_end_with_position: bool = True,
        names_stops: bool = True,
        withheld_ratio: Decimal = ZERO,
    ) -> None:
        self._broker_id = broker_id
        self._capabilities = BrokerCapabilities(
            duplicate_ids=duplicate_ids,
            attached_stop=attached_stop,
            stop_follows_position=stop_follows_position,
            amends_stop=amends_stop,
            streams_quotes=True,
            stop_reserves=stop_reserves,
            request_expires_after_s=request_expires_after_s,
            allows_short=allows_short,
            limit_exits=limit_exits,
            exits_end_with_position=exits_end_with_position,
        )
        self._names_stops = names_stops
        self._visible_after = timedelta(seconds=visible_after_s)
        self._taken_at: dict[ClientOrderId, datetime] = {}
        self._clock = clock
        self._currency = currency
        self._history = history
        self._orders: dict[ClientOrderId, BookOrder] = {}
        self._books = {
            each.symbol: Book(
                each,
                self._orders,
                liquidity,
                stops_follow=stop_follows_position,
                exits_end=exits_end_with_position,
                withheld_ratio=withheld_ratio,
            )
            for each in instruments
        }
        self._ledger = Ledger(broker_id, currency, balance, self._books.values(), cumulative_fills=cumulative_fills)
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

    @property
    def is_flat(self) -> bool:
        """Nothing is open and nothing rests, at any instrument."""
        return all(book.is_idle for book in self._books.values())

    # ------------------------------------------------------------------------------------------- what others do to us

    @contextmanager
    def worse_by(self, ratio: Decimal) -> Iterator[None]:
        """Meanwhile market orders and stops slip by this share of the price more."""
        for book in self._books.values():
            book.extra_slippage_ratio = ratio
        try:
            yield
        finally:
            for book in self._books.values():
                book.extra_slippage_ratio = ZERO

    def deepen(self) -> None:
        """From now on an observation fills any quantity."""
        for book in self._books.values():
            book.liquidity = None

    def raise_minimum(self, symbol: Symbol, least: Decimal) -> None:
        """From now on reductions and entries below `least` are refused."""
        book = self._book(symbol)
        book.instrument = replace(book.instrument, min_quantity=max(least, book.instrument.min_quantity))

    def least_quantity(self, symbol: Symbol) -> Decimal:
        """Below it, reductions and entries are refused now."""
        return self._book(symbol).instrument.min_quantity

    def fill_more(self, entry_order_id: ClientOrderId) -> bool:
        """Fill an entry by about a tenth more than it asked for; False if it is not filled, or not open any more."""
        entry = self._orders.get(entry_order_id)
        if entry is None or entry.state is not OrderState.FILLED:
            return False
        book = self._books[entry.symbol]
        extra = max(book.instrument.round_quantity(entry.quantity / 10), book.instrument.quantity_step)
        return self._settle(book.overfill(entry, extra, self._clock.now()))

    def close_by_other(self, name: ClientOrderId, entry_order_id: ClientOrderId, quantity: Decimal) -> None:
        """Somebody else sells what we hold: a person in the venue's own app, or the venue itself."""
        book = next(each for each in self._books.values() if entry_order_id in each.positions)
        position = book.positions[entry_order_id]
        side = Side.closing(position.direction)
        self._trade_by_other(name, OrderRole.EXIT, position.symbol, side, quantity, entry_order_id, ZERO)

    def open_by_other(self, name: ClientOrderId, symbol: Symbol, side: Side, quantity: Decimal, limit: Decimal) -> None:
        """Somebody else buys or sells in the same account: at the market, or at `limit` (0: at the market)."""
        self._trade_by_other(name, OrderRole.ENTRY, symbol, side, quantity, name, limit)

    def split(self, entry_order_id: ClientOrderId, factor: int) -> None:
        """A corporate action: so many times the quantity; a stop that follows it is as large."""
        for book in self._books.values():
            position = book.positions.get(entry_order_id)
            if position is not None:
                position.quantity *= factor
                position.dust *= factor
                position.average_price /= factor
                if position.stop is not None:
                    position.stop.quantity = position.stop.filled + position.quantity

    def renumber(self, client_order_id: ClientOrderId) -> str:
        """A change was a replacement: the order goes on under another id of the venue, which is the answer."""
        order = self._newest(client_order_id)
        if order is None:
            raise UsageError(f"{self._broker_id}: {client_order_id} is not known here; change what rests")
        order.venue_order_id = self._next_venue_id()
        self._unsaved = True
        self._save()
        return order.venue_order_id

    def can_be_taken_back(self) -> list[Booked]:
        """The newest fills that a bust could undo."""
        return [each for each in self._ledger.newest if can_be_undone(self._book(each.fill.symbol), each.execution)]

    def take_back(self, booked: Booked) -> ClientOrderId:
        """A bust: the fill is gone from the history, position and cash are as before it. The entry it was about."""
        undo(self._book(booked.fill.symbol), booked.execution)
        self._ledger.take_back(booked)
        if self._memory is not None:
            self._memory.forget(booked.execution.order.client_order_id)  # it had ended otherwise
        self._unsaved = True
        self._save()
        return booked.execution.order.entry_order_id

    def is_taken_back(self, fill: Fill) -> bool:
        """It was told once, and never happened."""
        return fill.venue_fill_id in self._ledger.busted

    def _trade_by_other(
        self,
        name: ClientOrderId,
        role: OrderRole,
        symbol: Symbol,
        side: Side,
        quantity: Decimal,
        entry_order_id: ClientOrderId,
        limit: Decimal,
    ) -> None:
        taken = BookOrder(
            client_order_id=name,
            venue_order_id=self._next_venue_id(),
            symbol=symbol,
            side=side,
            role=role,
            kind=OrderKind.LIMIT if limit else OrderKind.MARKET,
            quantity=quantity,
            price=limit,
            entry_order_id=entry_order_id,
        )
        self._admit(taken, self._book(symbol), ADMITTED)
        self._save()

    # ----------------------------------------------------------------------------------------------------- questions

    @property
    def broker_id(self) -> BrokerId:
        return self._broker_id

    @property
    def capabilities(self) -> BrokerCapabilities:
        return self._capabilities

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
        stops = [each for book in self._books.values() for each in book.loose.values()]
        stops += [
            each
            for book in self._books.values()
            if book.stops_follow
            for key in book.positions
            for each in book.stops_of(key)
        ]
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

    # -------------------------------------------------------------------------------------------------------- orders

    async def place(self, order: ApprovedOrder | ReduceOrder) -> OrderAck:
        """As the contract says; an id that the venue still knows gets the answer of the order that has it, and does
        nothing."""
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
        if not (self._capabilities.amends_stop and book.stops_follow):
            refusal = "NOT_AMENDABLE"
        if position is None or refusal:
            return rejection(entry.attached_id or entry_order_id, refusal)
        resting = position.stop
        if resting is None:
            return rejection(entry.attached_id or entry_order_id, "STOP_NOT_FOUND")
        self._unsaved = True
        self._list(book.move_stop(position, resting, stop, self._clock.now()))
        return self._answer(resting)

    async def resize_stop(self, stop_order_id: ClientOrderId, quantity: Decimal, stop: Decimal) -> OrderAck:
        resting = self._newest(stop_order_id)
        if resting is None or resting.client_order_id not in self._books[resting.symbol].loose:
            return rejection(stop_order_id, "STOP_NOT_FOUND")
        book = self._books[resting.symbol]
        position = book.positions.get(resting.entry_order_id)
        refusal = loose_stop_refusal(resting, position, book, quantity, stop)
        if not self._capabilities.amends_stop:
            refusal = "NOT_AMENDABLE"
        if refusal:
            return rejection(stop_order_id, refusal)
        self._unsaved = True
        resting.quantity, resting.price = resting.filled + quantity, stop
        return self._answer(resting)

    async def cancel(self, client_order_id: ClientOrderId) -> OrderAck:
        order = self._level(client_order_id) or self._newest(client_order_id)
        if order is None:
            return rejection(client_order_id, "ORDER_NOT_FOUND")
        if not order.state.is_terminal:
            self._unsaved = True
            self._books[order.symbol].cancel(order, "CANCELED_BY_CLIENT")
        return replace(self._answer(order), client_order_id=client_order_id)

    def _level(self, stop_order_id: ClientOrderId) -> BookOrder | None:
        """The stop of that one's position, whatever it is called; None where stops have names."""
        if self._names_stops or not is_stop_leg(stop_order_id):
            return None
        held = (position for book in self._books.values() for position in book.positions.values())
        return next((each.stop for each in held if entry_of(each.entry_order_id) == entry_of(stop_order_id)), None)

    # ----------------------------------------------------------------------------------------------------- inside

    def _book(self, symbol: Symbol) -> Book:
        book = self._books.get(symbol)
        if book is None:
            raise BrokerUnavailable(f"{self._broker_id}: {symbol} is not traded here; route it to another broker")
        return book

    def _newest(self, client_order_id: ClientOrderId) -> BookOrder | None:
        """The order of that id that was taken last; one that still lives before one that has ended."""
        found, again = self._orders.get(client_order_id), 2
        while (later := self._orders.get(_repeat(client_order_id, again))) is not None:
            if found is None or found.state.is_terminal or not later.state.is_terminal:
                found = later
            again += 1
        return found

    def _same(self, client_order_id: ClientOrderId) -> BookOrder | None:
        """The order that stands in the way of another one with its id (RELIABILITY 2.2 rule 4); None if none does."""
        found, known = self._newest(client_order_id), self._capabilities.duplicate_ids
        if found is None or known is DuplicateIds.PERMANENT:
            return found
        return found if known is DuplicateIds.OPEN_ONLY and not found.state.is_terminal else None

    def _key(self, client_order_id: ClientOrderId) -> ClientOrderId:
        """Under which the next order of that id is kept."""
        key, again = client_order_id, 2
        while key in self._orders:
            key, again = _repeat(client_order_id, again), again + 1
        return key

    def _is_visible(self, order: BookOrder) -> bool:
        if not self._visible_after:
            return True
        taken_at = self._taken_at.get(order.client_order_id) or self._taken_at.get(order.entry_order_id)
        return taken_at is None or self._clock.now() - taken_at >= self._visible_after

    def _enter(self, order: ApprovedOrder) -> BookOrder:
        book = self._books.get(order.symbol)
        taken = entered(order, self._key(order.client_order_id), self._next_venue_id())
        refusal = self._entry_refusal(order, book)
        if self._capabilities.attached_stop:
            taken.attached_id = self._key(order.stop_order_id)
            taken.attached_venue_id, taken.attached_stop = self._next_venue_id(), order.plan.stop
        return self._admit(taken, book, refusal)

    def _entry_refusal(self, order: ApprovedOrder, book: Book | None) -> str:
        if book is None:
            return "UNKNOWN_SYMBOL"
        if order.side is Side.SELL and not self._capabilities.allows_short:
            return "NO_SHORT"
        if order.stop_order_id == order.client_order_id or self._same(order.stop_order_id) is not None:
            return "DUPLICATE_STOP_ID"
        free = self._ledger.equity() - self._ledger.margin_used()
        return entry_refusal(order, book, rate=self._ledger.rate(book.instrument), free_margin=free)

    def _reduce(self, order: ReduceOrder) -> BookOrder:
        book = self._books.get(order.symbol)
        position = None if book is None else book.positions.get(order.entry_order_id)
        taken = reduction_of(order, self._key(order.client_order_id), self._next_venue_id(), position)
        refusal = "UNKNOWN_SYMBOL" if book is None else reduction_refusal(order, position, book.instrument)
        if order.kind is not OrderKind.MARKET and not self._capabilities.limit_exits:
            refusal = "LIMIT_NOT_POSSIBLE"
        if book is not None and position is not None and book.withheld_ratio and order.quantity > position.quantity:
            refusal = refusal or _TOO_LITTLE
        if book is not None and position is not None and not refusal:
            refusal = self._worth_too_little(book, taken) or self._locked(
                book, order.entry_order_id, position.quantity - taken.quantity
            )
        return self._admit(taken, book, refusal)

    def _worth_too_little(self, book: Book, exit_: BookOrder) -> str:
        """Where exits are ordinary sales, one counts at its limit or trigger, one at the market at the price of now."""
        price = exit_.price or book.mid
        small = price is not None and is_below_notional(book.instrument, exit_.quantity, price)
        return BELOW_NOTIONAL if self._capabilities.stop_reserves and small else ADMITTED

    def _locked(self, book: Book, entry_order_id: ClientOrderId, free: Decimal) -> str:
        """Where stops lock what they would sell, only what they and working exits leave `free` can be sold beside."""
        selling = [
            each
            for each in book.orders.values()
            if each.entry_order_id == entry_order_id and each.role is OrderRole.EXIT
        ]
        locked = sum((each.left for each in (*book.stops_of(entry_order_id), *selling)), ZERO)
        return _TOO_LITTLE if self._capabilities.stop_reserves and locked > free else ADMITTED

    def _protect(self, claimed: VenuePosition, stop_order_id: ClientOrderId, stop: Decimal) -> BookOrder:
        book = self._books.get(claimed.symbol)
        position = None if book is None else book.positions.get(claimed.entry_order_id)
        taken = stop_of(claimed, self._key(stop_order_id), self._next_venue_id(), stop)
        if book is None:
            return self._admit(taken, book, "UNKNOWN_SYMBOL")
        if not book.stops_follow:
            refusal = loose_stop_refusal(taken, position, book, taken.quantity, stop)
            if position is not None and not refusal:
                refusal = self._worth_too_little(book, taken) or self._locked(
                    book, claimed.entry_order_id, position.quantity - taken.quantity
                )
            return self._admit(taken, book, refusal)
        refusal = stop_refusal(position, book.instrument, stop)
        if position is not None and position.stop is not None:
            refusal = "STOP_EXISTS"
        if position is None or refusal:
            return self._admit(taken, book, refusal)
        self._remember(taken)
        self._list(book.move_stop(position, taken, stop, self._clock.now()))
        return taken

    def _remember(self, order: BookOrder) -> None:
        self._unsaved = True
        self._orders[order.client_order_id] = order
        if self._visible_after:
            self._taken_at[order.client_order_id] = self._clock.now()

    def _admit(self, order: BookOrder, book: Book | None, refusal: str) -> BookOrder:
        """Remember the order; give it to its book unless it is refused."""
        self._remember(order)
        if refusal != ADMITTED or book is None:
            order.state, order.reason = OrderState.REJECTED, refusal
        elif order.role is OrderRole.STOP:
            book.rest_loose(order)
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
        return answer_of(order)

    def save(self) -> None:
        """Write down what a failed save has left open; nothing if there is none. Raises StorageError."""
        self._save()

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
            self._taken_at.pop(client_order_id, None)
            if self._memory is not None:
                self._memory.forget(client_order_id)


def _repeat(client_order_id: ClientOrderId, number: int) -> ClientOrderId:
    return ClientOrderId(f"{client_order_id}{REPEATED}{number}")
