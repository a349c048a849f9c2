"""What a simulated venue keeps, and how its market changes it. Matching decides, the ledger counts.

An order is taken once (`_admit`), whoever it is from; what fills is booked, and every change is saved before anybody
hears of it, so that a venue remembers over our crash.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from bot.errors import BrokerUnavailable
from bot.instruments import BrokerId, Currency, Instrument, Symbol
from bot.interfaces import CandleSource, Clock, VenueStateStore
from bot.layer1_data.broker_interface import DuplicateIds
from bot.layer1_data.brokers.simulated.admission import ADMITTED
from bot.layer1_data.brokers.simulated.entries import REPEATED, BookOrder, Execution, Sweep
from bot.layer1_data.brokers.simulated.ledger import Ledger
from bot.layer1_data.brokers.simulated.matching import Book
from bot.layer1_data.brokers.simulated.memory import VenueMemory
from bot.layer1_data.brokers.simulated.quote_stream import QuoteStream
from bot.layer1_data.brokers.simulated.traits import VenueTraits
from bot.models import ClientOrderId, OrderState, Quote

ORDERS_KEPT: Final = 2_000
_PRUNED_AT: Final = ORDERS_KEPT + 500


class SimulatedVenue:
    """One simulated account: a book for each instrument, one ledger, and all orders by our id.

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
        traits: VenueTraits | None = None,
    ) -> None:
        self._broker_id = broker_id
        self._traits = traits or VenueTraits()
        self._clock = clock
        self._currency = currency
        self._history = history
        self._orders: dict[ClientOrderId, BookOrder] = {}
        self._taken_at: dict[ClientOrderId, datetime] = {}
        self._books = {each.symbol: Book(each, self._orders, self._traits) for each in instruments}
        self._ledger = Ledger(
            broker_id, currency, balance, self._books.values(), cumulative_fills=self._traits.cumulative_fills
        )
        self._stream = QuoteStream()
        self._order_count = 0
        self._unsaved = False
        self._memory: VenueMemory | None = None
        if state is not None:
            self._memory = VenueMemory(state, orders=self._orders, books=self._books, ledger=self._ledger)
            self._order_count = self._memory.restore()

    # ------------------------------------------------------------------------------------------------------- the market

    def observe(self, symbol: Symbol, *, bid: Decimal, ask: Decimal, at: datetime, gap: bool) -> bool:
        """One price point; True if anything filled. `gap`: reached by a jump (a quote, a candle's open), so stops fill
        at the price itself; otherwise the price moved there continuously and stops fill at the stop."""
        book = self._book(symbol)
        done = book.observe(bid, ask, at, gap=gap)
        if self._stream.is_read(symbol):
            self._stream.publish(Quote(symbol=symbol, bid=bid, ask=ask, at=at))
        if book.has_expired:
            book.has_expired, self._unsaved = False, True
            return self._settle(done)
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

    @property
    def is_flat(self) -> bool:
        """Nothing is open and nothing rests, at any instrument."""
        return all(book.is_idle for book in self._books.values())

    # ----------------------------------------------------------------------------------------------------- orders by id

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
        found, known = self._newest(client_order_id), self._traits.duplicate_ids
        if found is None or known is DuplicateIds.PERMANENT:
            return found
        return found if known is DuplicateIds.OPEN_ONLY and not found.state.is_terminal else None

    def _key(self, client_order_id: ClientOrderId) -> ClientOrderId:
        """Under which the next order of that id is kept."""
        key, again = client_order_id, 2
        while key in self._orders:
            key, again = _repeat(client_order_id, again), again + 1
        return key

    def _next_venue_id(self) -> str:
        self._order_count += 1
        return f"{self._broker_id}-o-{self._order_count}"

    def _is_visible(self, order: BookOrder) -> bool:
        """Its answers have it by now: orders are told `visible_after_s` after they, or their entries, were taken."""
        if not self._traits.visible_after_s:
            return True
        taken_at = self._taken_at.get(order.client_order_id) or self._taken_at.get(order.entry_order_id)
        return taken_at is None or self._clock.now() - taken_at >= timedelta(seconds=self._traits.visible_after_s)

    # ------------------------------------------------------------------------------------------------- take, book, save

    def _book(self, symbol: Symbol) -> Book:
        book = self._books.get(symbol)
        if book is None:
            raise BrokerUnavailable(f"{self._broker_id}: {symbol} is not traded here; route it to another broker")
        return book

    def _admit(self, order: BookOrder, book: Book | None, refusal: str) -> BookOrder:
        """Remember the order; give it to its book unless it is refused."""
        self._unsaved = True
        self._orders[order.client_order_id] = order
        if self._traits.visible_after_s:
            self._taken_at[order.client_order_id] = self._clock.now()
        if refusal != ADMITTED or book is None:
            order.state, order.reason = OrderState.REJECTED, refusal
        else:
            self._record(book.accept(order, self._clock.now()))
        return order

    def _record(self, done: list[Execution]) -> None:
        """Into the ledger."""
        for execution in done:
            self._ledger.book(execution)

    def _settle(self, done: list[Execution]) -> bool:
        """Book what the market filled and save it; what a failed save left open is saved now too."""
        if done:
            self._unsaved = True
            self._record(done)
        self.save()
        return bool(done)

    def save(self) -> None:
        """Write down what has changed, and what a failed save has left open. Raises StorageError."""
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
