"""What IG trades: in which units it quotes and deals, at what price now, and its candles."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import ceil
from typing import Any, Final, cast

from bot.errors import BrokerUnavailable
from bot.instruments import Currency, Instrument, Symbol
from bot.interfaces import Clock
from bot.layer1_data.broker_interface import RateBudget, VenueTerms
from bot.layer1_data.brokers.ig import to_ig
from bot.layer1_data.brokers.ig.errors import Fate, readable, unanswered
from bot.layer1_data.brokers.ig.market import Market, market_of, number
from bot.layer1_data.brokers.ig.session import Session
from bot.layer1_data.brokers.ig.wire import Wire
from bot.layer1_data.brokers.limiter import Priority
from bot.models import Candle, Quote, Timeframe

OPEN: Final = "TRADEABLE"
_BATCH: Final = 50
_SEARCH_COST: Final = 4  # questions about what the venue does not know, after which the rest waits for the next time
_POINTS_A_WEEK: Final = 10_000
_POINTS_KEPT: Final = 500  # never spent on long history: the newest candles come first
_WEEK: Final = timedelta(days=7)


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
        self._unknown: set[str] = set()
        self._unsearched: list[list[str]] = []
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
                quote_currency=Currency(each.currency or "/".join(each.currencies)),
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
            raise unanswered(f"candles of {symbol} were not answered", reply)
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
            if self._unsearched not in ([], self._batches()):
                await self._search(priority)
            self._unsearched = self._batches()
            await self._search(priority)
            self._asked_at = self._clock.monotonic()

    def _batches(self) -> list[list[str]]:
        epics = [each for each in self.by_epic if each not in self._unknown]
        return [epics[at : at + _BATCH] for at in range(0, len(epics), _BATCH)]

    async def _search(self, priority: Priority) -> None:
        """Ask for what is left to ask for. Several unknown epics cost more than a minute's allowance: it goes on."""
        for _ in range(len(self._unsearched) + _SEARCH_COST):
            if self._unsearched:
                self._unsearched[:1] = await self._learned(self._unsearched[0], priority)
        if self._unsearched:
            raise BrokerUnavailable(
                f"ig: it refuses lists with epics that it does not know: {_listed(self._unknown)}, and more among "
                f"{_listed(each for part in self._unsearched for each in part)}; correct the registry, or ask again"
            )

    async def _learned(self, epics: list[str], priority: Priority) -> list[list[str]]:
        """What is left to ask for: one unknown epic may make the venue refuse all, so it is looked for by halves."""
        reply = await self._session.look(to_ig.markets(epics), priority)
        if reply.fate is Fate.REJECTED and len(epics) > 1:
            middle = len(epics) // 2
            return [epics[:middle], epics[middle:]]
        if reply.fate is Fate.REJECTED:
            self._unknown.update(epics)  # not asked for again before the next start
            return []
        if reply.fate is not Fate.ACK:
            raise unanswered("markets were not answered", reply)
        with readable("markets"):
            now, data = self._wire.server_now, cast("Mapping[str, Any]", reply.data)
            for row in data["marketDetails"]:
                if row is not None:
                    market = market_of(row, self.by_epic[row["instrument"]["epic"]], now)
                    self._known[market.instrument.symbol] = market
        return []


def _listed(epics: Iterable[str]) -> str:
    return ", ".join(sorted(epics)) or "none yet"


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
