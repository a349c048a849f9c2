"""Closed candles of the markets that are played, as growing columns; longer timeframes are made from the base one."""

from typing import Final

import numpy as np

from bot.instruments import Symbol
from bot.models import CandleSeries, Timeframe

CANDLES_KEPT: Final = 2_000
_PRICES_AND_VOLUME: Final = 5  # open, high, low, close, volume


class PlayedHistory:
    """A `CandleSource` with the last `kept` base candles of each instrument.

    A series that was handed out never changes: new candles are written behind it, and what falls off the front falls
    off the next series only. Which candles a series holds depends on how many were appended, never on a restart.
    """

    def __init__(self, kept: int = CANDLES_KEPT) -> None:
        self.kept = kept
        self._columns: dict[Symbol, _Columns] = {}

    def begin(self, symbol: Symbol, timeframe: Timeframe) -> None:
        """Start the (empty) history of one instrument, in its base timeframe."""
        self._columns[symbol] = _Columns(symbol, timeframe, self.kept)

    def append(self, symbol: Symbol, opened_at_s: int, prices_and_volume: tuple[float, ...]) -> None:
        """Add one closed candle: open, high, low, close, volume."""
        self._columns[symbol].append(opened_at_s, prices_and_volume)

    def series(self, symbol: Symbol, timeframe: Timeframe) -> CandleSeries:
        """All candles kept; empty for an instrument that is not played, or a timeframe shorter than its base.

        Candles of a longer timeframe align to the UTC epoch and exist from their close on; one whose beginning is no
        longer kept is left out.
        """
        columns = self._columns.get(symbol)
        if columns is None or timeframe.seconds % columns.timeframe.seconds:
            return _empty(symbol, timeframe)
        return columns.series(timeframe)


class _Columns:
    """One instrument's base candles: room for twice what is kept, so that moving them is rare."""

    def __init__(self, symbol: Symbol, timeframe: Timeframe, kept: int) -> None:
        self.timeframe = timeframe
        self._symbol = symbol
        self._kept = kept
        self._end = 0
        self._opened_at_s = np.zeros(2 * kept, dtype=np.int64)
        self._values = np.zeros((_PRICES_AND_VOLUME, 2 * kept))
        self._made: dict[Timeframe, CandleSeries] = {}

    def append(self, opened_at_s: int, prices_and_volume: tuple[float, ...]) -> None:
        if self._end == 2 * self._kept:
            self._move()
        self._opened_at_s[self._end] = opened_at_s
        self._values[:, self._end] = prices_and_volume
        self._end += 1
        self._made.clear()

    def series(self, timeframe: Timeframe) -> CandleSeries:
        made = self._made.get(timeframe)
        if made is None:
            base = self._base()
            made = base if timeframe is self.timeframe else resampled(base, timeframe)
            self._made[timeframe] = made
        return made

    def _base(self) -> CandleSeries:
        kept = slice(max(0, self._end - self._kept), self._end)
        opened_at_s = self._opened_at_s[kept]
        opens, high, low, close, volume = self._values[:, kept]
        segment = np.zeros_like(opened_at_s)
        return CandleSeries(self._symbol, self.timeframe, opened_at_s, opens, high, low, close, volume, segment)

    def _move(self) -> None:
        """Into new columns: the old ones may still be read through a series handed out."""
        opened_at_s, values = np.zeros_like(self._opened_at_s), np.zeros_like(self._values)
        opened_at_s[: self._kept] = self._opened_at_s[self._kept :]
        values[:, : self._kept] = self._values[:, self._kept :]
        self._opened_at_s, self._values, self._end = opened_at_s, values, self._kept


def resampled(base: CandleSeries, timeframe: Timeframe) -> CandleSeries:
    """Closed candles of `timeframe`, a multiple of the base one; a bucket whose first or last candle is missing at
    either end of `base` is left out, and an empty one makes no candle."""
    if not len(base):
        return _empty(base.symbol, timeframe)
    seconds = timeframe.seconds
    buckets = base.opened_at_s // seconds
    starts = np.concatenate(([0], np.flatnonzero(np.diff(buckets)) + 1))
    first = 0 if base.opened_at_s[0] % seconds == 0 else 1
    last_closes = int(base.opened_at_s[-1]) + base.timeframe.seconds
    last = len(starts) if last_closes % seconds == 0 else len(starts) - 1
    if first >= last:
        return _empty(base.symbol, timeframe)
    ends = np.concatenate((starts[1:], [len(base)])) - 1
    kept = slice(first, last)
    return CandleSeries(
        base.symbol,
        timeframe,
        buckets[starts][kept] * seconds,
        base.open[starts][kept],
        np.maximum.reduceat(base.high, starts)[kept],
        np.minimum.reduceat(base.low, starts)[kept],
        base.close[ends][kept],
        np.add.reduceat(base.volume, starts)[kept],
        base.segment[starts][kept],
    )


def _empty(symbol: Symbol, timeframe: Timeframe) -> CandleSeries:
    whole, real = np.zeros(0, dtype=np.int64), np.zeros(0)
    return CandleSeries(symbol, timeframe, whole, real, real, real, real, real, whole)
