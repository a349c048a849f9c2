"""The matching engine and the wallet of the fake Binance: what the venue does with an order, not how it is asked."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from typing import Any, Final

from bot.instruments import Instrument
from bot.interfaces import Clock
from tests.fakes.venue_market import FakeMarket

ZERO: Final = Decimal(0)
EIGHT: Final = Decimal("1E-8")
STOPS: Final = ("STOP_LOSS", "STOP_LOSS_LIMIT")
MAX_STOPS: Final = 5
MIN_NOTIONAL: Final = Decimal(5)
FARTHEST: Final = Decimal(5)  # PERCENT_PRICE_BY_SIDE: so many times the price, or that part of it
PARTS: Final = (Decimal("0.5"), Decimal("0.3"), Decimal("0.2"))
WHOLE: Final = (Decimal(1),)


class Refused(Exception):
    """The venue's no: HTTP status, code and words."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


@dataclass(slots=True, kw_only=True)
class BookOrder:
    """One order as the venue keeps it."""

    order_id: int
    client_id: str
    symbol: str
    side: str
    kind: str
    quantity: Decimal
    price: Decimal
    stop_price: Decimal
    time_in_force: str
    at: datetime
    status: str = "NEW"
    executed: Decimal = ZERO
    spent: Decimal = ZERO
    working_at: datetime | None = None
    expiry_reason: str = ""

    @property
    def left(self) -> Decimal:
        """Not filled yet."""
        return self.quantity - self.executed

    @property
    def is_open(self) -> bool:
        """It can still trade."""
        return self.status in ("NEW", "PARTIALLY_FILLED")

    @property
    def waits(self) -> bool:
        """A stop that was not triggered."""
        return self.kind in STOPS and self.working_at is None


@dataclass(frozen=True, slots=True, kw_only=True)
class BookTrade:
    """One exchange."""

    id: int
    order: BookOrder
    quantity: Decimal
    price: Decimal
    commission: Decimal
    commission_asset: str
    at: datetime
    is_maker: bool


@dataclass(slots=True)
class Wallet:
    """What is held of each asset, open orders' locks included."""

    total: dict[str, Decimal] = field(default_factory=dict)

    def add(self, asset: str, amount: Decimal) -> None:
        self.total[asset] = self.total.get(asset, ZERO) + amount


