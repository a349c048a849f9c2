"""Binance's answers in our words: exact numbers from text, instants from milliseconds. Pure.

Whatever lacks a field that it must have, or holds something else there, raises Unreadable with the name of the field.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from bot.instruments import Currency, Instrument
from bot.layer1_data.broker_interface import VenueOrder, VenueTerms
from bot.models import ORDER_ID_PREFIX, Candle, ClientOrderId, OrderAck, OrderState, Quote, Side, Timeframe

ZERO: Final = Decimal(0)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
STOP_TYPES: Final = ("STOP_LOSS", "STOP_LOSS_LIMIT")
_STATES: Final[Mapping[str, OrderState]] = {
    "NEW": OrderState.WORKING,
    "PENDING_NEW": OrderState.WORKING,
    "PARTIALLY_FILLED": OrderState.PARTIAL,
    "FILLED": OrderState.FILLED,
    "CANCELED": OrderState.CANCELED,
    "PENDING_CANCEL": OrderState.CANCEL_PENDING,
    "REJECTED": OrderState.REJECTED,
    "EXPIRED": OrderState.EXPIRED,
    "EXPIRED_IN_MATCH": OrderState.EXPIRED,
}
_CAUSES: Final[Mapping[str, str]] = {
    "MARKET": "market",
    "LIMIT": "limit",
    "STOP_LOSS": "stop",
    "STOP_LOSS_LIMIT": "stop",
}


class Unreadable(ValueError):
    """An answer is not what the documentation says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """One exchange as the venue lists it; ids count up within one symbol."""

    id: int
    order_id: int
    side: Side
    quantity: Decimal
    price: Decimal
    commission: Decimal
    commission_asset: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """Which order of ours made a trade (None: not ours), why it traded, and what it says itself that it has sold."""

    client_order_id: ClientOrderId | None
    cause: str
    sold: Decimal = ZERO


def instant(milliseconds: object) -> datetime:
    """Aware UTC, exact."""
    if not isinstance(milliseconds, int):
        raise Unreadable(f"{milliseconds!r} is not an instant in milliseconds")
    return _EPOCH + timedelta(milliseconds=milliseconds)


def milliseconds(at: datetime) -> int:
    """What the venue calls an instant."""
    return (at - _EPOCH) // timedelta(milliseconds=1)


def number(row: Mapping[str, Any], name: str) -> Decimal:
    """The exact number in a field."""
    try:
        value = Decimal(row[name])
    except (KeyError, TypeError, ValueError, InvalidOperation):
        raise Unreadable(f"field {name} is {row.get(name)!r}, not a number") from None
    if not value.is_finite():
        raise Unreadable(f"field {name} is {value}, not a number")
    return value


def rows(data: object, what: str) -> list[Any]:
    """A list of objects or lists."""
    if not isinstance(data, list):
        raise Unreadable(f"{what} is not a list: {data!r:.80}")
    return data


def mapping(data: object, what: str) -> Mapping[str, Any]:
    """One object."""
    if not isinstance(data, dict):
        raise Unreadable(f"{what} is not an object: {data!r:.80}")
    return data


def our_id(row: Mapping[str, Any]) -> ClientOrderId | None:
    """Our name of an order; None if it is not ours. A cancel's answer has it in another field."""
    name = str(row.get("origClientOrderId") or row.get("clientOrderId") or "")
    return ClientOrderId(name) if name.startswith(ORDER_ID_PREFIX) else None


def order_state(row: Mapping[str, Any]) -> OrderState:
    """Where it is. A state that is not documented is an error, never a guess."""
    state = _STATES.get(str(row.get("status")))
    if state is None:
        raise Unreadable(f"order {row.get('orderId')} is in state {row.get('status')!r}, which is not known")
    if state is OrderState.WORKING and row.get("type") == "STOP_LOSS_LIMIT" and row.get("isWorking") is True:
        return OrderState.TRIGGERED
    return state


def ack(row: Mapping[str, Any], name: ClientOrderId) -> OrderAck:
    """The answer to an order that was taken. Raises Unreadable if it is the answer to another one."""
    told = our_id(row)
    if told != name or not isinstance(row.get("orderId"), int):
        raise Unreadable(f"the answer names order {told or row.get('clientOrderId')!r}, not {name}")
    state = order_state(row)
    if state is OrderState.REJECTED or (state is OrderState.EXPIRED and number(row, "executedQty") == 0):
        reason = f"{row['status']} {row.get('expiryReason', '')}".strip()
        return rejection(name, reason, venue_order_id=str(row["orderId"]))
    working = state in (OrderState.PARTIAL, OrderState.TRIGGERED, OrderState.CANCEL_PENDING)
    return OrderAck(
        client_order_id=name,
        state=OrderState.WORKING if working else state,
        venue_order_id=str(row["orderId"]),
    )


