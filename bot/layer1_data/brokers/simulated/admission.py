"""May this order rest or fill here? Pure answers in the venue's words; an empty word is a yes."""

from decimal import Decimal
from typing import Final

from bot.instruments import Instrument
from bot.layer1_data.broker_interface import WOULD_TRIGGER
from bot.layer1_data.brokers.simulated.entries import ZERO, BookOrder, BookPosition
from bot.layer1_data.brokers.simulated.matching import Book, is_beyond
from bot.models import ApprovedOrder, OrderKind, OrderRole, ReduceOrder, Side

ADMITTED: Final = ""
_BELOW_NOTIONAL: Final = "BELOW_NOTIONAL"
_TOO_LITTLE: Final = "INSUFFICIENT_BALANCE"


def entry_refusal(order: ApprovedOrder, book: Book, *, rate: Decimal | None, free_margin: Decimal) -> str:
    """Why the venue rejects an entry. `rate` converts quote to account currency, `free_margin` is in the latter."""
    instrument = book.instrument
    if order.quantity < instrument.min_quantity:
        return "BELOW_MINIMUM"
    if order.kind is not OrderKind.MARKET and order.limit_price is None:
        return "PRICE_MISSING"
    if not _is_precise(instrument, order.quantity, order.limit_price, order.plan.stop, order.price_bound):
        return "PRECISION"
    if book.at is None:
        return "NO_PRICE"
    if _is_below_notional(instrument, order.quantity, _expected_price(order, book)):
        return _BELOW_NOTIONAL
    if not _stop_protects(order, book):
        return "STOP_ON_WRONG_SIDE"
    if rate is None:
        return "NO_CONVERSION_RATE"
    if needed_margin(instrument, order.quantity, _expected_price(order, book), rate) > free_margin:
        return "INSUFFICIENT_MARGIN"
    return ADMITTED


def reduction_refusal(order: ReduceOrder, book: Book) -> str:
    """Why the venue rejects a reduction. One below the minimum is let through only if it closes all that is left."""
    instrument, position = book.instrument, book.positions.get(order.entry_order_id)
    if position is None:
        return "POSITION_NOT_FOUND"
    if order.side is not Side.closing(position.direction):
        return "WRONG_SIDE"
    if order.quantity <= ZERO or order.quantity < min(instrument.min_quantity, position.quantity):
        return "BELOW_MINIMUM"
    if order.kind is not OrderKind.MARKET and order.limit_price is None:
        return "PRICE_MISSING"
    if not _is_precise(instrument, order.quantity, order.limit_price):
        return "PRECISION"
    return _TOO_LITTLE if book.traits.withheld_ratio and order.quantity > position.quantity else ADMITTED


def sale_refusal(order: BookOrder, book: Book) -> str:
    """Why an exit or stop, which is good otherwise, is rejected where exits are ordinary sales (`stop_reserves`).

    It is worth too little at its limit or trigger, at the market at the price of now; or too little is left to sell,
    because stops and working exits lock what they would sell.
    """
    if not book.traits.stop_reserves:
        return ADMITTED
    price = order.price or book.mid
    if price is not None and _is_below_notional(book.instrument, order.quantity, price):
        return _BELOW_NOTIONAL
    name = order.entry_order_id
    exits = [each for each in book.orders.values() if each.entry_order_id == name and each.role is OrderRole.EXIT]
    locked = sum((each.left for each in (*book.stops_of(name), *exits)), ZERO)
    return _TOO_LITTLE if locked > book.positions[name].quantity - order.quantity else ADMITTED


def new_stop_refusal(stop: BookOrder, book: Book) -> str:
    """Why the venue rejects one more protective stop: of those that follow their position there is one at most."""
    if not book.traits.stop_follows_position:
        return loose_stop_refusal(stop, book, stop.quantity, stop.price) or sale_refusal(stop, book)
    position = book.positions.get(stop.entry_order_id)
    if position is not None and position.stop is not None:
        return "STOP_EXISTS"
    return stop_refusal(position, book.instrument, stop.price)


def stop_refusal(position: BookPosition | None, instrument: Instrument, stop: Decimal) -> str:
    """Why the venue rejects a price of a protective stop that follows its position."""
    if position is None:
        return "POSITION_NOT_FOUND"
    return ADMITTED if _is_precise(instrument, ZERO, stop) else "PRECISION"


def loose_stop_refusal(order: BookOrder, book: Book, quantity: Decimal, stop: Decimal) -> str:
    """Why the venue rejects a stop that is an order of its own: Binance -2021 where it would trigger at once."""
    position = book.positions.get(order.entry_order_id)
    if position is None:
        return "POSITION_NOT_FOUND"
    if order.side is not Side.closing(position.direction):
        return "WRONG_SIDE"
    if quantity <= ZERO:
        return "BELOW_MINIMUM"
    if not _is_precise(book.instrument, quantity, stop):
        return "PRECISION"
    if book.standing and is_beyond(order.side, stop, book.bid, book.ask):
        return WOULD_TRIGGER
    return ADMITTED


def _is_below_notional(instrument: Instrument, quantity: Decimal, price: Decimal) -> bool:
    """An order at `price` is worth less than the venue takes: Binance -1013 NOTIONAL."""
    return instrument.notional(quantity, price) < instrument.min_notional


def needed_margin(instrument: Instrument, quantity: Decimal, price: Decimal, rate: Decimal) -> Decimal:
    """Account currency that a position of this size blocks."""
    return instrument.notional(quantity, price) * rate / instrument.max_leverage


def _is_precise(instrument: Instrument, quantity: Decimal, *prices: Decimal | None) -> bool:
    """The quantity is on the step grid, every price positive and on the tick grid."""
    if quantity % instrument.quantity_step != ZERO:
        return False
    return all(price is None or (price > ZERO and price % instrument.tick == ZERO) for price in prices)


def _expected_price(order: ApprovedOrder, book: Book) -> Decimal:
    """What the entry will pay, as far as it is known; between candles the price it was decided at."""
    if order.limit_price is not None and order.kind is not OrderKind.MARKET:
        return order.limit_price
    if not book.standing:
        return order.decided_price
    return book.ask if order.side is Side.BUY else book.bid


def _stop_protects(order: ApprovedOrder, book: Book) -> bool:
    """The stop lies behind the price that the position would be opened at; for a market order at a standing price
    behind the exit side, or it would trigger at once. Between candles a jump beyond the stop closes at the open."""
    expected = _expected_price(order, book)
    if order.kind is OrderKind.MARKET and book.standing:
        expected = book.bid if order.side is Side.BUY else book.ask
    return order.side.sign * (expected - order.plan.stop) > ZERO
