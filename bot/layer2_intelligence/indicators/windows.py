"""What is computed afresh from a window of the last n values, so that no rounding error piles up.

Sums run from the oldest value to the newest, in this order, because the streaming form adds in the same order and must
give the same bits.
"""

from typing import Final

import numpy as np

from bot.layer2_intelligence.indicators.talib_bridge import undefined
from bot.models import Floats

_ROWS_AT_ONCE: Final = 1_000  # windows sorted together: small enough for the processor's cache


def window_sum(values: Floats, *, period: int) -> Floats:
    """Sum of the last `period` values, NaN before there are as many; a NaN spoils only the windows it is in."""
    count = len(values)
    result = undefined(count)
    if count < period:
        return result
    size = count - period + 1
    total = values[:size].copy()
    for shift in range(1, period):
        total += values[shift : shift + size]
    result[period - 1 :] = total
    return result


def simple_mean(values: Floats, *, period: int) -> Floats:
    """SMA: mean of the last `period` values, NaN before there are as many."""
    return window_sum(values, period=period) / period


def mean_and_deviation(values: Floats, *, period: int) -> tuple[Floats, Floats]:
    """Mean and population standard deviation of the last `period` values.

    Both are taken from the differences to the newest value, so that equal values give exactly 0 and large prices with
    small moves lose no digits.
    """
    count = len(values)
    mean, deviation = undefined(count), undefined(count)
    if count < period:
        return mean, deviation
    size = count - period + 1
    newest = values[period - 1 :]
    offset = np.zeros(size)
    for shift in range(period):
        offset += values[shift : shift + size] - newest
    offset /= period
    squares = np.zeros(size)
    for shift in range(period):
        difference = values[shift : shift + size] - newest - offset
        squares += difference * difference
    mean[period - 1 :] = newest + offset
    deviation[period - 1 :] = np.sqrt(squares / period)
    return mean, deviation


def window_median(values: Floats, *, period: int) -> Floats:
    """Median of the last `period` values; NaN before there are as many and while one of them is NaN."""
    result = undefined(len(values))
    if len(values) < period:
        return result
    windows = np.lib.stride_tricks.sliding_window_view(values, period)
    half = period // 2
    for start in range(0, len(windows), _ROWS_AT_ONCE):
        rows = windows[start : start + _ROWS_AT_ONCE]
        sorted_rows = np.partition(rows, half, axis=1)
        middle = sorted_rows[:, half]
        if period % 2 == 0:
            middle = (sorted_rows[:, :half].max(axis=1) + middle) / 2
        middle = np.where(np.isnan(rows).any(axis=1), np.nan, middle)
        result[start + period - 1 : start + period - 1 + len(rows)] = middle
    return result
