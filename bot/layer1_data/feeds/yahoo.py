"""Candles and last prices of shares and currencies from Yahoo: for a venue that refuses the history of what it trades,
and for one that there is no key for.

Yahoo promises nothing and blocks whoever asks much: questions go one by one through one worker thread, and hours that
were just told answer the question for four hours too.
"""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any, Final

from bot.config.section import is_loopback
from bot.errors import BrokerUnavailable, ConfigError
from bot.instruments import AssetClass, Instrument, Rounding, Symbol
from bot.interfaces import Clock
from bot.layer1_data.broker_interface import RateBudget, VenueTerms
from bot.layer1_data.brokers.limiter import Priority, RequestLimiter
from bot.layer1_data.feeds.yahoo_client import Client, Table, TooMany
from bot.models import Candle, Quote, Timeframe, decimal_of

_HOUR_S: Final = 3_600.0
_CALLS_AN_HOUR: Final = 400  # nothing is published; blocks are reported from several hundred requests on
_FIRST_PAUSE_S: Final = 120.0
_LONGEST_PAUSE_S: Final = 1_800.0
_OPEN_RATIO: Final = 6  # a share trades less than a fifth of the week
_SHARED: Final = timedelta(seconds=10)  # so long hours that were told answer another question about them
_MARGIN: Final = timedelta(days=5)  # a weekend with its holidays
_INTERVALS: Final[Mapping[Timeframe, str]] = {
    Timeframe.M1: "1m",
    Timeframe.M5: "5m",
    Timeframe.M15: "15m",
    Timeframe.M30: "30m",
    Timeframe.H1: "1h",
    Timeframe.H4: "1h",  # four of them, counted from the first of the session
    Timeframe.D1: "1d",
}
# How far back the venue answers, less a little for the time that a request takes.
_LOOK_BACK: Final[Mapping[Timeframe, timedelta]] = {
    Timeframe.M1: timedelta(days=7),
    Timeframe.M5: timedelta(days=59),
    Timeframe.M15: timedelta(days=59),
    Timeframe.M30: timedelta(days=59),
    Timeframe.H1: timedelta(days=729),
    Timeframe.H4: timedelta(days=729),
    Timeframe.D1: timedelta(days=36_500),
}


