"""The one door to TA-Lib: its functions for whole columns, its handles for one candle at a time.

A handle continues exactly where the column ended: every value is bit for bit what the function would give for that
candle (TA-Lib 0.8.1 and later). Only those parts of TA-Lib are used whose meaning is the specification's; formulas that
differ from it in undefined cases (RSI, MACD, MFI, ADX, Bollinger) are put together from these parts in `columns.py`.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import numpy as np

from bot.models import Floats


@contextmanager
def _absent(*libraries: str) -> Iterator[None]:
    """Imports inside find none of `libraries`. TA-Lib loads them only to wrap its functions for their columns."""
    found = {name: sys.modules.pop(name) for name in libraries if name in sys.modules}
    sys.modules.update(dict.fromkeys(libraries))  # type: ignore[arg-type]  # None: as if it were not installed
    try:
        yield
    finally:
        for name in libraries:
            del sys.modules[name]
        sys.modules.update(found)


with _absent("pandas", "polars"):  # pandas alone: 0.3 s and 60 MB, for nothing that is used here
    import talib
    from talib import stream


class Smoother(Protocol):
    """A recursive mean that goes on from a column."""

    def update(self, value: float, /) -> float:
        """The mean after one more value."""


def undefined(count: int) -> Floats:
    """A column of `count` NaN."""
    return np.full(count, np.nan)


def average_true_range(high: Floats, low: Floats, close: Floats, *, period: int) -> Floats:
    """Average true range with Wilder's smoothing, a price distance; the first `period` are NaN."""
    if len(close) <= period:
        return undefined(len(close))
    column: Floats = talib.ATR(high, low, close, timeperiod=period)
    return column


def average_true_range_handle(high: Floats, low: Floats, close: Floats, *, period: int) -> "stream.ATR":
    """Handle of `average_true_range`; needs more than `period` candles. `update(high, low, close)`."""
    return stream.ATR(high, low, close, timeperiod=period)


def wilder_mean(values: Floats, *, period: int) -> Floats:
    """Wilder's smoothing of `values[1:]` (not negative): seeded at index `period` by the mean of values 1..period.

    TA-Lib has no such function, but its ATR is one: the true range of a candle from 0 to x, after a close of 0, is x.
    """
    zeros = np.zeros(len(values))
    return average_true_range(values, zeros, zeros, period=period)


class WilderHandle:
    """Handle of `wilder_mean`; needs more than `period` values."""

    def __init__(self, values: Floats, *, period: int) -> None:
        zeros = np.zeros(len(values))
        self._handle = stream.ATR(values, zeros, zeros, timeperiod=period)

    @property
    def value(self) -> float:
        """The mean after the last value."""
        return float(self._handle.value)

    def update(self, value: float, /) -> float:
        """The mean after one more value."""
        return float(self._handle.update(value, 0.0, 0.0))


def exponential_mean(values: Floats, *, period: int) -> Floats:
    """EMA, seeded by the plain mean of the first `period` values that are not NaN."""
    defined = len(values) - int(np.count_nonzero(np.isnan(values)))
    if defined < period:
        return undefined(len(values))
    column: Floats = talib.EMA(values, timeperiod=period)
    return column


def exponential_mean_handle(values: Floats, *, period: int) -> Smoother:
    """Handle of `exponential_mean`; needs at least `period` values that are not NaN."""
    handle: Smoother = stream.EMA(values, timeperiod=period)
    return handle


def highest(values: Floats, *, period: int) -> Floats:
    """Greatest of the last `period` values; NaN before there are as many."""
    if len(values) < period:
        return undefined(len(values))
    column: Floats = talib.MAX(values, timeperiod=period)
    return column


def lowest(values: Floats, *, period: int) -> Floats:
    """Smallest of the last `period` values; NaN before there are as many."""
    if len(values) < period:
        return undefined(len(values))
    column: Floats = talib.MIN(values, timeperiod=period)
    return column


def commodity_channel(high: Floats, low: Floats, close: Floats, *, period: int) -> Floats:
    """TA-Lib's CCI; noise where all typical prices are equal, which the caller must set right."""
    if len(close) < period:
        return undefined(len(close))
    column: Floats = talib.CCI(high, low, close, timeperiod=period)
    return column


def commodity_channel_handle(high: Floats, low: Floats, close: Floats, *, period: int) -> "stream.CCI":
    """Handle of `commodity_channel`; needs `period` candles. `update(high, low, close)`."""
    return stream.CCI(high, low, close, timeperiod=period)
