"""OANDA's answers in the contract's words. Pure; what is not as documented raises ValueError, nothing is guessed."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo

from bot.instruments import BrokerId, Currency, Instrument, Symbol
from bot.layer1_data.broker_interface import FOREIGN, VenueOrder, VenueTerms
from bot.layer1_data.brokers.oanda.to_oanda import DAY_ENDS_AT, DAY_ZONE
from bot.models import (
    AccountState,
    Candle,
    ClientOrderId,
    Direction,
    Fill,
    OrderState,
    Quote,
    Side,
    Timeframe,
    VenuePosition,
)

Json = Mapping[str, Any]
Read = TypeVar("Read")

STOP_TYPES: Final = frozenset({"STOP_LOSS", "TRAILING_STOP_LOSS", "GUARANTEED_STOP_LOSS"})
_REDUCING_TYPES: Final = STOP_TYPES | {"TAKE_PROFIT"}
_STATES: Final[Mapping[str, OrderState]] = {
    "PENDING": OrderState.WORKING,
    "FILLED": OrderState.FILLED,
    "TRIGGERED": OrderState.TRIGGERED,
    "CANCELLED": OrderState.CANCELED,
}
_CAUSES: Final[Mapping[str, str]] = {
    "LIMIT_ORDER": "limit",
    "TAKE_PROFIT_ORDER": "limit",
    "STOP_ORDER": "stop",
    "STOP_LOSS_ORDER": "stop",
    "TRAILING_STOP_LOSS_ORDER": "stop",
    "GUARANTEED_STOP_LOSS_ORDER": "stop",
    "MARKET_ORDER_MARGIN_CLOSEOUT": "margin closeout",
}


@dataclass(frozen=True, slots=True)
class Names:
    """Our names for the venue's, and which client ids are ours."""

    broker_id: BrokerId
    instruments: Mapping[Symbol, Instrument]
    prefix: str

    def venue_symbol(self, symbol: Symbol) -> str | None:
        """What the venue calls it; None if it is not traded here."""
        found = self.instruments.get(symbol)
        return None if found is None else found.venue_symbol

    def symbol(self, venue_symbol: str) -> Symbol:
        """Our symbol; the venue's own word for what we do not know."""
        known = (each.symbol for each in self.instruments.values() if each.venue_symbol == venue_symbol)
        return next(known, Symbol(venue_symbol))

    def ours(self, thing: Json) -> ClientOrderId | None:
        """The client id of an order or a trade, if we gave it."""
        name = str((thing.get("clientExtensions") or {}).get("id") or "")
        return ClientOrderId(name) if name and name.startswith(self.prefix) else None


def readable(translate: Callable[[], Read]) -> Read:
    """The result of a translation; whatever is wrong with an answer becomes ValueError."""
    try:
        return translate()
    except (KeyError, TypeError, AttributeError, IndexError, InvalidOperation) as error:
        raise ValueError(f"not as documented: {type(error).__name__} {error}") from error


# ------------------------------------------------------------------------------------------------------------ atoms


def number(text: object) -> Decimal:
    """A number that came as a string, as all of them do: a JSON float would have lost digits."""
    if not isinstance(text, str):
        raise ValueError(f"number {text!r} is not a string")
    value = Decimal(text)
    if not value.is_finite():
        raise ValueError(f"number {text!r} is not finite")
    return value


def instant(text: str) -> datetime:
    """An RFC 3339 time with nine digits; the last three are lost."""
    value = datetime.fromisoformat(text)
    if value.tzinfo is None:
        raise ValueError(f"time {text!r} has no zone")
    return value.astimezone(UTC)


# ------------------------------------------------------------------------------------------------------- market data


def candles(answer: Json, timeframe: Timeframe) -> list[Candle]:
    """The complete ones, as ordered by the venue."""
    return [_candle(each, timeframe) for each in answer["candles"] if each["complete"] is True]


