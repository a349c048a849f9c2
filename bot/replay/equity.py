"""Equity at every candle close, and the deepest fall from a peak; floats, because nothing is decided on them."""

from collections.abc import Sequence

import numpy as np

from bot.instruments import Instrument
from bot.models import CandleSeries, Direction, Floats, Position


class EquityCurve:
    """Filled in stretches: one value for a played candle, a whole slice for candles that were slept through."""

    def __init__(self, series: CandleSeries, instrument: Instrument) -> None:
        self._close = series.close
        self._instrument = instrument
        self._values = np.full(len(series), np.nan)
        self._done = 0
        self._balance = np.nan
        self._held: Sequence[Position] = ()

    def hold(self, start: int, balance: float, positions: Sequence[Position]) -> None:
        """From candle `start` on these positions are held and nothing else changes equity."""
        self._done, self._balance, self._held = start, balance, positions

    def settle(self, k: int, equity: float) -> None:
        """Equity at the close of a played candle."""
        self._values[k] = equity

    def advance(self, stop: int) -> None:
        """Fill the candles before `stop` that have no value yet."""
        if stop <= self._done:
            return
        close = self._close[self._done : stop]
        spread = self._instrument.typical_spread
        half = (float(spread.price) + float(spread.ratio) * close) / 2
        equity = np.full(len(close), self._balance)
        for each in self._held:
            side = 1 if each.direction is Direction.LONG else -1
            exit_price = close - side * half
            worth = float(each.quantity * each.value_per_point)
            equity += side * (exit_price - float(each.entry_price)) * worth
        self._values[self._done : stop] = equity
        self._done = stop

    def values(self) -> Floats:
        """Equity per candle, shape (n,), account currency."""
        return self._values

    def max_drawdown(self) -> float:
        """Deepest fall from a peak as a share of the peak, 0..1."""
        if not len(self._values):
            return 0.0
        peaks = np.maximum.accumulate(self._values)
        return float(np.max((peaks - self._values) / peaks))
