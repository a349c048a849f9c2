"""Indicators of whole columns (SPEC section 2): arrays of shape (n,), oldest first, in and out; NaN where undefined.

Prices are finite and positive, volume is not negative. What TA-Lib computes in the specification's sense is TA-Lib's;
the rest is put together from its parts, because its own functions differ where the specification is explicit: RSI of a
constant, seeds of MACD, ties and small volumes of MFI, candles without DX, and deviations of nearly equal closes.
"""

from typing import Final

import numpy as np

from bot.layer2_intelligence.indicators.talib_bridge import (
    average_true_range,
    commodity_channel,
    exponential_mean,
    highest,
    lowest,
    undefined,
    wilder_mean,
)
from bot.layer2_intelligence.indicators.windows import mean_and_deviation, simple_mean, window_median, window_sum
from bot.models import CandleSeries, FeatureColumns, Floats, Ints

RSI_PERIOD: Final = 14
MACD_FAST, MACD_SLOW, MACD_SIGNAL = 12, 26, 9
RANGE_PERIOD: Final = 14  # stochastic and Williams %R
STOCHASTIC_SMOOTHING: Final = 3
CCI_PERIOD: Final = 20
MFI_PERIOD: Final = 14
ATR_PERIOD: Final = 14
ADX_PERIOD: Final = 14
BOLLINGER_PERIOD: Final = 20
VOLUME_PERIOD: Final = 20
BOLLINGER_WIDTH: Final = 4.0  # from 2 deviations below the middle to 2 above it

# Typical prices nearer than this are equal: (H+L+C)/3 of equal decimals differs by rounding noise.
TYPICAL_TIE: Final = 1e-12


def gains_and_losses(close: Floats) -> tuple[Floats, Floats]:
    """Rises and falls of the close, both >= 0; candle 0 has neither."""
    change = np.diff(close, prepend=close[:1])
    return np.maximum(change, 0.0), np.maximum(-change, 0.0)


def rsi(close: Floats, *, period: int = RSI_PERIOD) -> Floats:
    """Relative strength index 0..100, first at index `period`; 50 where nothing has moved yet."""
    gains, losses = gains_and_losses(close)
    gain, loss = wilder_mean(gains, period=period), wilder_mean(losses, period=period)
    both = gain + loss
    result = np.where(np.isnan(both), np.nan, 50.0)
    return np.divide(100.0 * gain, both, out=result, where=both > 0)


def macd_line(close: Floats, *, fast: int = MACD_FAST, slow: int = MACD_SLOW) -> Floats:
    """Fast minus slow EMA, each with its own seed (TA-Lib's MACD starts both at the slow one)."""
    return exponential_mean(close, period=fast) - exponential_mean(close, period=slow)


def macd_histogram(close: Floats, *, fast: int = MACD_FAST, slow: int = MACD_SLOW, signal: int = MACD_SIGNAL) -> Floats:
    """MACD line minus its own EMA, a price distance; first at index slow + signal - 2."""
    line = macd_line(close, fast=fast, slow=slow)
    return line - exponential_mean(line, period=signal)


def raw_stochastic(high: Floats, low: Floats, close: Floats, *, period: int = RANGE_PERIOD) -> Floats:
    """Where the close is in the range of the last `period` candles, 0..100; 50 if there is no range."""
    top, bottom = highest(high, period=period), lowest(low, period=period)
    span = top - bottom
    result = np.where(np.isnan(span), np.nan, 50.0)
    return np.divide(100.0 * (close - bottom), span, out=result, where=span > 0)


def stochastic_k(
    high: Floats, low: Floats, close: Floats, *, period: int = RANGE_PERIOD, smoothing: int = STOCHASTIC_SMOOTHING
) -> Floats:
    """Slow %K 0..100: mean of the last `smoothing` raw values; first at index period + smoothing - 2."""
    return simple_mean(raw_stochastic(high, low, close, period=period), period=smoothing)


def williams_r(high: Floats, low: Floats, close: Floats, *, period: int = RANGE_PERIOD) -> Floats:
    """Williams %R -100..0, first at index period - 1; -50 if there is no range."""
    top, bottom = highest(high, period=period), lowest(low, period=period)
    span = top - bottom
    result = np.where(np.isnan(span), np.nan, -50.0)
    return np.divide(-100.0 * (top - close), span, out=result, where=span > 0)


def typical_price(high: Floats, low: Floats, close: Floats) -> Floats:
    """Mean of high, low and close."""
    return (high + low + close) / 3.0


def cci(high: Floats, low: Floats, close: Floats, *, period: int = CCI_PERIOD) -> Floats:
    """Commodity channel index, first at index period - 1; 0 where all typical prices of the window are equal."""
    typical = typical_price(high, low, close)
    spread = highest(typical, period=period) - lowest(typical, period=period)
    result = commodity_channel(high, low, close, period=period)
    return np.where(spread <= TYPICAL_TIE * np.abs(typical), 0.0, result)


