"""The money of one simulated account: balance, conversion, margin, and the list of fills."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from bot.instruments import BrokerId, Currency, Instrument, counted_as
from bot.layer1_data.brokers.simulated.admission import needed_margin
from bot.layer1_data.brokers.simulated.entries import ONE, ZERO, BookPosition, Execution
from bot.layer1_data.brokers.simulated.matching import Book
from bot.models import Direction, Fill, OrderKind, OrderRole, Side

FILLS_KEPT: Final = 5_000
_TRIMMED_AT: Final = FILLS_KEPT + 1_000
_NEWEST_KEPT: Final = 64


@dataclass(frozen=True, slots=True)
class Booked:
    """A fill, what it came from, and what it has added to the balance."""

    fill: Fill
    execution: Execution
    gained: Decimal


class Ledger:
    """Balance and fills of one account. Every execution is booked here once, in order.

    A result is converted at the mid of the moment it is made; where the pair has no price (after a restart), at the
    rate the position was last booked with.
    """

    def __init__(
        self,
        broker_id: BrokerId,
        currency: Currency,
        balance: Decimal,
        books: Iterable[Book],
        *,
        cumulative_fills: bool = False,
    ) -> None:
        self._cumulative_fills = cumulative_fills
        self.balance = balance
        self.fills: list[Fill] = []
        self.fill_count = 0
        self.newest: deque[Booked] = deque(maxlen=_NEWEST_KEPT)
        self.busted: set[str] = set()
        self._broker_id = broker_id
        self._currency = counted_as(currency)
        self._books = tuple(books)
        self._pairs = self._conversion_pairs()

    def rate(self, instrument: Instrument) -> Decimal | None:
        """Account currency for one unit of the instrument's quote currency; None while no pair tells."""
        quoted = counted_as(instrument.quote_currency)
        if quoted == self._currency:
            return ONE
        for book, inverted in self._pairs.get(quoted, ()):
            mid = book.mid
            if mid is not None and mid > ZERO:
                return ONE / mid if inverted else mid
        return None

    def book(self, execution: Execution) -> Fill:
        """Add the profit to the balance, take the fee off it, and list the fill."""
        instrument = self._instrument(execution)
        position = execution.position
        position.conversion = self.rate(instrument) or position.conversion
        paid = execution.withheld or execution.quantity * instrument.commission_ratio
        fee = instrument.notional(paid, execution.price) * position.conversion
        gained = execution.profit * position.conversion - fee
        self.balance += gained
        self.fill_count += 1
        fill = Fill(
            broker_id=self._broker_id,
            venue_fill_id=self._name_of(execution),
            client_order_id=execution.order.told_id,
            symbol=execution.order.symbol,
            side=execution.order.side,
            quantity=execution.quantity,
            price=execution.price,
            fee=fee,
            filled_at=execution.at,
            cause=execution.cause,
            withheld=execution.withheld,
        )
        self.fills.append(fill)
        self.newest.append(Booked(fill, execution, gained))
        if len(self.fills) > _TRIMMED_AT:
            del self.fills[:-FILLS_KEPT]
        return fill

    def take_back(self, booked: Booked) -> None:
        """As if it had never been."""
        self.newest.remove(booked)
        self.busted.add(booked.fill.venue_fill_id)
        self.balance -= booked.gained

    def _name_of(self, execution: Execution) -> str:
        """A number, or what a venue that only tells totals lets us make: the order and its total after this fill."""
        if self._cumulative_fills:
            return f"{execution.order.venue_order_id}-{execution.order.filled}"
        return f"{self._broker_id}-f-{self.fill_count}"

    def fills_after(self, sequence: int) -> list[Fill]:
        """Fills numbered above `sequence`, as far back as they are kept; those that were taken back are gone."""
        newer = self.fill_count - sequence
        kept = self.fills[-newer:] if newer > 0 else []
        return [each for each in kept if each.venue_fill_id not in self.busted] if self.busted else kept

    def equity(self) -> Decimal:
        """Balance with every open position marked at the price it could be closed at."""
        worth = (self._open_profit(book) for book in self._books if book.positions or book.dust)
        return self.balance + sum(worth, ZERO)

    def margin_used(self) -> Decimal:
        """What open positions and resting entries block."""
        return sum((self._margin_of(book) for book in self._books if not book.is_idle), ZERO)

    def _open_profit(self, book: Book) -> Decimal:
        if book.at is None:
            return ZERO
        total = ZERO
        for position in book.positions.values():
            mark = book.bid if position.direction is Direction.LONG else book.ask
            distance = position.direction.sign * (mark - position.average_price)
            total += distance * (position.quantity + position.dust) * self._rate_of(book, position)
        total += (book.bid * book.dust - book.dust_cost) * (self.rate(book.instrument) or ONE)
        return total * book.instrument.contract_size

    def _margin_of(self, book: Book) -> Decimal:
        total = ZERO
        for position in book.positions.values():
            rate = self._rate_of(book, position)
            total += needed_margin(book.instrument, position.quantity, position.average_price, rate)
        for order in book.orders.values():
            if order.role is OrderRole.ENTRY:
                price = order.price
                if order.kind is OrderKind.MARKET:
                    price = book.ask if order.side is Side.BUY else book.bid
                rate = self.rate(book.instrument) or ONE
                total += needed_margin(book.instrument, order.quantity - order.filled, price, rate)
        return total

    def _rate_of(self, book: Book, position: BookPosition) -> Decimal:
        return self.rate(book.instrument) or position.conversion

    def _instrument(self, execution: Execution) -> Instrument:
        return self._instruments[execution.order.symbol]

    def _conversion_pairs(self) -> Mapping[Currency, list[tuple[Book, bool]]]:
        """For each foreign currency the books that price it in account currency; True where the price is inverted."""
        self._instruments = {book.instrument.symbol: book.instrument for book in self._books}
        pairs: dict[Currency, list[tuple[Book, bool]]] = {}
        for book in self._books:
            base, quoted = counted_as(book.instrument.base_currency), counted_as(book.instrument.quote_currency)
            if base == self._currency:
                pairs.setdefault(quoted, []).append((book, True))
            elif quoted == self._currency:
                pairs.setdefault(base, []).append((book, False))
        return pairs
