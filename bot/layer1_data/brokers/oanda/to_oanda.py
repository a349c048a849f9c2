"""The bot's orders and questions as OANDA's requests. Pure; numbers go out as strings, as they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from bot.layer1_data.broker_interface import FOREIGN
from bot.models import ApprovedOrder, ClientOrderId, OrderKind, Timeframe, VenuePosition

MOST_CANDLES: Final = 5000
ORDERS_PER_PAGE: Final = 500

# A day is the trading day of the market, 17:00 to 17:00 New York; all else lies on the grid of the UTC day.
DAY_ENDS_AT: Final = 17
DAY_ZONE: Final = "America/New_York"

_GRANULARITIES: Final[Mapping[Timeframe, str]] = {
    Timeframe.M1: "M1",
    Timeframe.M5: "M5",
    Timeframe.M15: "M15",
    Timeframe.M30: "M30",
    Timeframe.H1: "H1",
    Timeframe.H4: "H4",
    Timeframe.D1: "D",
}
_TYPES: Final[Mapping[OrderKind, str]] = {
    OrderKind.MARKET: "MARKET",
    OrderKind.LIMIT: "LIMIT",
    OrderKind.STOP: "STOP",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request: the library's class for it and what that takes besides the account."""

    group: str
    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    of_account: bool = True


# ------------------------------------------------------------------------------------------------------------ orders


def entry(order: ApprovedOrder, instrument: str) -> Call:
    """An entry with its stop and its bound; it never reduces what another entry holds, and its trade bears its name."""
    stop = {
        "price": plain(order.plan.stop),
        "timeInForce": "GTC",
        "clientExtensions": {"id": order.stop_order_id},
    }
    body: dict[str, Any] = {
        "type": _TYPES[order.kind],
        "instrument": instrument,
        "units": plain(order.quantity * order.side.sign),
        "timeInForce": "FOK" if order.kind is OrderKind.MARKET else "GTC",
        "positionFill": "OPEN_ONLY",
        "clientExtensions": {"id": order.client_order_id},
        "tradeClientExtensions": {"id": order.client_order_id},
        "stopLossOnFill": stop,
    }
    if order.limit_price is not None:
        body["price"] = plain(order.limit_price)
    if order.kind is not OrderKind.LIMIT:
        body["priceBound"] = plain(order.price_bound)
    return _created(body)


def commented(trade: int, extensions: Mapping[str, Any], comment: str) -> Call:
    """Write a comment to a trade, which keeps its name."""
    data = {"clientExtensions": {**extensions, "comment": comment}}
    return Call(group="trades", name="TradeClientExtensions", arguments={"tradeID": str(trade), "data": data})


def trade_close(trade: int, quantity: Decimal) -> Call:
    """Close so much of one trade, and of no other. It takes no name of ours."""
    return Call(
        group="trades", name="TradeClose", arguments={"tradeID": str(trade), "data": {"units": plain(quantity)}}
    )


def new_stop(position: VenuePosition, stop_order_id: ClientOrderId, stop: Decimal) -> Call:
    """A stop for a trade that has none."""
    name = position.entry_order_id
    trade = {"tradeID": name.removeprefix(FOREIGN)} if name.startswith(FOREIGN) else {"clientTradeID": name}
    return _created({"type": "STOP_LOSS", **trade, **_stop(stop_order_id, stop)})


def moved_stop(trade: int, stop_order_id: ClientOrderId, stop: Decimal) -> Call:
    """The stop of a trade at another price, under the same name of ours."""
    data = {"stopLoss": _stop(stop_order_id, stop)}
    return Call(group="trades", name="TradeCRCDO", arguments={"tradeID": str(trade), "data": data})


def cancel(spec: str) -> Call:
    """Cancel a pending order: `spec` is its number, or "@" and its name."""
    return Call(group="orders", name="OrderCancel", arguments={"orderID": spec})


def _stop(stop_order_id: ClientOrderId, stop: Decimal) -> dict[str, Any]:
    return {"price": plain(stop), "timeInForce": "GTC", "clientExtensions": {"id": stop_order_id}}


def _created(order: Mapping[str, Any]) -> Call:
    return Call(group="orders", name="OrderCreate", arguments={"data": {"order": dict(order)}})


# --------------------------------------------------------------------------------------------------------- questions

SUMMARY: Final = Call(group="accounts", name="AccountSummary")
EVERYTHING: Final = Call(group="accounts", name="AccountDetails")
ACCOUNTS: Final = Call(group="accounts", name="AccountList", of_account=False)
INSTRUMENTS: Final = Call(group="accounts", name="AccountInstruments")


def order_by(name: str) -> Call:
    """One order by its number, or by `@` and our name."""
    return Call(group="orders", name="OrderDetails", arguments={"orderID": name})


def trade_by(name: str) -> Call:
    """One trade by its number, or by `@` and our name."""
    return Call(group="trades", name="TradeDetails", arguments={"tradeID": name})


def transaction(number: str) -> Call:
    """One transaction."""
    return Call(group="transactions", name="TransactionDetails", arguments={"transactionID": number})


def transactions_since(number: str) -> Call:
    """Every transaction after `number`, of all kinds: only then is a cut answer seen."""
    return Call(group="transactions", name="TransactionsSinceID", arguments={"params": {"id": number}})


def orders_before(number: str | None) -> Call:
    """A page of orders in any state, the newest ones, or those before `number`."""
    params = {"state": "ALL", "count": str(ORDERS_PER_PAGE)} | ({} if number is None else {"beforeID": number})
    return Call(group="orders", name="OrderList", arguments={"params": params})


def prices(instruments: Sequence[str]) -> Call:
    """Prices now."""
    return Call(group="pricing", name="PricingInfo", arguments={"params": {"instruments": ",".join(instruments)}})


def price_stream(instruments: Sequence[str]) -> Call:
    """Prices as they change; first a snapshot of each."""
    return Call(group="pricing", name="PricingStream", arguments={"params": {"instruments": ",".join(instruments)}})


def candles(instrument: str, timeframe: Timeframe, *, bound: datetime | None, forward: bool, count: int) -> Call:
    """Mid prices from `bound` on (or up to it); the forming candle may be among them."""
    daily = timeframe is Timeframe.D1
    params = {
        "price": "M",
        "granularity": _GRANULARITIES[timeframe],
        "count": str(min(count, MOST_CANDLES)),
        "dailyAlignment": str(DAY_ENDS_AT if daily else 0),
        "alignmentTimezone": DAY_ZONE if daily else "UTC",
    }
    if bound is not None:
        params["from" if forward else "to"] = bound.astimezone(UTC).isoformat().replace("+00:00", "Z")
    arguments = {"instrument": instrument, "params": params}
    return Call(group="instruments", name="InstrumentsCandles", arguments=arguments, of_account=False)


def plain(number: Decimal) -> str:
    """A number as the venue reads it: no exponent."""
    return format(number, "f")