def rejection(name: ClientOrderId, reason: str, *, venue_order_id: str | None = None) -> OrderAck:
    """A no."""
    return OrderAck(client_order_id=name, state=OrderState.REJECTED, venue_order_id=venue_order_id, reason=reason)


def venue_order(row: Mapping[str, Any], instrument: Instrument) -> VenueOrder:
    """An order as a question about it is answered. On spot a sale can only reduce."""
    price = number(row, "stopPrice") if is_stop(row) else number(row, "price")
    return VenueOrder(
        client_order_id=our_id(row),
        venue_order_id=str(row["orderId"]),
        symbol=instrument.symbol,
        side=Side(str(row["side"]).lower()),
        state=order_state(row),
        quantity=number(row, "origQty"),
        filled_quantity=number(row, "executedQty"),
        price=price or None,
        reduces_only=row["side"] == "SELL",
    )


def is_stop(row: Mapping[str, Any]) -> bool:
    """It protects: it waits below the price to be sold."""
    return row.get("type") in STOP_TYPES and row.get("side") == "SELL"


def maker(row: Mapping[str, Any]) -> Maker:
    """What an order's row says of the trades it makes."""
    sold = number(row, "executedQty") if row.get("side") == "SELL" else ZERO
    return Maker(client_order_id=our_id(row), cause=_CAUSES.get(str(row.get("type")), ""), sold=sold)


def trade(row: Mapping[str, Any]) -> Trade:
    """A row of myTrades."""
    return Trade(
        id=int(row["id"]),
        order_id=int(row["orderId"]),
        side=Side.BUY if row["isBuyer"] else Side.SELL,
        quantity=number(row, "qty"),
        price=number(row, "price"),
        commission=number(row, "commission"),
        commission_asset=str(row["commissionAsset"]),
        at=instant(row["time"]),
    )


def trades_of_ack(row: Mapping[str, Any]) -> list[Trade]:
    """What an order has traded when it was answered: known before the list of trades shows it."""
    return [
        Trade(
            id=int(each["tradeId"]),
            order_id=int(row["orderId"]),
            side=Side(str(row["side"]).lower()),
            quantity=number(each, "qty"),
            price=number(each, "price"),
            commission=number(each, "commission"),
            commission_asset=str(each["commissionAsset"]),
            at=instant(row["transactTime"]),
        )
        for each in row.get("fills", ())
    ]


def candle(row: list[Any], timeframe: Timeframe) -> Candle:
    """A kline. The venue's close instant is one millisecond short of ours."""
    opened_at = instant(row[0])
    names = ("open", "high", "low", "close", "volume")
    values = dict(zip(names, row[1:6], strict=True))
    return Candle(
        opened_at=opened_at,
        closed_at=opened_at + timeframe.duration,
        open=number(values, "open"),
        high=number(values, "high"),
        low=number(values, "low"),
        close=number(values, "close"),
        volume=number(values, "volume"),
    )


def quote(row: Mapping[str, Any], instrument: Instrument, at: datetime) -> Quote:
    """The top of the book. One side empty is told as zero, which is no price."""
    bid, ask = number(row, "bidPrice"), number(row, "askPrice")
    if bid <= 0 or ask <= 0:
        raise Unreadable(f"the book of {instrument.symbol} has bid {bid:f} and ask {ask:f}: a side is empty")
    return Quote(symbol=instrument.symbol, bid=bid, ask=ask, at=at)


def terms(row: Mapping[str, Any], instrument: Instrument) -> VenueTerms:
    """A symbol of exchangeInfo. A zero in MARKET_LOT_SIZE means that it does not apply."""
    filters = {each["filterType"]: each for each in row["filters"]}
    lot, market = filters["LOT_SIZE"], filters.get("MARKET_LOT_SIZE", {"minQty": "0", "stepSize": "0"})
    notional = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL") or {"minNotional": "0"}
    status = str(row["status"])
    return VenueTerms(
        symbol=instrument.symbol,
        tick=number(filters["PRICE_FILTER"], "tickSize"),
        quantity_step=max(number(lot, "stepSize"), number(market, "stepSize")),
        min_quantity=max(number(lot, "minQty"), number(market, "minQty")),
        min_notional=number(notional, "minNotional"),
        contract_size=Decimal(1),
        is_open=status == "TRADING" and row.get("isSpotTradingAllowed") is True,
        says=status,
        quote_currency=Currency(row["quoteAsset"]),
    )


def balances(account: Mapping[str, Any]) -> dict[str, Decimal]:
    """What is held of each asset, locked or free; assets without any are left out."""
    held = {str(each["asset"]): number(each, "free") + number(each, "locked") for each in account["balances"]}
    return {asset: total for asset, total in held.items() if total}


def free(account: Mapping[str, Any], asset: str) -> Decimal:
    """What of an asset no order locks."""
    return sum((number(each, "free") for each in account["balances"] if each["asset"] == asset), ZERO)
