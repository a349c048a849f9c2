"""What is not sent to IG at all, because its answer is known: an order that it cannot take, in whatever words."""

from decimal import Decimal
from typing import Final

from bot.layer1_data.brokers.ig.market import Market
from bot.models import ApprovedOrder, Direction, OrderKind, ReduceOrder, Side

_SIZE_DECIMALS: Final = -12


def unusable_entry(order: ApprovedOrder, market: Market) -> str:
    """Why an entry is not sent at all; empty if it may be."""
    instrument = market.instrument
    if not market.currency:
        return (
            f"CURRENCY: IG deals {order.symbol} in {', '.join(market.currencies)}, not in {instrument.quote_currency}"
        )
    if order.stop_order_id == order.client_order_id:
        return f"DUPLICATE_STOP_ID: the stop of {order.client_order_id} has the name of its entry"
    if order.kind is not OrderKind.MARKET and order.limit_price is None:
        return "PRICE_MISSING"
    if order.kind is OrderKind.STOP:
        return "STOP_ENTRY_NOT_POSSIBLE: entries are made at market or at a limit"
    if order.quantity <= 0 or not on_grid(order.quantity, instrument.quantity_step):
        return off_grid("quantity", order.quantity, instrument.quantity_step)
    for name, price in (("stop", order.plan.stop), ("limit", order.limit_price), ("bound", order.price_bound)):
        if price is not None and not on_grid(price, instrument.tick):
            return off_grid(name, price, instrument.tick)
    size = market.size(order.quantity)
    exponent = size.as_tuple().exponent
    if isinstance(exponent, int) and exponent < _SIZE_DECIMALS:
        return f"PRECISION: size {size} has more than {-_SIZE_DECIMALS} decimals"
    return ""


def unusable_close(order: ReduceOrder, direction: Direction, market: Market) -> str:
    """Why a close is not sent at all; empty if it may be."""
    if order.kind is not OrderKind.MARKET:
        return "LIMIT_NOT_POSSIBLE: IG rests no close for a part; watch the price and close at market"
    if order.side is not Side.closing(direction):
        return f"WRONG_SIDE: a {order.side.value} does not reduce a {direction.value} position"
    if order.quantity <= 0 or not on_grid(order.quantity, market.instrument.quantity_step):
        return off_grid("quantity", order.quantity, market.instrument.quantity_step)
    return ""


def on_grid(value: Decimal, step: Decimal) -> bool:
    """It is a whole number of steps."""
    return value % step == 0


def off_grid(what: str, value: Decimal, step: Decimal) -> str:
    """Says so."""
    return f"PRECISION: {what} {value:f} is not above 0 and a multiple of {step:f}"
