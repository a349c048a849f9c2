"""Our orders as Binance spot takes them: text parameters, exact. Pure."""

from decimal import ROUND_DOWN, Decimal
from typing import Final

from bot.instruments import Instrument, Rounding
from bot.layer1_data.brokers.binance.wire import Endpoint
from bot.models import ClientOrderId, OrderKind, Side

ORDER: Final = Endpoint("order", "private", "POST", 1)
CANCEL: Final = Endpoint("order", "private", "DELETE", 1)
FIND: Final = Endpoint("order", "private", "GET", 4)
OPEN_ORDERS: Final = Endpoint("openOrders", "private", "GET", 6)
ALL_ORDERS: Final = Endpoint("allOrders", "private", "GET", 20)
TRADES: Final = Endpoint("myTrades", "private", "GET", 20)
ACCOUNT: Final = Endpoint("account", "private", "GET", 20)
RESTRICTIONS: Final = Endpoint("account/apiRestrictions", "sapi", "GET", 1)
MARKETS: Final = Endpoint("exchangeInfo", "public", "GET", 20)
KLINES: Final = Endpoint("klines", "public", "GET", 2)
BOOK: Final = Endpoint("ticker/bookTicker", "public", "GET", 2)

_BEYOND_STOP: Final = Decimal("0.95")  # a STOP_LOSS_LIMIT may sell this far below its stop: it is there to be sold


def text(number: Decimal) -> str:
    """A number without exponent and needless zeros: more digits than the precision are refused, zeros too."""
    return f"{number.normalize():f}"


def order(
    instrument: Instrument, name: ClientOrderId, side: Side, kind: OrderKind, quantity: Decimal, limit: Decimal | None
) -> dict[str, str]:
    """A market order, or one that rests at `limit`. A price beside a market order would change what it means."""
    common = {
        "symbol": instrument.venue_symbol,
        "side": side.value.upper(),
        "type": kind.value.upper(),
        "quantity": text(quantity),
        "newClientOrderId": name,
        "newOrderRespType": "FULL",
    }
    if kind is OrderKind.MARKET:
        return common
    return common | {"price": text(limit or Decimal(0)), "timeInForce": "GTC"}


def entry(instrument: Instrument, name: ClientOrderId, side: Side, quantity: Decimal, bound: Decimal) -> dict[str, str]:
    """At market, but at `bound` at worst, and whole or not at all: a part may be worth less than the venue lets anybody
    sell again, or rest a stop for.

    As a LIMIT it locks what it would cost at `bound`, where its filters hold: PERCENT_PRICE_BY_SIDE and NOTIONAL.
    """
    within = instrument.round_price(bound, Rounding.DOWN if side is Side.BUY else Rounding.UP)
    return order(instrument, name, side, OrderKind.LIMIT, quantity, within) | {"timeInForce": "FOK"}


def stop(
    instrument: Instrument, name: ClientOrderId, quantity: Decimal, price: Decimal, order_types: frozenset[str]
) -> dict[str, str]:
    """A protective sale at market once `price` trades; where the symbol has no such type, one with a low limit."""
    common = {
        "symbol": instrument.venue_symbol,
        "side": "SELL",
        "quantity": text(quantity),
        "stopPrice": text(price),
        "newClientOrderId": name,
        "newOrderRespType": "FULL",
    }
    if "STOP_LOSS" in order_types or not order_types:
        return common | {"type": "STOP_LOSS"}
    limit = (price * _BEYOND_STOP / instrument.tick).to_integral_value(ROUND_DOWN) * instrument.tick
    return common | {"type": "STOP_LOSS_LIMIT", "price": text(limit), "timeInForce": "GTC"}