def money_flows(high: Floats, low: Floats, close: Floats, volume: Floats) -> tuple[Floats, Floats]:
    """Typical price times volume of candles whose typical price rose, and of those where it fell; ties are neither."""
    typical = typical_price(high, low, close)
    change = np.diff(typical, prepend=typical[:1])
    moved = np.abs(change) > TYPICAL_TIE * np.abs(typical)
    flow = typical * volume
    return np.where(moved & (change > 0), flow, 0.0), np.where(moved & (change < 0), flow, 0.0)


def mfi(high: Floats, low: Floats, close: Floats, volume: Floats, *, period: int = MFI_PERIOD) -> Floats:
    """Money flow index 0..100, first at index `period`; NaN where no money flowed (no volume, or only ties)."""
    rising, falling = money_flows(high, low, close, volume)
    up, both = window_sum(rising, period=period), window_sum(falling, period=period)
    both += up
    result = np.divide(100.0 * up, both, out=undefined(len(close)), where=both > 0)
    result[:period] = np.nan  # candle 0 has no change, so the first whole window ends at `period`
    return result


def bandwidth(close: Floats, *, period: int = BOLLINGER_PERIOD) -> Floats:
    """Width of the Bollinger bands (2 deviations) as a share of their middle; first at index period - 1."""
    middle, deviation = mean_and_deviation(close, period=period)
    return BOLLINGER_WIDTH * deviation / middle


def directional_movement(high: Floats, low: Floats) -> tuple[Floats, Floats]:
    """+DM and -DM per candle: the larger of the rise of the high and the fall of the low, if above 0; 0 for a tie."""
    rise = np.diff(high, prepend=high[:1])
    fall = -np.diff(low, prepend=low[:1])
    plus = np.where((rise > fall) & (rise > 0), rise, 0.0)
    return plus, np.where((fall > rise) & (fall > 0), fall, 0.0)


def shifted_by_zero(values: Floats) -> Floats:
    """`values` with one 0 before them.

    Wilder's sums for ADX start over candles 1..n-1 and go on from candle n. That is n times the Wilder mean whose first
    n values are a 0 and those n-1; DX is a ratio of two of them, so the factor does not matter.
    """
    return np.concatenate(([0.0], values))


def directional_index(high: Floats, low: Floats, *, period: int) -> Floats:
    """DX 0..100 per candle, first at index `period`; NaN where the sums of both movements are 0.

    The sum of true ranges cannot be 0 unless both are, because a movement is never larger than the range it is in.
    """
    plus, minus = (wilder_mean(shifted_by_zero(each), period=period)[1:] for each in directional_movement(high, low))
    both = plus + minus
    result = np.divide(100.0 * np.abs(plus - minus), both, out=undefined(len(high)), where=both > 0)
    result[:period] = np.nan
    return result


def smoothed_inputs(dx: Floats, *, period: int) -> tuple[Floats, Ints]:
    """What Wilder's mean of DX is made of, with one 0 before it, and for each candle from 2*period-1 on its last index.

    The first `period` values count as 0 where there is no DX; after them a candle without DX is left out.
    """
    start, rest = dx[period : 2 * period], dx[2 * period :]
    defined = ~np.isnan(rest)
    inputs = np.concatenate(([0.0], np.nan_to_num(start), rest[defined]))
    last = period + np.concatenate(([0], np.cumsum(defined)))
    return inputs, last.astype(np.int64)


def adx(high: Floats, low: Floats, *, period: int = ADX_PERIOD) -> Floats:
    """Average directional index 0..100, first at index 2*period - 1; unchanged by a candle without DX."""
    result = undefined(len(high))
    if len(high) < 2 * period:
        return result
    inputs, last = smoothed_inputs(directional_index(high, low, period=period), period=period)
    result[2 * period - 1 :] = wilder_mean(inputs, period=period)[last]
    return result


def feature_columns(series: CandleSeries, *, bandwidth_lookback: int) -> FeatureColumns:
    """Every column of SPEC section 2 that rules and detectors read, with the default periods."""
    high, low, close, volume = series.high, series.low, series.close, series.volume
    width = bandwidth(close)
    return FeatureColumns(
        rsi=rsi(close),
        macd_hist=macd_histogram(close),
        stoch_k=stochastic_k(high, low, close),
        willr=williams_r(high, low, close),
        cci=cci(high, low, close),
        mfi=mfi(high, low, close, volume),
        atr=average_true_range(high, low, close, period=ATR_PERIOD),
        adx=adx(high, low),
        bandwidth=width,
        bandwidth_median=window_median(width, period=bandwidth_lookback),
        volume_mean=simple_mean(volume, period=VOLUME_PERIOD),
    )


def crosses(fast: Floats, slow: Floats) -> list[tuple[int, int]]:
    """(index, +1 up or -1 down) of each crossing of `fast` over `slow` (SPEC section 14).

    Equal values and NaN are skipped; a crossing is a sign other than the last one, and the first sign is none.
    """
    sign = np.nan_to_num(np.sign(fast - slow)).astype(np.int64)
    decided = np.flatnonzero(sign)
    turned = np.flatnonzero(np.diff(sign[decided])) + 1
    return [(int(index), int(sign[index])) for index in decided[turned]]