class YahooSource:
    """A source of prices without account or key. Its quotes are made of the last price and the typical spread.

    It can stand behind simulated fills (`PriceSource`), and beside IG for the candles of shares.
    """

    def __init__(
        self,
        *,
        instruments: Sequence[Instrument],
        clock: Clock,
        cache_directory: Path,
        url: str = "",
        timeout_s: float = 10.0,
        settle_s: float = 20.0,
        calls_an_hour: int = _CALLS_AN_HOUR,
    ) -> None:
        """`settle_s`: a candle may still change so long after its close. `url`: a fake on this machine."""
        if url and not is_loopback(url):
            raise ConfigError(f"yahoo: {url!r} is not an http address of this machine; leave it empty for Yahoo itself")
        self._instruments = {each.symbol: each for each in instruments if _ticker(each)}
        self._clock = clock
        self._settle = timedelta(seconds=settle_s)
        self._client = Client(cache_directory, url, timeout_s)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="yahoo")
        self._limiter = RequestLimiter(clock, name="yahoo calls per hour", allowed=calls_an_hour, window_s=_HOUR_S)
        self._pause_s = _FIRST_PAUSE_S
        self._blocked_until_s = 0.0
        self._hours: dict[Symbol, Table] = {}
        self._asking_hours = {each: asyncio.Lock() for each in self._instruments}

    @property
    def rate_budget(self) -> RateBudget | None:
        """Our own bound, since the venue names none."""
        return self._limiter.budget

    async def terms(self, symbols: Sequence[Symbol]) -> Sequence[VenueTerms]:
        """Of what is priced here, as the registry has it: nothing is traded, so nobody tells them."""
        return tuple(_terms(self._instruments[each]) for each in symbols if each in self._instruments)

    async def server_time(self) -> datetime:
        """Our own clock: Yahoo tells no time."""
        return self._clock.now()

    async def candles(
        self, symbol: Symbol, timeframe: Timeframe, *, since: datetime | None, limit: int
    ) -> Sequence[Candle]:
        """Closed ones of the regular session, as traded (not adjusted). Days begin at midnight of the exchange.

        History that is older than the venue keeps is not there: the answer begins where it does.
        """
        instrument, now = self._instrument(symbol), self._clock.now()
        start = since or now - timeframe.duration * limit * _OPEN_RATIO - _MARGIN
        start = max(start, now - _LOOK_BACK[timeframe])
        interval = _INTERVALS[timeframe]
        if interval == _INTERVALS[Timeframe.H1]:
            table = await self._told_hours(instrument, start, now)
        else:
            table = await self._ask(instrument, interval, start, now)
        scale = _scale(instrument, table.facts)
        found = [each for row in table.rows if (each := _candle(row, instrument, timeframe, scale)) is not None]
        if timeframe is Timeframe.H4:
            found = _by_four(found, from_session=instrument.asset_class is AssetClass.STOCK)
        closed = [each for each in found if each.closed_at + self._settle <= table.until]
        if since is None:
            return tuple(closed[-limit:])
        return tuple(each for each in closed if each.opened_at >= since)[:limit]

    async def quote(self, symbol: Symbol) -> Quote:
        """The last price with half the typical spread on each side; its instant says how old that is."""
        instrument, now = self._instrument(symbol), self._clock.now()
        table = await self._ask(instrument, "1d", now - _MARGIN, now)
        try:
            price = decimal_of(table.facts["regularMarketPrice"]) * _scale(instrument, table.facts)
            at = table.facts["regularMarketTime"].to_pydatetime().astimezone(UTC)  # the library made it a Timestamp
        except (KeyError, AttributeError, ValueError) as error:
            raise BrokerUnavailable(f"yahoo: the last price of {symbol} was not told: {error!r}") from error
        half = max(instrument.typical_spread.at(price) / 2, instrument.tick / 2)
        bid = instrument.round_price(price - half, Rounding.DOWN)
        return Quote(symbol=symbol, bid=bid, ask=instrument.round_price(price + half, Rounding.UP), at=at)

    async def check_connectivity(self) -> None:
        """Ask for the last days of the first symbol."""
        if self._instruments:
            await self.quote(next(iter(self._instruments)))

    async def close(self) -> None:
        """End the worker thread; a request that is on its way there is left to its time-out."""
        await self._limiter.close()
        with suppress(RuntimeError):  # closed before
            self._thread.submit(self._client.close)
        self._thread.shutdown(wait=False)

    # -------------------------------------------------------------------------------------------------------- inside

    def _instrument(self, symbol: Symbol) -> Instrument:
        found = self._instruments.get(symbol)
        if found is None:
            raise BrokerUnavailable(f"yahoo: {symbol} is not one of the shares and currencies that are read here")
        return found

    async def _told_hours(self, instrument: Instrument, start: datetime, end: datetime) -> Table:
        """From `start` at the latest; perhaps as they were told to another question some seconds ago."""
        async with self._asking_hours[instrument.symbol]:
            self._hours = {symbol: each for symbol, each in self._hours.items() if end - each.until <= _SHARED}
            told = self._hours.get(instrument.symbol)
            if told is None or told.since > start:
                told = await self._ask(instrument, _INTERVALS[Timeframe.H1], start, end)
                self._hours[instrument.symbol] = told
            return told

    async def _ask(self, instrument: Instrument, interval: str, start: datetime, end: datetime) -> Table:
        blocked_s = self._blocked_until_s - self._clock.monotonic()
        if blocked_s > 0:
            raise BrokerUnavailable(f"yahoo: {instrument.symbol} is not asked for: blocked for {blocked_s:.0f} s more")
        await self._limiter.acquire(Priority.HISTORY)
        ask = partial(self._client.table, _ticker(instrument), interval, start, end)
        try:
            table = await asyncio.get_running_loop().run_in_executor(self._thread, ask)
        except RuntimeError as error:
            raise BrokerUnavailable(f"yahoo: {instrument.symbol} was not asked for: {error}") from error
        except TooMany as error:
            self._blocked_until_s = self._clock.monotonic() + self._pause_s
            words = f"yahoo: too many requests; nothing is asked for {self._pause_s:.0f} s"
            self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
            raise BrokerUnavailable(words) from error
        self._pause_s = _FIRST_PAUSE_S
        return table


