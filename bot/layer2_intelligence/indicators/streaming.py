"""Indicators candle by candle: the same bits as `columns.py`, without going over the past again.

Recursive means continue in TA-Lib's handles. Everything with a window is computed afresh from its last values, with
the additions in the same order as in `windows.py`; nothing drifts, and nothing has to be re-summed.
"""

import math
from collections import deque
from typing import Final, NamedTuple

import numpy as np

from bot.layer2_intelligence.indicators import columns as batch
from bot.layer2_intelligence.indicators.talib_bridge import (
    Smoother,
    WilderHandle,
    average_true_range_handle,
    commodity_channel_handle,
    exponential_mean_handle,
)
from bot.models import CandleSeries, Floats

HANDLES_NEED: Final = 64  # candles before every handle can be opened; the slowest seed, of the MACD signal, takes 34


class ColumnValues(NamedTuple):
    """One candle's value of each column, named and ordered as `FeatureColumns`, without the bandwidth's median."""

    rsi: float
    macd_hist: float
    stoch_k: float
    willr: float
    cci: float
    mfi: float
    atr: float
    adx: float
    bandwidth: float
    volume_mean: float


class _AdxStream:
    """ADX after a column of it."""

    def __init__(self, high: Floats, low: Floats) -> None:
        period = batch.ADX_PERIOD
        plus, minus = batch.directional_movement(high, low)
        self._plus = WilderHandle(batch.shifted_by_zero(plus), period=period)
        self._minus = WilderHandle(batch.shifted_by_zero(minus), period=period)
        inputs, _ = batch.smoothed_inputs(batch.directional_index(high, low, period=period), period=period)
        self._mean = WilderHandle(inputs, period=period)
        self._value = self._mean.value

    def update(self, rise: float, fall: float) -> float:
        """The value after a candle whose high rose and whose low fell by so much."""
        plus = self._plus.update(rise if rise > fall and rise > 0 else 0.0)
        minus = self._minus.update(fall if fall > rise and fall > 0 else 0.0)
        if plus + minus > 0:
            self._value = self._mean.update(100.0 * abs(plus - minus) / (plus + minus))
        return self._value


class IndicatorStream:
    """All columns of one series, continued after its candles so far (at least HANDLES_NEED of them)."""

    def __init__(self, series: CandleSeries) -> None:
        high, low, close = series.high, series.low, series.close
        gains, losses = batch.gains_and_losses(close)
        self._gain = WilderHandle(gains, period=batch.RSI_PERIOD)
        self._loss = WilderHandle(losses, period=batch.RSI_PERIOD)
        self._fast = exponential_mean_handle(close, period=batch.MACD_FAST)
        self._slow = exponential_mean_handle(close, period=batch.MACD_SLOW)
        self._signal: Smoother = exponential_mean_handle(batch.macd_line(close), period=batch.MACD_SIGNAL)
        self._atr = average_true_range_handle(high, low, close, period=batch.ATR_PERIOD)
        self._adx = _AdxStream(high, low)
        self._cci = commodity_channel_handle(high, low, close, period=batch.CCI_PERIOD)
        raw = batch.raw_stochastic(high, low, close)
        self._raw = deque(raw[-batch.STOCHASTIC_SMOOTHING :].tolist(), maxlen=batch.STOCHASTIC_SMOOTHING)
        typical = batch.typical_price(high, low, close)
        self._typical = deque(typical[-batch.CCI_PERIOD :].tolist(), maxlen=batch.CCI_PERIOD)
        rising, falling = (
            each[-batch.MFI_PERIOD :].tolist() for each in batch.money_flows(high, low, close, series.volume)
        )
        self._flows = deque(zip(rising, falling, strict=True), maxlen=batch.MFI_PERIOD)

    def at(self, series: CandleSeries, k: int) -> ColumnValues:
        """Values at candle `k`, the one after the last that was shown."""
        high, low, close = series.high.item(k), series.low.item(k), series.close.item(k)
        previous = series.close.item(k - 1)
        stoch_k, willr = self._ranges(series, k, close)
        cci, mfi = self._typical_price_values(high, low, close, series.volume.item(k))
        return ColumnValues(
            rsi=self._rsi(close - previous),
            macd_hist=self._macd(close),
            stoch_k=stoch_k,
            willr=willr,
            cci=cci,
            mfi=mfi,
            atr=self._atr.update(high, low, close),
            adx=self._adx.update(high - series.high.item(k - 1), series.low.item(k - 1) - low),
            bandwidth=_bandwidth(series.close[k + 1 - batch.BOLLINGER_PERIOD : k + 1].tolist()),
            volume_mean=_total(series.volume[k + 1 - batch.VOLUME_PERIOD : k + 1].tolist()) / batch.VOLUME_PERIOD,
        )

    def _rsi(self, change: float) -> float:
        gain, loss = self._gain.update(max(change, 0.0)), self._loss.update(max(-change, 0.0))
        return 100.0 * gain / (gain + loss) if gain + loss > 0 else 50.0

    def _macd(self, close: float) -> float:
        line = self._fast.update(close) - self._slow.update(close)
        return line - self._signal.update(line)

    def _ranges(self, series: CandleSeries, k: int, close: float) -> tuple[float, float]:
        """Stochastic %K and Williams %R."""
        window = slice(k + 1 - batch.RANGE_PERIOD, k + 1)
        top, bottom = max(series.high[window].tolist()), min(series.low[window].tolist())
        span = top - bottom
        self._raw.append(100.0 * (close - bottom) / span if span > 0 else 50.0)
        return _total(self._raw) / batch.STOCHASTIC_SMOOTHING, -100.0 * (top - close) / span if span > 0 else -50.0

    def _typical_price_values(self, high: float, low: float, close: float, volume: float) -> tuple[float, float]:
        """CCI and MFI."""
        typical = (high + low + close) / 3.0
        tie = batch.TYPICAL_TIE * abs(typical)
        change = typical - self._typical[-1]
        flow = typical * volume if abs(change) > tie else 0.0
        self._flows.append((flow if change > 0 else 0.0, flow if change < 0 else 0.0))
        self._typical.append(typical)
        cci = float(self._cci.update(high, low, close))
        if max(self._typical) - min(self._typical) <= tie:
            cci = 0.0
        up, down = _total([each[0] for each in self._flows]), _total([each[1] for each in self._flows])
        return cci, 100.0 * up / (up + down) if up + down > 0 else math.nan


def _total(values: "deque[float] | list[float]") -> float:
    """Sum from the oldest on. Not `sum`: from Python 3.12 on it compensates, and the bits would differ from batch."""
    total = 0.0
    for value in values:
        total += value
    return total


def _bandwidth(closes: list[float]) -> float:
    """`columns.bandwidth` of one window."""
    newest = closes[-1]
    differences = [each - newest for each in closes]
    offset = _total(differences) / len(closes)
    squares = [(each - offset) * (each - offset) for each in differences]
    return batch.BOLLINGER_WIDTH * math.sqrt(_total(squares) / len(closes)) / (newest + offset)


def newest_median(values: Floats, *, period: int) -> float:
    """`windows.window_median` of the last `period` values alone; NaN where there are fewer."""
    window = values[-period:]
    if len(window) < period or np.isnan(window).any():
        return math.nan
    ordered: list[float] = sorted(window.tolist())
    half = period // 2
    return ordered[half] if period % 2 else (ordered[half - 1] + ordered[half]) / 2
