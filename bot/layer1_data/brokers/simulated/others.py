"""What others do at a simulated venue: a person in the same account, the venue itself, the market as a whole."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal

from bot.errors import UsageError
from bot.instruments import Symbol
from bot.layer1_data.brokers.simulated.admission import ADMITTED
from bot.layer1_data.brokers.simulated.busts import can_be_undone, undo
from bot.layer1_data.brokers.simulated.entries import ZERO, BookOrder
from bot.layer1_data.brokers.simulated.ledger import Booked
from bot.layer1_data.brokers.simulated.matching import Book
from bot.layer1_data.brokers.simulated.venue import SimulatedVenue
from bot.models import ClientOrderId, Fill, OrderKind, OrderRole, OrderState, ReduceOrder, Side


class SharedVenue(SimulatedVenue):
    """A venue where we are not alone. Nothing in here is called by the bot, only by simulations and tests."""

    # ------------------------------------------------------------------------------------------------------- the market

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

    def can_stop_out(self, order: ReduceOrder) -> bool:
        """The stop of its position could fill before this one is taken; False of one that was taken before."""
        book = self._books.get(order.symbol)
        is_new = self._same(order.client_order_id) is None
        return is_new and book is not None and book.can_touch_stops(order.entry_order_id)

    def stop_out(self, entry_order_id: ClientOrderId) -> list[ClientOrderId]:
        """The price touches the stops of one position, and no quote tells it. Those that have filled, all or a part."""
        book = next(each for each in self._books.values() if entry_order_id in each.positions)
        done = book.touch_stops(entry_order_id, self._clock.now())
        self._settle(done)
        return [each.order.told_id for each in done]

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
                self._unsaved = True
        self.save()

    # --------------------------------------------------------------------------------------------------------- a person

    def open_by_other(self, name: ClientOrderId, symbol: Symbol, side: Side, quantity: Decimal, limit: Decimal) -> None:
        """Somebody else buys or sells in the same account: at the market, or at `limit` (0: at the market)."""
        self._trade(self._book(symbol), name, side, quantity, limit=limit)

    def close_by_other(self, name: ClientOrderId, entry_order_id: ClientOrderId, quantity: Decimal) -> None:
        """Somebody else sells what we hold: a person in the venue's own app, or the venue itself."""
        book = next(each for each in self._books.values() if entry_order_id in each.positions)
        side = Side.closing(book.positions[entry_order_id].direction)
        self._trade(book, name, side, quantity, closed=entry_order_id)

    def _trade(
        self,
        book: Book,
        name: ClientOrderId,
        side: Side,
        quantity: Decimal,
        *,
        limit: Decimal = ZERO,
        closed: ClientOrderId | None = None,
    ) -> None:
        """Whatever it is, the venue takes it: it opens a position of that name, or reduces `closed`."""
        taken = BookOrder(
            client_order_id=name,
            venue_order_id=self._next_venue_id(),
            symbol=book.instrument.symbol,
            side=side,
            role=OrderRole.ENTRY if closed is None else OrderRole.EXIT,
            kind=OrderKind.LIMIT if limit else OrderKind.MARKET,
            quantity=quantity,
            price=limit,
            entry_order_id=closed or name,
        )
        self._admit(taken, book, ADMITTED)
        self.save()

    # ------------------------------------------------------------------------------------------------- the venue itself

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

    def renumber(self, client_order_id: ClientOrderId) -> str:
        """A change was a replacement: the order goes on under another id of the venue, which is the answer."""
        order = self._newest(client_order_id)
        if order is None:
            raise UsageError(f"{self._broker_id}: {client_order_id} is not known here; change what rests")
        order.venue_order_id = self._next_venue_id()
        self._unsaved = True
        self.save()
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
        self.save()
        return booked.execution.order.entry_order_id

    def is_taken_back(self, fill: Fill) -> bool:
        """It was told once, and never happened."""
        return fill.venue_fill_id in self._ledger.busted
