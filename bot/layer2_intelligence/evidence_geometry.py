"""The shapes a divergence claims, checked on a few candles: pivot, anchor, sight line, swing.

All work in long form: for a short the caller negates prices, the highs in the place of the lows, and oscillators.
Source: SPEC sections 3 and 4.
"""

import math
from collections.abc import Callable, Sequence
from typing import Final

from bot.layer2_intelligence.indicators.divergence import ROUNDING_DECIMALS

OpenHighLowClose = tuple[float, float, float, float]  # of one candle, in long form
Rounder = Callable[[float], float]  # `rounded`, or `float` for values that are compared as they are

_SCALE: Final = 10.0**ROUNDING_DECIMALS
_TO_WHOLE: Final = 1.5 * 2.0**52  # adding this leaves no room for decimals
_SIGHT_SLACK: Final = 1e-9  # of the price: rounding noise is no crossing


def pivot_run_end(lows: Sequence[float], p: int, left: int, right: int) -> int | None:
    """Last candle of the run of equal values that starts at `p`, if that is a pivot low known by the end; else None.

    The `left` candles before are strictly above it, the `right` ones after the run not below it. The pivot is known at
    the returned index plus `right`.
    """
    if not left <= p < len(lows):
        return None
    level = lows[p]
    if not min(lows[p - left : p]) > level:
        return None
    end, last = p, len(lows) - 1
    while end < last and lows[end + 1] == level:
        end += 1
    return end if end + right <= last and min(lows[end + 1 : end + right + 1]) >= level else None


def rounded(value: float) -> float:
    """`value`, below 2e9 as every bounded oscillator is, to 6 decimals, half to even: bit for bit as the detector does.

    Rounding keeps the order of two values, it only makes ties: so the functions below ask for it where it may matter.
    """
    return (value * _SCALE + _TO_WHOLE - _TO_WHOLE) / _SCALE


def anchor(values: Sequence[float], p: int, window: int, turn: bool, rounding: Rounder) -> int | None:
    """Where an oscillator has its low around pivot `p`: the smallest of `p-window..p+window`, the nearest on a tie.

    None if one of them is missing or NaN or, with `turn`, if a neighbour of the low is missing or below it.
    """
    best, low = p, values[p]
    if window == 1 and 0 < p < len(values) - 1 and values[p - 1] >= low <= values[p + 1]:
        return p  # the usual case, decided without a loop
    if p < window or p + window >= len(values) or low != low:
        return None
    for distance in range(1, window + 1):
        for q in (p - distance, p + distance):
            value = values[q]
            if value != value:
                return None
            if value < low and rounding(value) < rounding(low):
                best, low = q, value
    if not turn:
        return best
    if best < 1 or best + 1 >= len(values):
        return None
    for value in (values[best - 1], values[best + 1]):
        if not (low <= value or rounding(low) <= rounding(value)):
            return None
    return best


def sight_is_clear(between: Sequence[float], first: float, last: float, rounding: Rounder) -> bool:
    """Nothing `between` two lows, which are rounded, lies below the line through both. Touching is allowed."""
    higher = first if first > last else last
    if not between or (min(between) >= higher and not math.isnan(sum(between))):
        return True  # decided without a loop: all of it lies above both ends
    length = len(between) + 1
    rise = last - first
    slack = _SIGHT_SLACK * max(abs(first), abs(last)) * length
    for step, value in enumerate(between, 1):
        if not (value >= higher or (rounding(value) - first) * length >= rise * step - slack):
            return False
    return True


def candle_patterns(candles: Sequence[OpenHighLowClose], start: int) -> list[str]:
    """Names of the reversal patterns that end on candles from `start` on; each is named once, in order of finding.

    A pattern that would need a candle before the first one is not found. Source: SPEC section 5.1, rule 14.
    """
    found: list[str] = []
    for j in range(start, len(candles)):
        open_, high, low, close = candles[j]
        if close > open_:  # two of the three end on a rising candle
            if high - close <= 0.15 * (high - low) and _is_hammer(high, low, close, open_):
                found.append("hammer")
            if j >= 1 and _is_engulfing(candles[j - 1], open_, close):
                found.append("engulfing")
            if j >= 2 and _is_star(candles[j - 2], candles[j - 1], close):
                found.append("star")
        elif high - open_ <= 0.15 * (high - low) and _is_hammer(high, low, open_, close):
            found.append("hammer")
    return list(dict.fromkeys(found)) if found else found


def _is_hammer(high: float, low: float, top: float, bottom: float) -> bool:
    """Whether it is one, given that the wick above its body is short."""
    below, length = bottom - low, high - low
    return length > 0.0 and below >= 2.0 * (top - bottom) and below >= 0.5 * length


def _is_engulfing(before: OpenHighLowClose, open_: float, close: float) -> bool:
    """Whether a rising candle swallows the body of the falling one before it."""
    open0, _, _, close0 = before
    return close0 < open0 and open_ <= close0 and close >= open0 and close - open_ > open0 - close0


def _is_star(falling: OpenHighLowClose, small: OpenHighLowClose, close: float) -> bool:
    """Whether a rising candle wins back half of a long fall after a small candle."""
    open0, high0, low0, close0 = falling
    fall = open0 - close0
    return (
        fall > 0.0
        and fall >= 0.5 * (high0 - low0)
        and abs(small[3] - small[0]) <= 0.3 * fall
        and close > (open0 + close0) / 2
    )