def _scale(instrument: Instrument, facts: Mapping[str, Any]) -> Decimal:
    """London is quoted in pence ("GBp"). Any other currency than the instrument's is refused."""
    told, wanted = str(facts.get("currency")), str(instrument.quote_currency)
    if told == wanted:
        return Decimal(1)
    if told.upper() == wanted and told != wanted:
        return Decimal("0.01")
    raise BrokerUnavailable(f"yahoo: {instrument.symbol} is quoted in {told}, and the registry has it in {wanted}")


def _candle(
    row: tuple[datetime, float, float, float, float, float],
    instrument: Instrument,
    timeframe: Timeframe,
    scale: Decimal,
) -> Candle | None:
    """On the tick grid, for the venue's prices carry the noise of short floats. None: a row with a hole."""
    opened_at, *prices, volume = row
    if not all(isfinite(each) for each in prices):
        return None
    first, high, low, last = (instrument.round_price(decimal_of(each) * scale, Rounding.NEAREST) for each in prices)
    length = Timeframe.H1 if timeframe is Timeframe.H4 else timeframe
    return Candle(
        opened_at=opened_at.astimezone(UTC),
        closed_at=opened_at.astimezone(UTC) + length.duration,
        open=first,
        high=high,
        low=low,
        close=last,
        volume=decimal_of(volume) if isfinite(volume) else Decimal(0),
    )


def _ticker(instrument: Instrument) -> str:
    """What Yahoo calls it; empty if it has no price of the same thing (its futures and cash indices are others)."""
    if instrument.asset_class is AssetClass.STOCK:
        return instrument.symbol
    if instrument.asset_class is AssetClass.FOREX:
        return f"{instrument.base_currency}{instrument.quote_currency}=X"
    return ""


def _terms(instrument: Instrument) -> VenueTerms:
    return VenueTerms(
        symbol=instrument.symbol,
        tick=instrument.tick,
        quantity_step=instrument.quantity_step,
        min_quantity=instrument.min_quantity,
        min_notional=instrument.min_notional,
        contract_size=instrument.contract_size,
        is_open=True,
        says="not told",
    )


def _by_four(hours: Sequence[Candle], *, from_session: bool) -> list[Candle]:
    """Hours in fours: of one session from its first on, else on the grid of UTC. A group that lacks hours still ends
    where a whole one does; the first is left out on the grid, since the hours before it were not asked for."""
    groups: list[list[Candle]] = []
    for each in hours:
        first = groups[-1][0] if groups else None
        if first is None or each.opened_at >= _four_from(first.opened_at, from_session=from_session):
            groups.append([each])
        else:
            groups[-1].append(each)
    if groups and not from_session and groups[0][0].opened_at.hour % 4:
        del groups[0]
    return [
        Candle(
            opened_at=group[0].opened_at,
            closed_at=_four_from(group[0].opened_at, from_session=from_session),
            open=group[0].open,
            high=max(each.high for each in group),
            low=min(each.low for each in group),
            close=group[-1].close,
            volume=sum((each.volume for each in group), Decimal(0)),
        )
        for group in groups
    ]


def _four_from(instant: datetime, *, from_session: bool) -> datetime:
    """Where the four hours end that `instant` lies in."""
    begun = instant if from_session else instant.replace(hour=instant.hour - instant.hour % 4, minute=0)
    return begun + Timeframe.H4.duration