def _candle(raw: Json, timeframe: Timeframe) -> Candle:
    opened_at, mid = instant(raw["time"]), raw["mid"]
    return Candle(
        opened_at=opened_at,
        closed_at=closes_at(opened_at, timeframe),
        open=number(mid["o"]),
        high=number(mid["h"]),
        low=number(mid["l"]),
        close=number(mid["c"]),
        volume=Decimal(int(raw["volume"])),
    )


def closes_at(opened_at: datetime, timeframe: Timeframe) -> datetime:
    """End of a candle; a trading day has 23 or 25 hours when New York changes its clocks."""
    if timeframe is not Timeframe.D1:
        return opened_at + timeframe.duration
    there = opened_at.astimezone(ZoneInfo(DAY_ZONE))
    return (there + timedelta(days=1)).replace(hour=DAY_ENDS_AT).astimezone(UTC)


def quote(raw: Json, names: Names) -> Quote | None:
    """Best bid and ask; None where one side is empty, as in a halted market."""
    if not raw["bids"] or not raw["asks"]:
        return None
    return Quote(
        symbol=names.symbol(raw["instrument"]),
        bid=number(raw["bids"][0]["price"]),
        ask=number(raw["asks"][0]["price"]),
        at=instant(raw["time"]),
    )


def terms(raw: Json, names: Names) -> VenueTerms:
    """One instrument as it is described; whether its market is open is told elsewhere."""
    return VenueTerms(
        symbol=names.symbol(raw["name"]),
        tick=Decimal(1).scaleb(-int(raw["displayPrecision"])),
        quantity_step=Decimal(1).scaleb(-int(raw["tradeUnitsPrecision"])),
        min_quantity=number(raw["minimumTradeSize"]),
        min_notional=Decimal(0),
        contract_size=Decimal(1),
        is_open=False,
        says="no price",
    )


def with_state(described: VenueTerms, price: Json | None) -> VenueTerms:
    """Whether orders are taken now (`tradeable`), in the venue's older word for it (`status`) where that is told."""
    if price is None:
        return described
    tradeable = price.get("tradeable", price.get("status") == "tradeable") is True
    return replace(described, is_open=tradeable, says=str(price.get("status") or f"tradeable: {tradeable}"))


def account_state(account: Json, broker_id: BrokerId, at: datetime) -> AccountState:
    """Balance, and equity with open results and financing so far."""
    return AccountState(
        broker_id=broker_id,
        currency=Currency(account["currency"]),
        balance=number(account["balance"]),
        equity=number(account["NAV"]),
        margin_used=number(account["marginUsed"]),
        at=at,
    )


# ------------------------------------------------------------------------------------------------ orders and positions


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """An open trade by its number: the position of one entry, also on an account that nets."""

    number: int
    position: VenuePosition
    extensions: Json


def trades(account: Json, names: Names) -> tuple[Trade, ...]:
    """Every open trade with its stop, oldest first."""
    stops = {each["tradeID"]: each for each in account["orders"] if each["type"] in STOP_TYPES}
    return tuple(
        Trade(
            number=int(each["id"]),
            position=_position(each, stops.get(each["id"]), names),
            extensions=each.get("clientExtensions") or {},
        )
        for each in _by_number(account["trades"])
    )


def _position(trade: Json, stop: Json | None, names: Names) -> VenuePosition:
    units = number(trade["currentUnits"])
    return VenuePosition(
        entry_order_id=names.ours(trade) or ClientOrderId(f"{FOREIGN}{trade['id']}"),
        symbol=names.symbol(trade["instrument"]),
        direction=Direction.LONG if units > 0 else Direction.SHORT,
        quantity=abs(units),
        average_price=number(trade["price"]),
        stop_price=None if stop is None else _stop_price(stop),
        stop_order_id=None if stop is None else names.ours(stop) or ClientOrderId(f"{FOREIGN}{stop['id']}"),
    )


def _stop_price(stop: Json) -> Decimal:
    """A trailing stop's price moves and has a key of its own."""
    return number(stop["trailingStopValue"] if "trailingStopValue" in stop else stop["price"])


