"""The account of the fake OANDA: one sequence of transactions, orders, trades, and the rules of filling."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Final

from bot.instruments import AssetClass, Instrument, Symbol
from tests.fakes.venue_market import FakeMarket

Json = dict[str, Any]

MARGIN_RATE: Final = Decimal("0.02")
MOST_UNITS: Final = Decimal(100_000_000)
ACCOUNT: Final = "101-004-1435156-001"
USER: Final = 1435156
_CENT: Final = Decimal("0.0001")
ZERO: Final = Decimal(0)


class Reject(Exception):
    """A 400 or 404 that stores a reject transaction."""

    def __init__(self, code: str, status: int = 400) -> None:
        super().__init__(code)
        self.code = code
        self.status = status


class Refuse(Exception):
    """A 400 or 404 in words only."""

    def __init__(self, words: str, status: int = 400) -> None:
        super().__init__(words)
        self.words = words
        self.status = status


class Cancel(Exception):
    """A 201 whose order ends in the same breath."""


@dataclass
class Trade:
    """Open or closed; `units` are what is left, signed."""

    id: str
    instrument: str
    price: Decimal
    initial: Decimal
    units: Decimal
    opened_at: str
    name: str | None
    realised: Decimal = ZERO
    comment: str | None = None


def nine_digits(at: datetime) -> str:
    """RFC 3339 as the venue writes it."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.%f") + "000Z"