class BinanceBook:
    """Orders, trades and balances of one spot account, driven by the shared market."""

    def __init__(
        self, market: FakeMarket, clock: Clock, instruments: list[Instrument], balances: dict[str, str]
    ) -> None:
        self.market = market
        self.clock = clock
        self.instruments = {each.venue_symbol: each for each in instruments}
        self.wallet = Wallet({asset: Decimal(amount) for asset, amount in balances.items()})
        self.orders: list[BookOrder] = []
        self.trades: list[BookTrade] = []
        self.commission_ratio = Decimal("0.001")
        self.commission_asset = ""
        """Empty: the asset that is received; else all of it is paid in this one, as with BNB."""
        self.liquidity: dict[str, Decimal] = {}
        """Most quantity that one look at the market fills, by venue symbol."""
        self.shares: tuple[Decimal, ...] = PARTS
        """How what fills at one look is divided: a trade for each share, in whole steps; WHOLE for one trade.

        An order meets one resting order after the other, so it has several trades: of one instant, with ids that follow
        each other, each with its own commission, and at a worse price where it takes (section 4.2, `fills`; rest-api.md
        and market_orders_faq.md of binance-spot-api-docs)."""
        self.order_types: tuple[str, ...] = ("LIMIT", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT")
        self._last_ids: dict[str, int] = {}

    # -------------------------------------------------------------------------------------------------------- orders

    def place(self, asked: dict[str, str]) -> tuple[BookOrder, list[BookTrade]]:
        """Take an order or refuse it, in the order of the venue's checks."""
        instrument = self.instrument(asked["symbol"])
        order = self._read(asked, instrument)
        self._check(order, instrument)
        self.orders.append(order)
        if order.kind not in STOPS:
            order.working_at = order.at
        return order, self._trade(order, instrument, arriving=True)

    def cancel(self, symbol: str, client_id: str, order_id: int | None) -> BookOrder:
        """Take back an open order."""
        self.instrument(symbol)
        found = self.find(symbol, client_id, order_id)
        if found is None or not found.is_open:
            raise Refused(-2011, "Unknown order sent.")
        found.status = "CANCELED"
        return found

    def find(self, symbol: str, client_id: str, order_id: int | None) -> BookOrder | None:
        """The newest order of that name, or of that number."""
        return next(
            (
                each
                for each in reversed(self.orders)
                if each.symbol == symbol and (each.order_id == order_id if order_id else each.client_id == client_id)
            ),
            None,
        )

    def match(self) -> None:
        """Let the market meet what rests."""
        for order in [each for each in self.orders if each.is_open]:
            self._trade(order, self.instruments[order.symbol], arriving=False)

    def instrument(self, symbol: str) -> Instrument:
        """Raises Refused for a symbol that the venue does not have."""
        found = self.instruments.get(symbol)
        if found is None:
            raise Refused(-1121, "Invalid symbol.")
        return found

    def locked(self, asset: str) -> Decimal:
        """What open orders hold back of an asset."""
        total = ZERO
        for order in self.orders:
            instrument = self.instruments[order.symbol]
            if not order.is_open:
                continue
            if order.side == "SELL" and instrument.base_currency == asset:
                total += order.left
            elif order.side == "BUY" and instrument.quote_currency == asset:
                total += order.left * (order.price or order.stop_price)
        return total

    def free(self, asset: str) -> Decimal:
        """What a new order may use."""
        return self.wallet.total.get(asset, ZERO) - self.locked(asset)

    # -------------------------------------------------------------------------------------------------------- checks

    def _read(self, asked: dict[str, str], instrument: Instrument) -> BookOrder:
        kind = asked.get("type", "")
        needed = {
            "MARKET": ("quantity",),
            "LIMIT": ("quantity", "price", "timeInForce"),
            "STOP_LOSS": ("quantity", "stopPrice"),
            "STOP_LOSS_LIMIT": ("quantity", "price", "timeInForce", "stopPrice"),
        }.get(kind)
        if needed is None:
            raise Refused(-1116, "Invalid orderType.")
        for name in needed:
            if name not in asked:
                raise Refused(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
        for name in {"price", "timeInForce", "stopPrice"} - set(needed):
            if name in asked:
                raise Refused(-1106, f"Parameter '{name}' sent when not required.")
        return BookOrder(
            order_id=len(self.orders) + 1,
            client_id=asked["newClientOrderId"],
            symbol=instrument.venue_symbol,
            side=asked["side"],
            kind=kind,
            quantity=_number(asked["quantity"], "quantity"),
            price=_number(asked.get("price", "0"), "price"),
            stop_price=_number(asked.get("stopPrice", "0"), "stopPrice"),
            time_in_force=asked.get("timeInForce", "GTC"),
            at=self.clock.now(),
        )

    def _check(self, order: BookOrder, instrument: Instrument) -> None:
        at = self.clock.now()
        if not self.market.is_open(instrument.symbol, at):
            raise Refused(-1013, "Market is closed.")
        if order.kind not in self.order_types:
            raise Refused(-1013, "Unsupported order combination")
        if order.quantity <= 0:
            raise Refused(-1013, "Invalid quantity.")
        for price in (order.price, order.stop_price):
            if price % instrument.tick:
                raise Refused(-1013, "Filter failure: PRICE_FILTER")
        if order.quantity % instrument.quantity_step or order.quantity < instrument.min_quantity:
            raise Refused(-1013, "Filter failure: LOT_SIZE")
        bid, ask = self.market.quote(instrument.symbol, at)
        if order.price and not bid / FARTHEST <= order.price <= ask * FARTHEST:
            raise Refused(-1013, "Filter failure: PERCENT_PRICE_BY_SIDE")
        if order.quantity * (order.price or order.stop_price or ask) < MIN_NOTIONAL:
            raise Refused(-1013, "Filter failure: NOTIONAL")
        resting = [each for each in self.orders if each.is_open and each.symbol == order.symbol]
        if order.kind in STOPS and sum(each.kind in STOPS for each in resting) >= MAX_STOPS:
            raise Refused(-1013, "Filter failure: MAX_NUM_ALGO_ORDERS")
        if any(each.client_id == order.client_id for each in self.orders if each.is_open):
            raise Refused(-2010, "Duplicate order sent.")
        if order.kind in STOPS and (bid <= order.stop_price if order.side == "SELL" else ask >= order.stop_price):
            raise Refused(-2010, "Stop price would trigger immediately.")
        asset, needed = instrument.base_currency, order.quantity
        if order.side == "BUY":
            deals = self._deals(order, instrument, order.quantity, ask)
            needed = order.quantity * (order.price or order.stop_price) or sum((a * b for a, b in deals), ZERO)
            asset = instrument.quote_currency
        if needed > self.free(asset):
            raise Refused(-2010, "Account has insufficient balance for requested action.")

    # ------------------------------------------------------------------------------------------------------ matching

    def _trade(self, order: BookOrder, instrument: Instrument, *, arriving: bool) -> list[BookTrade]:
        at = self.clock.now()
        if not self.market.is_open(instrument.symbol, at):
            return []
        bid, ask = self.market.quote(instrument.symbol, at)
        best = ask if order.side == "BUY" else bid
        if order.waits:
            reached = bid <= order.stop_price if order.side == "SELL" else ask >= order.stop_price
            if not reached:
                return []
            order.working_at, arriving = at, True
        at_market = order.kind in ("MARKET", "STOP_LOSS")
        if not at_market and (best > order.price if order.side == "BUY" else best < order.price):
            return self._unfilled(order)
        is_touched = not arriving and best == order.price
        if not arriving:
            best = order.price
        quantity = min(order.left, self.liquidity.get(order.symbol, order.left))
        if order.time_in_force == "FOK" and quantity < order.left:
            return self._unfilled(order)
        deals = self._deals(order, instrument, quantity, best)
        if is_touched:
            deals = deals[:1]  # others rest at that price, too: only what the market goes through has surely filled
        done = [self._exchange(order, instrument, *each, is_maker=not arriving) for each in deals]
        if order.left and at_market:
            order.status, order.expiry_reason = "EXPIRED", "INSUFFICIENT_LIQUIDITY"
        return done if order.status in ("FILLED", "EXPIRED") else done + self._unfilled(order)

    def _deals(
        self, order: BookOrder, instrument: Instrument, quantity: Decimal, best: Decimal
    ) -> list[tuple[Decimal, Decimal]]:
        """Quantity and price of each trade, a tick worse from one to the next, never beyond the order's own price."""
        worse = instrument.tick if order.side == "BUY" else -instrument.tick
        prices = [best + worse * count for count in range(len(self.shares))]
        if order.price:
            prices = [min(each, order.price) if worse > 0 else max(each, order.price) for each in prices]
        return list(zip(divided(quantity, self.shares, instrument.quantity_step), prices, strict=False))

    def _unfilled(self, order: BookOrder) -> list[BookTrade]:
        if order.time_in_force in ("IOC", "FOK"):
            order.status = "EXPIRED"
        return []

    def _exchange(
        self, order: BookOrder, instrument: Instrument, quantity: Decimal, price: Decimal, *, is_maker: bool
    ) -> BookTrade:
        worth = quantity * price
        gained, paid = (quantity, worth) if order.side == "BUY" else (worth, quantity)
        received, given = instrument.base_currency, instrument.quote_currency
        if order.side == "SELL":
            received, given = given, received
        self.wallet.add(given, -paid)
        self.wallet.add(received, gained)
        asset, commission = str(received), gained * self.commission_ratio
        if self.commission_asset:
            asset, commission = self.commission_asset, worth * self.commission_ratio / self._worth_of(asset_price=price)
        commission = commission.quantize(EIGHT, ROUND_DOWN)
        self.wallet.add(asset, -commission)
        order.executed += quantity
        order.spent += worth
        order.status = "PARTIALLY_FILLED" if order.left else "FILLED"
        self._last_ids[order.symbol] = self._last_ids.get(order.symbol, 99) + 1
        done = BookTrade(
            id=self._last_ids[order.symbol],
            order=order,
            quantity=quantity,
            price=price,
            commission=commission,
            commission_asset=asset,
            at=self.clock.now(),
            is_maker=is_maker,
        )
        self.trades.append(done)
        return done

    def _worth_of(self, *, asset_price: Decimal) -> Decimal:
        paid_in = next(
            (each for each in self.instruments.values() if each.base_currency == self.commission_asset), None
        )
        return asset_price if paid_in is None else self.market.quote(paid_in.symbol, self.clock.now())[0]


def divided(quantity: Decimal, shares: tuple[Decimal, ...], step: Decimal) -> list[Decimal]:
    """Whole steps for each share, and the last one has what is left; a single step stays whole."""
    parts = [quantity * each // step * step for each in shares[:-1]]
    return [each for each in (*parts, quantity - sum(parts, ZERO)) if each]


def _number(text: str, name: str) -> Decimal:
    value = Decimal(text)
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and -exponent > 8:
        raise Refused(-1111, f"Parameter '{name}' has too much precision.")
    return value


def plain(number: Decimal) -> str:
    """As the venue writes numbers: eight decimals."""
    return f"{number.quantize(EIGHT, ROUND_DOWN):f}"


def order_row(order: BookOrder) -> dict[str, Any]:
    """An order as a question about it is answered."""
    row: dict[str, Any] = {
        "symbol": order.symbol,
        "orderId": order.order_id,
        "orderListId": -1,
        "clientOrderId": order.client_id,
        "price": plain(order.price),
        "origQty": plain(order.quantity),
        "executedQty": plain(order.executed),
        "cummulativeQuoteQty": plain(order.spent),
        "status": order.status,
        "timeInForce": order.time_in_force,
        "type": order.kind,
        "side": order.side,
        "icebergQty": "0.00000000",
        "time": stamp(order.at),
        "updateTime": stamp(order.working_at or order.at),
        "isWorking": not order.waits,
        "workingTime": -1 if order.working_at is None else stamp(order.working_at),
        "origQuoteOrderQty": "0.00000000",
        "selfTradePreventionMode": "EXPIRE_MAKER",
    }
    if order.kind in STOPS:
        row["stopPrice"] = plain(order.stop_price)
    if order.expiry_reason:
        row["expiryReason"] = order.expiry_reason
    return row


def placed_row(order: BookOrder, done: list[BookTrade]) -> dict[str, Any]:
    """The FULL answer to an order."""
    left_out = ("icebergQty", "time", "updateTime", "isWorking")
    row = {name: value for name, value in order_row(order).items() if name not in left_out}
    fills = [
        {
            "price": plain(each.price),
            "qty": plain(each.quantity),
            "commission": plain(each.commission),
            "commissionAsset": each.commission_asset,
            "tradeId": each.id,
        }
        for each in done
    ]
    return {**row, "transactTime": stamp(order.at), "fills": fills}


def canceled_row(order: BookOrder) -> dict[str, Any]:
    """The answer to a cancel: the id of the order stands in another field, the usual one names the cancel."""
    row = placed_row(order, [])
    del row["fills"]
    return {**row, "origClientOrderId": order.client_id, "clientOrderId": f"cancel{order.order_id}"}


def trade_row(done: BookTrade) -> dict[str, Any]:
    """A row of myTrades."""
    return {
        "symbol": done.order.symbol,
        "id": done.id,
        "orderId": done.order.order_id,
        "orderListId": -1,
        "price": plain(done.price),
        "qty": plain(done.quantity),
        "quoteQty": plain(done.quantity * done.price),
        "commission": plain(done.commission),
        "commissionAsset": done.commission_asset,
        "time": stamp(done.at),
        "isBuyer": done.order.side == "BUY",
        "isMaker": done.is_maker,
        "isBestMatch": True,
    }


def stamp(at: datetime) -> int:
    """Milliseconds since 1970."""
    return (at - datetime(1970, 1, 1, tzinfo=at.tzinfo)) // timedelta(milliseconds=1)
