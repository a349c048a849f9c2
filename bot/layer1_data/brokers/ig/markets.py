"""What IG trades: in which units it quotes and deals, at what price now, and its candles."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import ceil
from typing import Any, Final

from bot.errors import BrokerUnavailable
from bot.instruments import Instrument, Symbol
from bot.interfaces import Clock
from bot.layer1_data.broker_interface import RateBudget, VenueTerms
from bot.layer1_data.brokers.ig import to_ig
from bot.layer1_data.brokers.ig.errors import Fate, readable
from bot.layer1_data.brokers.ig.session import Session
from bot.layer1_data.brokers.ig.wire import Wire
from bot.layer1_data.brokers.limiter import Priority
from bot.models import Candle, Quote, Timeframe

OPEN: Final = "TRADEABLE"
_BATCH: Final = 50
_POINTS_A_WEEK: Final = 10_000
_POINTS_KEPT: Final = 500  # never spent on long history: the newest candles come first
_WEEK: Final = timedelta(days=7)
_NUMBER: Final = re.compile(r"\d+(?:\.\d+)?")
_MINOR: Final = re.compile(r"cent|pence|penny", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """One epic as the venue told it last.

    `unit`: what 1 of the venue's price is worth in ours. `size_unit`: our quantity in one of the venue's size.
    """

    instrument: Instrument
    expiry: str
    unit: Decimal
    size_unit: Decimal
    tick: Decimal
    min_size: Decimal
    currencies: tuple[str, ...]
    status: str
    bid: Decimal | None
    ask: Decimal | None
    at: datetime

    @property
    def currency(self) -> str:
        """The currency to deal in: the one that the instrument is counted in. Empty: the venue has it not."""
        return self.instrument.quote_currency if self.instrument.quote_currency in self.currencies else ""

    def level(self, price: Decimal) -> Decimal:
        """Our price in the venue's units."""
        return (price / self.unit).normalize()

    def price(self, level: object) -> Decimal:
        """The venue's price in ours."""
        return number(level) * self.unit

    def size(self, quantity: Decimal) -> Decimal:
        """Our quantity in the venue's units."""
        return (quantity / self.size_unit).normalize()

    def quantity(self, size: object) -> Decimal:
        """The venue's size in ours."""
        return number(size) * self.size_unit


