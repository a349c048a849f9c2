"""Public data of Binance: what it trades, at what price, and its candles. No key is needed."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from loguru import logger

from bot.errors import BrokerUnavailable
from bot.instruments import Currency, Instrument, Symbol
from bot.layer1_data.broker_interface import VenueTerms
from bot.layer1_data.brokers.binance import from_binance, to_binance
from bot.layer1_data.brokers.binance.errors import Fate, readable
from bot.layer1_data.brokers.binance.wire import Wire
from bot.layer1_data.brokers.limiter import Priority
from bot.models import Candle, Quote, Timeframe

_PAGE: Final = 1_000
_UNKNOWN_SYMBOL: Final = -1121
_RATES_KEPT: Final = 1_000


class Market:
    """Asks; keeps only each symbol's order types and least notional, and rates of past minutes, which do not change."""

    def __init__(self, wire: Wire, instruments: Sequence[Instrument], account_currency: Currency) -> None:
        self._wire = wire
        self._instruments: Mapping[Symbol, Instrument] = {each.symbol: each for each in instruments}
        self._account_currency = account_currency
        self._order_types: dict[Symbol, frozenset[str]] = {}
        self._min_notionals: dict[Symbol, Decimal] = {}
        self._rates: dict[tuple[str, datetime], Decimal] = {}

    def instrument(self, symbol: Symbol) -> Instrument:
        """Raises BrokerUnavailable for one that is not routed here."""
        found = self._instruments.get(symbol)
        if found is None:
            raise BrokerUnavailable(f"binance: {symbol} is not traded here; route it to another broker")
        return found

    async def terms(self, symbols: Sequence[Symbol], *, priority: Priority = Priority.READ) -> Sequence[VenueTerms]:
        """One unknown symbol makes the venue refuse the whole question: then each is asked for alone."""
        wanted = [self._instruments[each] for each in symbols if each in self._instruments]
        if not wanted:
            return ()
        told = await self._markets(wanted, priority)
        if told is None:
            told = [row for each in wanted for row in await self._markets([each], priority) or ()]
        by_name = {each.venue_symbol: each for each in wanted}
        with readable("exchangeInfo"):
            for row in told:
                self._order_types[by_name[row["symbol"]].symbol] = frozenset(row["orderTypes"])
            found = tuple(from_binance.terms(row, by_name[row["symbol"]]) for row in told)
        self._min_notionals |= {each.symbol: each.min_notional for each in found}
        return found

    async def order_types(self, instrument: Instrument) -> frozenset[str]:
        """What can be placed there, asked once; empty if that was not answered: no stop waits for it."""
        if instrument.symbol not in self._order_types:
            with suppress(BrokerUnavailable):
                await self.terms([instrument.symbol], priority=Priority.PROTECTION)
        return self._order_types.get(instrument.symbol, frozenset())

    async def min_notional(self, symbol: Symbol) -> Decimal:
        """The least worth of an order, in quote currency, asked once; zero if that was not answered."""
        if symbol not in self._min_notionals:
            with suppress(BrokerUnavailable):
                await self.terms([symbol])
        return self._min_notionals.get(symbol, Decimal(0))

    async def candles(
        self, symbol: Symbol, timeframe: Timeframe, *, since: datetime | None, limit: int
    ) -> Sequence[Candle]:
        """Final by the venue's clock. Days begin at midnight UTC."""
        instrument = self.instrument(symbol)
        now = await self._wire.server_now()
        forward = since is not None
        edge = since
        found: list[Candle] = []
        while len(found) < limit:
            size = min(limit - len(found) + 1, _PAGE)  # one more: the newest is still forming
            asked = {"symbol": instrument.venue_symbol, "interval": timeframe.value, "limit": str(size)}
            if edge is not None:
                name, shift = ("startTime", 0) if forward else ("endTime", -1)
                asked[name] = str(from_binance.milliseconds(edge) + shift)
            with readable(f"candles of {symbol}"):
                page = [
                    from_binance.candle(row, timeframe)
                    for row in from_binance.rows(await self._klines(asked), "klines")
                ]
            closed = [each for each in page if each.closed_at <= now]
            found = [*found, *closed] if forward else [*closed, *found]
            if len(page) < size or not closed:
                break
            edge = closed[-1].closed_at if forward else closed[0].opened_at
        return tuple(found[:limit] if forward else found[-limit:])

    async def quote(self, symbol: Symbol) -> Quote:
        """The top of the book, which has no instant of its own: it is as of the answer."""
        instrument = self.instrument(symbol)
        row = await self._wire.ask(to_binance.BOOK, {"symbol": instrument.venue_symbol})
        with readable(f"the book of {symbol}"):
            return from_binance.quote(
                from_binance.mapping(row, "bookTicker"), instrument, await self._wire.server_now()
            )

    async def worth(self, asset: str, amount: Decimal, at: datetime) -> Decimal:
        """`amount` of an asset in account currency, by its price at the beginning of the minute of `at`.

        An asset that has no market against it is worth nothing that could be counted.
        """
        if asset == self._account_currency or not amount:
            return amount
        minute = from_binance.instant(from_binance.milliseconds(at) // 60_000 * 60_000)
        if (asset, minute) not in self._rates:
            if len(self._rates) >= _RATES_KEPT:
                self._rates.clear()
            self._rates[asset, minute] = await self._rate(asset, minute)
        return amount * self._rates[asset, minute]

    # -------------------------------------------------------------------------------------------------------- inside

    async def _klines(self, asked: dict[str, str]) -> Any:
        return await self._wire.ask(to_binance.KLINES, asked, priority=Priority.HISTORY)

    async def _rate(self, asset: str, minute: datetime) -> Decimal:
        asked = {
            "symbol": f"{asset}{self._account_currency}",
            "interval": Timeframe.M1.value,
            "endTime": str(from_binance.milliseconds(minute)),  # the newest until then: a minute may be missing
            "limit": "1",
        }
        reply = await self._wire.send(to_binance.KLINES, asked, priority=Priority.READ)
        if reply.code == _UNKNOWN_SYMBOL:
            logger.warning(
                "binance: {} has no market against {}; a fee in it counts as 0", asset, self._account_currency
            )
            return Decimal(0)
        if reply.fate is not Fate.ACK:
            raise BrokerUnavailable(f"binance: the price of {asset} was not answered: {reply.says}")
        with readable(f"the price of {asset}"):
            row = from_binance.rows(reply.data, "klines")[0]
            return from_binance.candle(row, Timeframe.M1).open

    async def _markets(self, wanted: Sequence[Instrument], priority: Priority) -> list[Any] | None:
        """None: one of them is not known to the venue."""
        names = json.dumps([each.venue_symbol for each in wanted], separators=(",", ":"))
        reply = await self._wire.send(to_binance.MARKETS, {"symbols": names}, priority=priority)
        if reply.code == _UNKNOWN_SYMBOL:
            return None
        if reply.fate is not Fate.ACK:
            raise BrokerUnavailable(f"binance: exchangeInfo was not answered: {reply.says}")
        with readable("exchangeInfo"):
            return from_binance.rows(from_binance.mapping(reply.data, "exchangeInfo")["symbols"], "symbols")