class Book:
    """What the venue remembers. Everything is decided in the moment of the call."""

    def __init__(
        self, market: FakeMarket, now: Callable[[], datetime], *, balance: str, currency: str, hedging: bool
    ) -> None:
        self.market = market
        self.now = now
        self.balance = Decimal(balance)
        self.currency = currency
        self.hedging = hedging
        self.transactions: list[Json] = []
        self.orders: dict[str, Json] = {}
        self.trades: dict[str, Trade] = {}
        self.closed_under: dict[str, str] = {}  # by order that closes a trade: what that bore then; nobody is told
        self.charge = ZERO  # commission per fill
        self.names_outlive = False  # `@id` finds the newest order of that name, ended or not
        self.takes_comments = True  # that a trade of every account takes one is not confirmed
        self.not_offered: set[str] = set()
        self.moved_stops_end_as = ""  # the reason for which a stop that was moved ends in the same breath
        self._batch = "1"
        self.begin()
        self.note("CREATE", homeCurrency=currency)

    @property
    def last_id(self) -> str:
        """Number of the newest transaction."""
        return str(len(self.transactions))

    def begin(self) -> str:
        """What one request causes bears the number of its first transaction."""
        self._batch = str(len(self.transactions) + 1)
        return self._batch

    def note(self, kind: str, **fields: Any) -> Json:
        """Append a transaction."""
        entry = {
            "id": str(len(self.transactions) + 1),
            "accountID": ACCOUNT,
            "userID": USER,
            "batchID": self._batch,
            "requestID": f"42{self._batch.zfill(16)}",
            "time": nine_digits(self.now()),
            "type": kind,
            **fields,
        }
        self.transactions.append(entry)
        return entry

    def offers(self, name: str) -> bool:
        """The account may trade it."""
        return Symbol(name) in self.market.registry and name not in self.not_offered

    def instrument(self, name: object) -> Instrument:
        """Raises Refuse for one that the account does not have."""
        if not isinstance(name, str) or not self.offers(name):
            raise Refuse("Invalid value specified for 'order.instrument'")
        return self.market.registry.get(name)

    def quote(self, name: str) -> tuple[Decimal, Decimal] | None:
        """Bid and ask; None while the market is halted."""
        return self.market.quote(Symbol(name), self.now()) if self.market.is_open(Symbol(name), self.now()) else None

    def priced(self, instrument: Instrument, price: Decimal) -> str:
        """Padded to the precision of the instrument."""
        return format(price.quantize(instrument.tick), "f")

    # ------------------------------------------------------------------------------------------------------- reading

    def pending(self) -> list[Json]:
        """Orders that wait, oldest first."""
        return [each for each in self.orders.values() if each["state"] == "PENDING"]

    def open_trades(self, instrument: str | None = None) -> list[Trade]:
        """Oldest first."""
        return [each for each in self.trades.values() if each.units and instrument in (None, each.instrument)]

    def trade_by(self, spec: str) -> Trade:
        """By number, or by the name of an open trade. Raises Refuse."""
        found = (
            next((each for each in self.open_trades() if each.name == spec[1:]), None)
            if spec.startswith("@")
            else self.trades.get(spec)
        )
        if found is None:
            raise Refuse("The trade ID specified does not exist", 404)
        return found

    def order_by(self, spec: str) -> Json:
        """By number, or by name; whether the name of an ended order is still known, the venue does not document."""
        named = [*self.orders.values()][::-1] if self.names_outlive else self.pending()
        found = (
            next((each for each in named if _name_of(each) == spec[1:]), None)
            if spec.startswith("@")
            else self.orders.get(spec)
        )
        if found is None:
            raise Refuse("The order ID specified does not exist", 404)
        return found

    def trade_json(self, trade: Trade) -> Json:
        """As `trades/{id}` tells it."""
        told: Json = {
            "id": trade.id,
            "instrument": trade.instrument,
            "price": self.priced(self.instrument(trade.instrument), trade.price),
            "openTime": trade.opened_at,
            "state": "OPEN" if trade.units else "CLOSED",
            "initialUnits": format(trade.initial, "f"),
            "currentUnits": format(trade.units, "f"),
            "realizedPL": money(trade.realised),
            "unrealizedPL": money(self._open_result(trade)),
            "financing": "0.0000",
        }
        extensions = {"id": trade.name, "comment": trade.comment}
        shown = {key: value for key, value in extensions.items() if value}
        return told | ({"clientExtensions": shown} if shown else {})

    def equity(self) -> Decimal:
        """Balance with open results."""
        return self.balance + sum((self._open_result(each) for each in self.open_trades()), ZERO)

    def margin(self) -> Decimal:
        """Margin in use."""
        return sum((self._margin_of(each.instrument, each.units, each.price) for each in self.open_trades()), ZERO)

    def summary(self) -> Json:
        """Fields of the account."""
        return {
            "id": ACCOUNT,
            "alias": "Primary",
            "currency": self.currency,
            "balance": money(self.balance),
            "createdByUserID": USER,
            "hedgingEnabled": self.hedging,
            "NAV": money(self.equity()),
            "unrealizedPL": money(self.equity() - self.balance),
            "marginRate": str(MARGIN_RATE),
            "marginUsed": money(self.margin()),
            "marginAvailable": money(max(self.equity() - self.margin(), ZERO)),
            "openTradeCount": len(self.open_trades()),
            "pendingOrderCount": len(self.pending()),
            "lastTransactionID": self.last_id,
        }

    def _open_result(self, trade: Trade) -> Decimal:
        if not trade.units:
            return ZERO
        bid, ask = self.market.quote(Symbol(trade.instrument), self.now())
        return self.worth(trade.instrument, ((bid if trade.units > 0 else ask) - trade.price) * trade.units)

    def _margin_of(self, name: str, units: Decimal, price: Decimal) -> Decimal:
        return self.worth(name, abs(units) * price * MARGIN_RATE)

    def worth(self, name: str, amount: Decimal) -> Decimal:
        """An amount in the quote currency of `name`, in the account's."""
        quote = self.instrument(name).quote_currency
        if quote == self.currency:
            return amount
        for pair, inverted in ((f"{quote}_{self.currency}", False), (f"{self.currency}_{quote}", True)):
            if Symbol(pair) in self.market.registry:
                rate = sum(self.market.quote(Symbol(pair), self.now()), ZERO) / 2
                return amount / rate if inverted else amount * rate
        return amount

    # ------------------------------------------------------------------------------------------------------ executing

    def execute(self, order: Json, price: Decimal, reason: str) -> Json:
        """Fill an order: what it closes first, then what it opens; all of it within its bound. Raises Cancel."""
        units = Decimal(order["units"])
        if "priceBound" in order and (price - Decimal(order["priceBound"])) * units > 0:
            raise Cancel("BOUNDS_VIOLATION")
        closing, opening = self._shares(order, units)
        if opening:
            self._may_open(order, opening, price)
        told: Json = {"tradesClosed": [], "pl": ZERO}
        fill = self.note("ORDER_FILL", orderID=order["id"], instrument=order["instrument"], reason=reason)
        for trade, part in closing:
            self._close(trade, part, price, told)
        if opening:
            told["tradeOpened"] = self._open(fill["id"], order, opening, price)
        instrument = self.instrument(order["instrument"])
        done = opening + sum((part for _, part in closing), ZERO)
        self.balance -= self.charge
        fill.update(
            {
                **({"clientOrderID": _name_of(order)} if _name_of(order) else {}),
                "units": format(done, "f"),
                "price": self.priced(instrument, price),
                "fullVWAP": self.priced(instrument, price),
                "pl": money(told.pop("pl")),
                "financing": "0.0000",
                "commission": money(self.charge),
                "accountBalance": money(self.balance),
                **{key: value for key, value in told.items() if value},
            }
        )
        order.update(state="FILLED", fillingTransactionID=fill["id"], filledTime=fill["time"])
        self._settle_dependants(order, fill, [trade for trade, _ in closing])
        return fill

    def end(self, order: Json, reason: str, **more: Any) -> Json:
        """Cancel a pending order."""
        names = {"clientOrderID": _name_of(order)} if _name_of(order) else {}
        entry = self.note("ORDER_CANCEL", orderID=order["id"], reason=reason, **names, **more)
        order.update(state="CANCELLED", cancellingTransactionID=entry["id"], cancelledTime=entry["time"])
        return entry

    def new_order(self, kind: str, reason: str, **fields: Any) -> tuple[Json, Json]:
        """A pending order and its transaction."""
        entry = self.note(f"{kind}_ORDER", reason=reason, **fields)
        order = {"id": entry["id"], "createTime": entry["time"], "type": kind, "state": "PENDING", **fields}
        self.orders[entry["id"]] = order
        return order, entry

    def match(self) -> None:
        """Fill whatever the market has reached. A halted market fills nothing."""
        for order in self.pending():
            price = self._reached(order) if order["state"] == "PENDING" else None
            if price is None:
                continue
            self.begin()
            if "tradeID" in order:
                trade = self.trades[order["tradeID"]]
                self.execute(
                    order | {"units": format(-trade.units, "f"), "instrument": trade.instrument, "_order": order},
                    price,
                    f"{order['type']}_ORDER",
                )
                continue
            try:
                self.execute(order, price, f"{order['type']}_ORDER")
            except Cancel as cancelled:
                self.end(order, str(cancelled))

    def _reached(self, order: Json) -> Decimal | None:
        trade = self.trades[order["tradeID"]] if "tradeID" in order else None
        quote = self.quote(trade.instrument if trade else order["instrument"])
        if quote is None or order["type"] == "MARKET":
            return None
        bid, ask = quote
        buys = (trade.units < 0) if trade else Decimal(order["units"]) > 0
        paid, wanted = (ask if buys else bid), Decimal(order["price"])
        waits_for_better = order["type"] in ("LIMIT", "TAKE_PROFIT")
        reached = paid <= wanted if buys is waits_for_better else paid >= wanted
        return paid if reached else None

    def _shares(self, order: Json, units: Decimal) -> tuple[list[tuple[Trade, Decimal]], Decimal]:
        """What is closed of which trade, signed as the order is, and what is opened."""
        if trade_id := order.get("tradeID"):
            return [(self.trades[trade_id], units)], ZERO
        against = [each for each in self.open_trades(order["instrument"]) if (each.units > 0) != (units > 0)]
        how = order.get("positionFill", "DEFAULT")
        if how == "DEFAULT":
            how = "OPEN_ONLY" if self.hedging else "REDUCE_FIRST"
        if how == "OPEN_ONLY":
            if against and not self.hedging:
                raise Cancel("FIFO_VIOLATION")
            return [], units
        closing, left = [], units
        for trade in against:
            part = min(abs(left), abs(trade.units)).copy_sign(units)
            if part:
                closing.append((trade, part))
                left -= part
        if how == "REDUCE_ONLY":
            if not closing:
                raise Cancel("POSITION_CLOSEOUT_FAILED")
            left = ZERO
        return closing, left

    def _may_open(self, order: Json, units: Decimal, price: Decimal) -> None:
        name = (order.get("tradeClientExtensions") or {}).get("id")
        if name and any(each.name == name for each in self.open_trades()):
            raise Cancel("CLIENT_TRADE_ID_ALREADY_EXISTS")
        if self._margin_of(order["instrument"], units, price) + self.margin() > self.equity():
            raise Cancel("INSUFFICIENT_MARGIN")
        stop = order.get("stopLossOnFill")
        if not stop:
            return
        quote = self.quote(order["instrument"])
        assert quote is not None
        if "price" in stop and (
            Decimal(stop["price"]) >= quote[0] if units > 0 else Decimal(stop["price"]) <= quote[1]
        ):
            raise Cancel("STOP_LOSS_ON_FILL_LOSS")
        stop_name = (stop.get("clientExtensions") or {}).get("id")
        if stop_name and any(_name_of(each) == stop_name and each["id"] != order["id"] for each in self.pending()):
            raise Cancel("STOP_LOSS_ON_FILL_CLIENT_ORDER_ID_ALREADY_EXISTS")

    def _open(self, number: str, order: Json, units: Decimal, price: Decimal) -> Json:
        name = (order.get("tradeClientExtensions") or {}).get("id")
        trade = Trade(number, order["instrument"], price, units, units, nine_digits(self.now()), name)
        self.trades[number] = trade
        told = {"tradeID": number, "units": format(units, "f")}
        told["price"] = self.priced(self.instrument(order["instrument"]), price)
        return told | ({"clientExtensions": {"id": name}} if name else {})

    def _close(self, trade: Trade, part: Decimal, price: Decimal, told: Json) -> None:
        result = self.worth(trade.instrument, (trade.price - price) * part)
        self.balance += result
        trade.units += part
        trade.realised += result
        told["pl"] += result
        entry = {
            "tradeID": trade.id,
            "units": format(part, "f"),
            "price": self.priced(self.instrument(trade.instrument), price),
            "realizedPL": money(result),
            "financing": "0.0000",
        } | ({"clientTradeID": trade.name} if trade.name else {})
        if trade.units:
            told["tradeReduced"] = entry
        else:
            told["tradesClosed"].append(entry)

    def _settle_dependants(self, order: Json, fill: Json, touched: list[Trade]) -> None:
        """Orders of closed trades end; the stop of a new trade rests from the same batch on."""
        if "_order" in order:
            order["_order"].update(state="FILLED", fillingTransactionID=fill["id"], filledTime=fill["time"])
        closed = {each.id for each in touched if not each.units}
        for each in self.pending():
            if each.get("tradeID") in closed:
                self.end(each, "LINKED_TRADE_CLOSED", tradeCloseTransactionID=fill["id"])
        if "tradeOpened" in fill:
            for kind, key in (("STOP_LOSS", "stopLossOnFill"), ("TAKE_PROFIT", "takeProfitOnFill")):
                if details := order.get(key):
                    self.dependent(kind, fill["id"], details, "ON_FILL")

    def dependent(self, kind: str, trade_id: str, details: Json, reason: str, **more: Any) -> tuple[Json, Json]:
        """A stop or target of one trade."""
        trade = self.trades[trade_id]
        price = self.priced(self.instrument(trade.instrument), Decimal(details["price"]))
        extensions = {"clientExtensions": details["clientExtensions"]} if details.get("clientExtensions") else {}
        fields = {"tradeID": trade_id, "price": price, "timeInForce": details.get("timeInForce", "GTC"), **extensions}
        names = {"clientTradeID": trade.name} if trade.name else {}
        return self.new_order(kind, reason, **fields, triggerCondition="DEFAULT", **names, **more)

    def instruments(self) -> Iterator[Json]:
        """As the account's list tells them."""
        types = {AssetClass.FOREX: "CURRENCY", AssetClass.METAL: "METAL"}
        for each in self.market.registry:
            if "_" in each.venue_symbol and self.offers(each.venue_symbol):
                yield {
                    "name": each.venue_symbol,
                    "type": types.get(each.asset_class, "CFD"),
                    "displayName": each.venue_symbol.replace("_", "/"),
                    "pipLocation": each.pip.adjusted(),
                    "displayPrecision": -int(each.tick.as_tuple().exponent),
                    "tradeUnitsPrecision": max(0, -int(each.quantity_step.as_tuple().exponent)),
                    "minimumTradeSize": str(each.min_quantity),
                    "maximumPositionSize": "0",
                    "maximumOrderUnits": str(MOST_UNITS),
                    "marginRate": str(MARGIN_RATE),
                }


def money(amount: Decimal) -> str:
    """Four decimals."""
    return format(amount.quantize(_CENT, ROUND_HALF_EVEN), "f")


def _name_of(order: Json) -> str | None:
    name = (order.get("clientExtensions") or {}).get("id")
    return str(name) if name else None