def number(value: object) -> Decimal:
    """A JSON number."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise TypeError(f"a number was expected, not {value!r}")
    return Decimal(value)


def market_of(row: Mapping[str, Any], instrument: Instrument, now: datetime) -> Market:
    """From a row of `GET /markets`. Levels may be scaled: 10847.0 is 1.0847 where a pip is 0.0001."""
    told, rules, snapshot = row["instrument"], row["dealingRules"], row["snapshot"]
    pip, scaling = pip_of(told.get("onePipMeans")), number(snapshot["scalingFactor"])
    unit = pip * scaling
    contract = Decimal(str(told["contractSize"]))
    return Market(
        instrument=instrument,
        expiry=str(told["expiry"]),
        unit=unit,
        size_unit=contract / instrument.contract_size,
        tick=unit.scaleb(-int(snapshot["decimalPlacesFactor"])).normalize(),
        min_size=number(rules["minDealSize"]["value"]),
        currencies=tuple(str(each["code"]) for each in told["currencies"]),
        status=str(snapshot["marketStatus"]),
        bid=None if snapshot["bid"] is None else number(snapshot["bid"]) * unit,
        ask=None if snapshot["offer"] is None else number(snapshot["offer"]) * unit,
        at=now - timedelta(minutes=int(snapshot["delayTime"])),
    )


def pip_of(words: object) -> Decimal:
    """What one pip is, such as "0.0001 USD/EUR" or "1 Cents"; an index says "1 Index Point" or nothing."""
    if words is None:
        return Decimal(1)
    found = _NUMBER.match(str(words).strip())
    if found is None:
        raise ValueError(f"onePipMeans {words!r} begins with no number")
    return Decimal(found.group()) * (Decimal("0.01") if _MINOR.search(str(words)) else 1)


class Markets:
    """Asks for all our epics at once, since each question counts as much as one about a single epic."""

    def __init__(
        self, session: Session, wire: Wire, clock: Clock, instruments: Sequence[Instrument], *, fresh_s: float
    ) -> None:
        """`fresh_s`: how old a quote may be that answers another question."""
        self._session = session
        self._wire = wire
        self._clock = clock
        self._instruments = {each.symbol: each for each in instruments}
        self.by_epic = {each.venue_symbol: each for each in instruments}
        self._fresh_s = fresh_s
        self._known: dict[Symbol, Market] = {}
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()
        self._points_left = _POINTS_A_WEEK
        self._points_back_at: datetime | None = None

    @property
    def points(self) -> RateBudget:
        """What is used of the week's history."""
        return RateBudget(
            name="history points per week",
            used=_POINTS_A_WEEK - self._points_left,
            allowed=_POINTS_A_WEEK,
            window_s=_WEEK.total_seconds(),
        )

    def known(self, symbol: Symbol) -> Market | None:
        """As it was told last, if it was."""
        return self._known.get(symbol)

    async def market(self, symbol: Symbol, priority: Priority = Priority.READ) -> Market | None:
        """Its units, which do not change; None: the venue does not know it."""
        if symbol in self._instruments and symbol not in self._known:
            await self._refresh(priority)
        return self._known.get(symbol)

    async def learn(self) -> None:
        """Know the units of all our epics: without them sizes and levels mean nothing."""
        if not self._known:
            await self._refresh(Priority.READ)

    async def quote(self, symbol: Symbol) -> Quote:
        """Bid and ask now. What a closed market shows is no price of now."""
        if symbol not in self._instruments:
            raise BrokerUnavailable(f"ig: {symbol} is not traded here; route it to another broker")
        await self._refresh(Priority.READ)
        market = self._known.get(symbol)
        if market is None:
            raise BrokerUnavailable(f"ig: the venue does not know {symbol}; check its epic in the registry")
        if market.status != OPEN or market.bid is None or market.ask is None:
            raise BrokerUnavailable(f"ig: {symbol} has no price now: its market is {market.status}")
        return Quote(symbol=symbol, bid=market.bid, ask=market.ask, at=market.at)

    async def terms(self, symbols: Sequence[Symbol]) -> Sequence[VenueTerms]:
        """A step of sizes is not published: it is ours as long as the smallest deal is a whole number of it."""
        await self._refresh(Priority.READ)
        found = [self._known[each] for each in symbols if each in self._known]
        return tuple(
            VenueTerms(
                symbol=each.instrument.symbol,
                tick=each.tick,
                quantity_step=each.instrument.quantity_step,
                min_quantity=each.quantity(each.min_size),
                min_notional=Decimal(0),
                contract_size=each.instrument.contract_size,
                is_open=each.status == OPEN,
                says=each.status,
            )
            for each in found
        )

    async def candles(
        self, symbol: Symbol, timeframe: Timeframe, *, since: datetime | None, limit: int
    ) -> Sequence[Candle]:
        """Mid prices, final by the venue's clock; days begin when the venue's do.

        Each candle costs one of 10,000 points a week, so what would spend the rest is refused unasked.
        """
        market = await self.market(symbol)
        if market is None:
            raise BrokerUnavailable(f"ig: candles of {symbol}: the venue does not know it")
        points = limit + 1  # the newest is still forming
        if since is not None:
            points = ceil((self._wire.server_now - since) / timeframe.duration) + 1
        self._spend(symbol, points)
        call = to_ig.prices(market.instrument.venue_symbol, timeframe, points)
        reply = await self._session.look(call, Priority.HISTORY)
        if reply.fate is Fate.HISTORY_SPENT:
            self._points_left = 0
            self._points_back_at = self._points_back_at or self._clock.now() + _WEEK
        if reply.fate is not Fate.ACK:
            raise BrokerUnavailable(f"ig: candles of {symbol} were not answered: {reply.says}")
        with readable(f"candles of {symbol}"):
            found = self._candles(reply.data, market, timeframe)
        closed = [each for each in found if each.closed_at <= self._wire.server_now]
        if since is None:
            return tuple(closed[-limit:])
        return tuple(each for each in closed if each.opened_at >= since)[:limit]

    # -------------------------------------------------------------------------------------------------------- inside

    def _spend(self, symbol: Symbol, points: int) -> None:
        now = self._clock.now()
        if self._points_back_at is not None and now >= self._points_back_at:
            self._points_left, self._points_back_at = _POINTS_A_WEEK, None
        kept = _POINTS_KEPT if points > 2 else 0
        if points > self._points_left - kept:
            back = f"{self._points_back_at:%Y-%m-%d %H:%M} UTC" if self._points_back_at else "next week"
            raise BrokerUnavailable(
                f"ig: {points} candles of {symbol} are refused: {self._points_left} of the week's {_POINTS_A_WEEK} "
                f"points are left and {kept} are kept for the newest candles; ask for fewer, or again at {back}"
            )

    def _candles(self, data: Any, market: Market, timeframe: Timeframe) -> list[Candle]:
        metadata = data["metadata"]
        allowance = metadata["allowance"]
        self._points_left = int(allowance["remainingAllowance"])
        self._points_back_at = self._clock.now() + timedelta(seconds=int(allowance["allowanceExpiry"]))
        if metadata["pageData"]["totalPages"] > 1:
            raise ValueError(f"only page 1 of {metadata['pageData']['totalPages']} came")
        found = (_candle(row, market, timeframe) for row in data["prices"])
        return sorted((each for each in found if each is not None), key=lambda each: each.opened_at)

    async def _refresh(self, priority: Priority) -> None:
        async with self._asking:
            if self._clock.monotonic() - self._asked_at <= self._fresh_s:
                return
            epics = list(self.by_epic)
            told = [
                row
                for at in range(0, len(epics), _BATCH)
                for row in await self._rows(epics[at : at + _BATCH], priority)
            ]
            with readable("markets"):
                now = self._wire.server_now
                for row in told:
                    market = market_of(row, self.by_epic[row["instrument"]["epic"]], now)
                    self._known[market.instrument.symbol] = market
            self._asked_at = self._clock.monotonic()

    async def _rows(self, epics: Sequence[str], priority: Priority) -> list[Any]:
        """One unknown epic may make the venue refuse all of them: then each is asked for alone."""
        reply = await self._session.look(to_ig.markets(epics), priority)
        if reply.fate is Fate.REJECTED and len(epics) > 1:
            return [row for each in epics for row in await self._rows([each], priority)]
        if reply.fate is Fate.REJECTED:
            return []
        if reply.fate is not Fate.ACK:
            raise BrokerUnavailable(f"ig: markets were not answered: {reply.says}")
        with readable("markets"):
            rows: list[Any] = [each for each in reply.data["marketDetails"] if each is not None]  # type: ignore[index]
        return rows


def _candle(row: Mapping[str, Any], market: Market, timeframe: Timeframe) -> Candle | None:
    """None for a quiet bar: its prices are null."""
    sides = [(row[f"{name}Price"]["bid"], row[f"{name}Price"]["ask"]) for name in ("open", "high", "low", "close")]
    if any(each is None for side in sides for each in side):
        return None
    opened_at = datetime.fromisoformat(row["snapshotTimeUTC"]).replace(tzinfo=UTC)
    first, high, low, last = ((market.price(bid) + market.price(ask)) / 2 for bid, ask in sides)
    return Candle(
        opened_at=opened_at,
        closed_at=opened_at + timeframe.duration,
        open=first,
        high=high,
        low=low,
        close=last,
        volume=number(row["lastTradedVolume"] or 0),
    )