def pending_orders(account: Json, names: Names, *, protective: bool) -> tuple[VenueOrder, ...]:
    """The pending orders that protect a trade, or the others."""
    trades = {each["id"]: each for each in account["trades"]}
    return tuple(
        order(each, names, trade=trades.get(each.get("tradeID")))
        for each in _by_number(account["orders"])
        if (each["type"] in STOP_TYPES) is protective
    )


def order(raw: Json, names: Names, *, trade: Json | None = None, fill: Json | None = None) -> VenueOrder:
    """One order. Those of a trade have no units of their own: `trade` has them; `fill` what was really filled."""
    units = _units(raw, trade, fill)
    state = _STATES[raw["state"]]
    price = raw.get("trailingStopValue") or raw.get("price")
    return VenueOrder(
        client_order_id=names.ours(raw),
        venue_order_id=str(raw["id"]),
        symbol=names.symbol(raw["instrument"] if "instrument" in raw else (trade or {})["instrument"]),
        side=Side.BUY if units > 0 else Side.SELL,
        state=state,
        quantity=abs(units),
        filled_quantity=abs(number(fill["units"]))
        if fill
        else abs(units)
        if state is OrderState.FILLED
        else Decimal(0),
        price=None if price is None else number(price),
        reduces_only=raw["type"] in _REDUCING_TYPES or raw.get("positionFill") == "REDUCE_ONLY",
    )


def _units(raw: Json, trade: Json | None, fill: Json | None) -> Decimal:
    if "units" in raw:
        return number(raw["units"])
    if fill is not None:
        return number(fill["units"])
    held = trade or {}
    return -(number(held["currentUnits"]) or number(held["initialUnits"]))


def _by_number(things: Iterable[Json]) -> Sequence[Json]:
    return sorted(things, key=lambda each: int(each["id"]))


# ------------------------------------------------------------------------------------------------------------- fills


def fills(transaction: Json, names: Names, closes: Mapping[str, ClientOrderId]) -> Iterator[Fill]:
    """One fill per trade that an ORDER_FILL touched; nothing of other transactions.

    Orders that are not ours may have changed what is ours: each of their fills is named after the venue's number and
    the trade, because one of them can end several positions (a close-out). `closes` has the orders that the venue made
    for our closing of a trade, by their numbers.
    """
    if transaction["type"] != "ORDER_FILL":
        return
    parts = [
        *([transaction["tradeOpened"]] if transaction.get("tradeOpened") else []),
        *(transaction.get("tradesClosed") or []),
        *([transaction["tradeReduced"]] if transaction.get("tradeReduced") else []),
    ]
    for index, part in enumerate(parts):
        yield Fill(
            broker_id=names.broker_id,
            venue_fill_id=f"{transaction['id']}/{part['tradeID']}",
            client_order_id=_cause_of(transaction, part, names, closes),
            symbol=names.symbol(transaction["instrument"]),
            side=Side.BUY if number(transaction["units"]) > 0 else Side.SELL,
            quantity=abs(number(part["units"])),
            price=number(part.get("price") or transaction.get("fullVWAP") or transaction["price"]),
            fee=_fee(transaction if index == 0 else {}, part),
            filled_at=instant(transaction["time"]),
            cause=_CAUSES.get(str(transaction.get("reason")), "market"),
        )


def _cause_of(transaction: Json, part: Json, names: Names, closes: Mapping[str, ClientOrderId]) -> ClientOrderId:
    number_of_order = str(transaction["orderID"])
    name = closes.get(number_of_order) or transaction.get("clientOrderID")  # whoever comments a trade may name anything
    foreign = ClientOrderId(f"{FOREIGN}{number_of_order}/{part['tradeID']}")
    return names.ours({"clientExtensions": {"id": name}}) or foreign


def _fee(transaction: Json, part: Json) -> Decimal:
    """Commission (a positive number) with the first part; less the financing, which is negative when paid."""
    charged = sum(
        (number(transaction[key]) for key in ("commission", "guaranteedExecutionFee") if key in transaction), Decimal(0)
    )
    return charged - (number(part["financing"]) if "financing" in part else Decimal(0))
